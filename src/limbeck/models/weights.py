"""Reading and writing weights. Nothing that comes from outside is unpickled into objects."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..files import atomic_path

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.")  # left by DataParallel and by torch.compile
_CONVERT = (
    "In the environment where it was made, write the plain weights instead: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` file, or in a plain state dict (``.pt``, ``.pth``, ``.th``, ``.bin``).

    A state dict inside ``{"state_dict": ...}`` or ``{"model": ...}`` is found, and a ``module.`` before every
    name is taken off.

    Raises:
        BadInput: the file is missing, damaged, of another kind, or holds objects other than tensors.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file of weights" if path.is_dir() else "does not exist"
        raise BadInput(f"weights: {path} {what}.")
    try:
        if path.suffix == ".safetensors":
            return _without_prefix(_read_safetensors(path))
        if path.suffix in (".pt", ".pth", ".th", ".bin"):
            return _without_prefix(_unwrapped(_read_pickle(path), path))
    except OSError as error:
        raise BadInput(f"weights: {path} cannot be read ({error.strerror or error}).") from error
    raise BadInput(f"weights: {path} is neither .safetensors nor .pt, .pth, .th or .bin.")


def load_weights(model: nn.Module, path: str | Path, name: str) -> None:
    """Puts the weights in the file at ``path`` into ``model``; every name and shape must agree.

    ``name`` (``teacher``, ``student``) is how messages speak of the model.

    Raises:
        BadInput: the file cannot be read, or does not fit; the model is then as it was.
    """
    state = read_state(path)
    wanted = tensors_of(model)
    # Weights from before PyTorch 0.4.1 have no count of the batches; nothing computed here depends on it.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in wanted]
    reshaped = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or unexpected or reshaped:
        raise BadInput(
            f"{name}: the weights in {path} do not fit the model: "
            f"{_misfit(missing, unexpected, reshaped, state, wanted)}."
        )
    counts = {key: wanted[key] for key in wanted if key not in state}
    model.load_state_dict({**state, **counts})


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Writes the state dict as safetensors, whole or not at all; a tensor of several names is stored once."""
    kept: dict[str, Tensor] = {}
    aliases = {"format": "pt"}
    first_name: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors_of(model).items():
        tensor = tensor.detach()
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and place in first_name:
            aliases[name] = first_name[place]
            continue
        first_name[place] = name
        kept[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
    # The bytes are written here and not by safetensors, whose error for a full disk is not an OSError.
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(safetensors.torch.save(kept, metadata=aliases))


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The state dict, buffers included. Raises :class:`BadInput` where it holds anything but tensors."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise BadInput(f"the model's state '{name}' is a {type(value).__name__}; only tensors can be kept.")
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            aliases = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise BadInput(
            f"weights: {path} is not a whole safetensors file ({_short(error)}); copy or download it again."
        ) from error
    shared = {name: state[kept] for name, kept in aliases.items() if name not in state and kept in state}
    return {**state, **shared}


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        holds = f"holds a Python object ({named[1]})" if named else "is not a file of plain weights, or is damaged"
        raise BadInput(f"weights: {path} {holds} and was not loaded, since that could run code. {_CONVERT}") from error
    except Exception as error:  # a damaged archive fails anywhere within the reader
        raise BadInput(f"weights: {path} is not a whole PyTorch file ({_short(error)}). {_CONVERT}") from error


def _unwrapped(value: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    if not isinstance(value, Mapping) or not value:
        raise BadInput(f"weights: {path} holds a {type(value).__name__} and not a state dict. {_CONVERT}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise BadInput(
                f"weights: {path} is not a plain state dict: '{name}' is a {type(tensor).__name__}. {_CONVERT}"
            )
    return dict(value)


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _misfit(
    missing: list[str],
    unexpected: list[str],
    reshaped: list[str],
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> str:
    """What does not fit, in words: the first names of each kind."""
    parts = []
    heads = {(len(state[key]), len(wanted[key])) for key in reshaped if state[key].dim() and wanted[key].dim()}
    same_inside = all(state[key].shape[1:] == wanted[key].shape[1:] for key in reshaped)
    last = {key.rpartition(".")[0] for key in reshaped} == {list(wanted)[-1].rpartition(".")[0]}
    if len(heads) == 1 and same_inside and last and not missing and not unexpected:
        (theirs, ours), key = heads.pop(), reshaped[0]
        return f"it answers {theirs} classes where {ours} are wanted ('{key}')"
    if reshaped:
        key = reshaped[0]
        parts.append(
            f"'{key}' is {tuple(state[key].shape)} in the file and {tuple(wanted[key].shape)} in the model"
            + _more(reshaped)
        )
    if missing:
        parts.append(f"the file lacks '{missing[0]}'{_more(missing)}")
    if unexpected:
        parts.append(f"the model has no '{unexpected[0]}'{_more(unexpected)}")
    return "; ".join(parts)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
