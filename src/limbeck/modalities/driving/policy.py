"""A policy of stable-baselines3, read without unpickling: its weights as plain tensors, its layers by their shapes, what is between them from
the recipe; held to answers that are known.

Shapes: N states, F numbers of one, A actions.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput, short
from ...models.state_file import read_state
from .episodes import Network
from .teacher_sections import Gives, PolicyTeacher

POLICY = "policy.pth"
# Where the layers of a policy are, hidden ones and the last, and what it answers with.
_LAYERS: tuple[tuple[str, str, Gives], ...] = (
    ("q_net.q_net.", "", "values"),
    ("mlp_extractor.policy_net.", "action_net.", "logits"),
)
_NEARLY = 1e-3
_OUT = "Where it was made, write its plain weights: torch.save(model.policy.state_dict(), 'policy.pth'), and name that file in the zip's place."


def read_policy(section: PolicyTeacher, numbers: int, actions: int) -> tuple[Network, Gives]:
    """The policy as a network of arrays, and what it answers with.

    Raises :class:`BadInput` where the file is none, is damaged or would have to be unpickled; where the policy is no multi-layer
    perceptron, or is of other observations or actions; and where it does not answer what is known.
    """
    where = f"teacher.stable_baselines3: {section.stable_baselines3}"
    path = Path(section.stable_baselines3).expanduser()
    state = _state_of(path, where)
    layers, gives = _layers(state, where)
    takes, answers = layers[0][0].shape[1], layers[-1][0].shape[0]
    if takes != numbers:
        raise BadInput(
            f"{where} is a policy for observations of {takes} numbers, and this environment shows {numbers}: give data.settings the "
            "observation that it was trained on."
        )
    if answers != actions:
        raise BadInput(f"{where} is a policy of {answers} actions; a driver has {actions}.")
    network = Network(tuple(layers), section.activation)
    _check_known(network, section, numbers, where)
    return network, gives


def _state_of(path: Path, where: str) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise BadInput(f"{where}: there is no such file.")
    if path.suffix != ".zip":
        return read_state(path)
    try:
        with zipfile.ZipFile(path) as file:
            if not {POLICY, "data"} & {*file.namelist()}:
                raise zipfile.BadZipFile("nothing in it is called as there")
            if POLICY not in file.namelist():
                raise BadInput(
                    f"{where} holds no {POLICY}, so that its weights, if it has some, could only be had by unpickling what it holds. {_OUT}"
                )
            content = file.read(POLICY)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"{where} is no zip of stable-baselines3, or it is damaged ({short(error)}): copy it again."
        ) from None
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{where}: its {POLICY} holds more than tensors, which would have to be unpickled ({short(error)}). {_OUT}"
        ) from None
    except Exception as error:  # torch's own kinds, of a file that is cut off
        raise BadInput(f"{where}: its {POLICY} is damaged ({short(error)}): copy it again.") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(f"{where}: its {POLICY} holds no weights by name. {_OUT}")
    return state


def _layers(state: Mapping[str, Tensor], where: str) -> tuple[list[tuple[np.ndarray, np.ndarray]], Gives]:
    """(weight (out, in), bias (out,)) of each layer, in their order."""
    for hidden, last, gives in _LAYERS:
        names = sorted(
            (name for name in state if _number(name, hidden) is not None), key=lambda one: _number(one, hidden) or 0
        )
        roots = [name.removesuffix("weight") for name in names if name.endswith(".weight")]
        roots += [last] if last else []
        if not names or not all(f"{root}{part}" in state for root in roots for part in ("weight", "bias")):
            continue
        layers = [(_array(state[f"{root}weight"]), _array(state[f"{root}bias"])) for root in roots]
        shapes = [weight.shape for weight, _ in layers]
        if all(len(shape) == 2 for shape in shapes) and all(a[0] == b[1] for a, b in pairwise(shapes)):
            return layers, gives
    known = ", ".join(f"{hidden}0.weight" for hidden, _, _ in _LAYERS)
    raise BadInput(
        f"{where} is no policy that is known here, a multi-layer perceptron of DQN, PPO or A2C ({known}): it has "
        f"{', '.join(list(state)[:4]) or 'no weights'}."
    )


def _number(name: str, before: str) -> int | None:
    """The place of a layer in ``q_net.q_net.4.weight``."""
    place = name.removeprefix(before).partition(".")[0] if name.startswith(before) else ""
    return int(place) if place.isdigit() else None


def _check_known(network: Network, section: PolicyTeacher, numbers: int, where: str) -> None:
    """Raises :class:`BadInput` where the network does not answer as the policy is known to."""
    try:
        with np.load(Path(section.known).expanduser(), allow_pickle=False) as file:  # pyright: ignore[reportGeneralTypeIssues]
            states_NF, answers_NA = (np.asarray(file[name], np.float32) for name in ("states", "answers"))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"teacher.known: {section.known} cannot be read ({short(error)}): it is a file of NumPy (.npz) with states (N, numbers) and "
            "the policy's answers (N, actions)."
        ) from None
    states_NF = states_NF.reshape(len(states_NF), -1)
    actions = network.layers[-1][0].shape[0]
    if not len(states_NF) or states_NF.shape[1] != numbers or answers_NA.shape != (len(states_NF), actions):
        raise BadInput(
            f"teacher.known: {section.known} has states {states_NF.shape} and answers {answers_NA.shape}: (N, {numbers}) and "
            f"(N, {actions}) are right, one state at least."
        )
    ours_NA = np.stack([network.logits(state_F) for state_F in states_NF])
    apart = float(np.abs(ours_NA - answers_NA).max())
    if not apart <= _NEARLY * max(1.0, float(np.abs(answers_NA).max())):
        raise BadInput(
            f"{where} answers otherwise than teacher.known has it, by {apart:.3g}: with activation: {section.activation} it is another "
            "policy. Look whether the policy has that activation, and whether the answers are of this file."
        )


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
