"""Reading weights from files of others' making. Nothing that comes from outside is unpickled into objects.

A file may hold several sets of weights: under keys (``{"state_dict": ..., "ema": ...}``), or beside one another under
prefixes (``student.conv1.weight``, ``teacher.conv1.weight``). ``file.pt#student`` asks for one of them.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from ..errors import BadInput, did_you_mean, short
from .places import check_weights, split_name

PICKLED = (".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
# Words that say nothing of whose weights these are: what wraps a model, and what state dicts are called.
_WRAPPING = {"module", "_orig_mod"}
_NOISE = _WRAPPING | {"state_dict", "model_state_dict"}
_DEEP = 4  # dictionaries in dictionaries that are looked into
_NAMED = 8  # sets that a sentence names
_CONVERT = (
    "In the environment where it was made, write the plain weights instead: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
)
_CONVERT_CHECKPOINT = (
    "Where you trust it, write its plain weights instead, once: "
    "torch.save(torch.load('{name}', weights_only=False)['state_dict'], 'weights.pt')."
)


def read_sets(asked: str | Path) -> dict[str, dict[str, Tensor]]:
    """All sets of weights in a file, or only the one that is asked for, by name: ``""`` where it is the file's only one.

    What DataParallel and ``torch.compile`` put before every name is taken off.

    Raises:
        BadInput: the file is missing, damaged, of another kind, or holds objects other than tensors; or nothing, or more
            than one thing, is called what is asked for.
    """
    path, wanted = check_weights(asked), split_name(asked)[1]
    try:
        if path.suffix == ".safetensors":
            sets = {"": _read_safetensors(path)}
        elif path.suffix in PICKLED:
            sets = _sets_in(_read_pickle(path), path)
        else:
            raise BadInput(f"weights: {path} is neither .safetensors nor {', '.join(PICKLED[:-1])} or {PICKLED[-1]}.")
    except OSError as error:
        raise BadInput(f"weights: {path} cannot be read ({error.strerror or error}).") from error
    if wanted is not None:
        sets = {wanted: _asked_for(sets, wanted, path)}
    return {name: without_wrapping(state) for name, state in sets.items()}


def read_state(asked: str | Path) -> dict[str, Tensor]:
    """The tensors of a file that holds one set of weights, or of the one asked for. Raises as :func:`read_sets`, and for more."""
    sets = read_sets(asked)
    if len(sets) > 1:
        raise BadInput(several(asked, sets))
    return next(iter(sets.values()))


def several(asked: str | Path, names: Sequence[str] | Mapping[str, Any]) -> str:
    """That a file holds several sets of weights, and how to ask for one."""
    names = list(names)
    return (
        f"weights: {asked} holds several sets of weights, {listed(names)}: say which one is meant, such as "
        f"{split_name(asked)[0]}#{names[0]}."
    )


def listed(names: Sequence[str]) -> str:
    """Names in quotes, not more than a few."""
    shown = [f"'{name}'" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        return f"{', '.join(shown)} and {len(names) - _NAMED} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def without_wrapping(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without ``module.`` and ``_orig_mod.``: in any order before every name, and ``_orig_mod`` wherever it is."""
    while state and all(name.partition(".")[0] in _WRAPPING and "." in name for name in state):
        if len({name.partition(".")[0] for name in state}) > 1:
            break
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
    plain = {".".join(part for part in name.split(".") if part != "_orig_mod"): state[name] for name in state}
    return plain if len(plain) == len(state) else dict(state)


def _asked_for(sets: Mapping[str, dict[str, Tensor]], wanted: str, path: Path) -> dict[str, Tensor]:
    """The set that goes by a name: a key that holds it, a prefix of its weights' names, or one in the other."""
    found = dict(_called(sets, _parts(wanted)))
    if len(found) == 1:
        return next(iter(found.values()))
    there = list(
        dict.fromkeys([name for name in sets if name] + [group for state in sets.values() for group in _groups(state)])
    )
    if not found:
        known = (
            f" It holds {listed(there)}."
            if there
            else " It holds one set of weights, without a name: leave out the '#'."
        )
        raise BadInput(f"weights: {path} holds no weights called '{wanted}'.{did_you_mean(wanted, there)}{known}")
    raise BadInput(
        f"weights: {path} holds several sets of weights called '{wanted}': {listed(list(found))}. Give the whole name of one."
    )


def _called(sets: Mapping[str, dict[str, Tensor]], wanted: list[str]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for name, state in sets.items():
        own = _parts(name)
        if own == wanted:
            yield name, state
            continue
        rest = wanted[len(own) :] if wanted[: len(own)] == own else wanted
        below: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            prefix, inner = _below(key, rest)
            if inner:
                below.setdefault(prefix, {})[inner] = tensor
        for prefix, inside in below.items():
            yield ".".join(filter(None, (name, prefix))), inside


def _below(key: str, wanted: list[str]) -> tuple[str, str]:
    """What stands in a weight's name up to the parts that are wanted, and what behind; words of wrapping do not matter."""
    parts, matched = key.split("."), 0
    for place, part in enumerate(parts):
        if matched == len(wanted):
            return ".".join(parts[:place]), ".".join(parts[place:])
        if part == wanted[matched]:
            matched += 1
        elif part not in _NOISE:
            break
    return "", ""


def _groups(state: Mapping[str, Tensor]) -> list[str]:
    """The first parts of the weights' names, but for wrapping."""
    return list(dict.fromkeys(name.partition(".")[0] for name in without_wrapping(state)))


def _parts(name: str) -> list[str]:
    """The parts of a set's name that say whose it is, or all of them where none does."""
    parts = name.split(".") if name else []
    return [part for part in parts if part not in _NOISE] or parts


def _sets_in(value: Any, path: Path) -> dict[str, dict[str, Tensor]]:
    """The state dicts in what a file holds, by the keys that lead there; a single one has no name."""
    found = dict(_state_dicts(value))
    weights = {name: state for name, state in found.items() if any(one.is_floating_point() for one in state.values())}
    found = weights or found  # states of random generators are dictionaries of tensors too
    if len(found) == 1:
        return {"": next(iter(found.values()))}
    if found:
        return found
    if not isinstance(value, Mapping) or not value:
        raise BadInput(f"weights: {path} holds a {type(value).__name__} and not a state dict. {_CONVERT}")
    wrong = next(
        (f"'{name}' is a {type(one).__name__}" for name, one in value.items() if not isinstance(one, Tensor)), None
    )
    raise BadInput(f"weights: {path} is not a plain state dict: {wrong or 'its names are not text'}. {_CONVERT}")


def _state_dicts(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(value, Mapping) or depth > _DEEP:
        return
    if value and all(isinstance(name, str) and isinstance(one, Tensor) for name, one in value.items()):
        yield place, dict(value)
        return
    for name, one in value.items():
        if isinstance(name, str):
            yield from _state_dicts(one, f"{place}.{name}" if place else name, depth + 1)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            aliases = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise BadInput(
            f"weights: {path} is not a whole safetensors file ({short(error)}); copy or download it again."
        ) from error
    shared = {name: state[kept] for name, kept in aliases.items() if name not in state and kept in state}
    return {**state, **shared}


def _read_pickle(path: Path) -> Any:
    convert = _CONVERT_CHECKPOINT.format(name=path.name) if path.suffix == ".ckpt" else _CONVERT
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        holds = f"holds a Python object ({named[1]})" if named else "is not a file of plain weights, or is damaged"
        raise BadInput(f"weights: {path} {holds} and was not loaded, since that could run code. {convert}") from error
    except Exception as error:  # a damaged archive fails anywhere within the reader
        raise BadInput(f"weights: {path} is not a whole PyTorch file ({short(error)}). {convert}") from error
