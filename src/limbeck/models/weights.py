"""Weights into a model, and out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..files import atomic_path
from .state_file import listed, read_sets, several, without_wrapping


@dataclass(frozen=True)
class _Fit:
    """A set of weights, or what stands behind a prefix in one, held against what a model wants."""

    name: str  # of the set in the file, prefix included
    state: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]
    unfit: list[str]  # what holds no values that the model's could take, in words
    beside: list[str]  # what stands before other prefixes in the same set

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped or self.unfit)

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped) + len(self.unfit)


def load_weights(model: nn.Module, path: str | Path, name: str) -> list[str]:
    """Puts the weights in the file at ``path`` into ``model``; every name and shape must agree.

    Floating-point numbers of any precision are taken for those of another; nothing else is.

    ``path`` may say which of several sets of weights is meant (:mod:`limbeck.models.state_file`). Otherwise it is the only
    one that fits. A last layer of one output, where the model has two, becomes (0, z) of its logit z. ``name``
    (``teacher``, ``student``) is how messages speak of the model. Returns what had to be taken for granted, in sentences.

    Raises:
        BadInput: the file cannot be read, or nothing in it fits, or more than one set does; the model is then as it was.
    """
    wanted, sets = tensors_of(model), read_sets(path)
    plain = without_wrapping(wanted)
    tried = [fit for place, state in sets.items() for fit in _fits(place, state, plain)]
    fitting = _distinct([fit for fit in tried if fit.fits])
    if len(fitting) > 1:
        raise BadInput(f"{name}: {several(path, [fit.name for fit in fitting])}")
    best = fitting[0] if fitting else min(tried, key=lambda fit: fit.problems)
    notes = []
    if not best.fits:
        best = _of_two_outputs(best, plain)
        if not best.fits:
            inside = f" (in '{best.name}')" if best.name else ""
            others = [one for one in sets if one and one != best.name]
            raise BadInput(
                f"{name}: the weights in {path}{inside} do not fit the model: {_misfit(best, plain)}."
                + (f" The file also holds {listed(others)}." if others else "")
            )
        notes.append(
            f"{path} is of a model with one output, and {name} has two: that output is taken for the logit of the second "
            "class against the first."
        )
    beside = list(dict.fromkeys([*(one for one in sets if one and best.name and one not in best.name), *best.beside]))
    if best.name and beside:
        notes.append(
            f"{name}: of the weights in {path}, those in '{best.name}' are used; it also holds {listed(beside)}."
        )
    counts = {key: plain[key] for key in plain if key not in best.state}
    taken = {**best.state, **counts}
    model.load_state_dict({key: taken[own] for key, own in zip(wanted, plain, strict=True)})
    return notes


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


def check_finite(model: nn.Module, path: Path, name: str) -> None:
    """Raises :class:`BadInput` where weights of ``model``, which came from ``path``, are no finite numbers.

    Of what it keeps beside its parameters, infinities may be meant, as in a mask.
    """
    wrong = [of for of, value in model.named_parameters() if not torch.isfinite(value).all()]
    wrong += [of for of, value in model.named_buffers() if torch.isnan(value).any()]
    if wrong:
        raise BadInput(
            f"{name}: the weights in {path} hold values that are no finite numbers (NaN or infinity, in "
            f"'{wrong[0].removeprefix('model.')}'{_more(wrong)}): the file is damaged; copy or download it again."
        )


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The state dict, buffers included. Raises :class:`BadInput` where it holds anything but tensors."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise BadInput(f"the model's state '{name}' is a {type(value).__name__}; only tensors can be kept.")
    return state


def _fits(place: str, state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[_Fit]:
    """A set as it is, and whatever in it stands behind a prefix where the first of the wanted names does."""
    # Weights from before PyTorch 0.4.1 have no count of the batches; nothing computed here depends on it.
    needed = [key for key in wanted if not key.endswith("num_batches_tracked")]
    ending = f".{needed[0]}" if needed else ""
    prefixes = [key[: len(key) - len(ending) + 1] for key in state if ending and key.endswith(ending)]
    for prefix in ["", *prefixes]:
        inside = {key[len(prefix) :]: tensor for key, tensor in state.items() if key.startswith(prefix)}
        yield _Fit(
            ".".join(part for part in (place, prefix.rstrip(".")) if part),
            inside,
            [key for key in needed if key not in inside],
            [key for key in inside if key not in wanted],
            [key for key in wanted if key in inside and _size(inside[key]) != wanted[key].shape],
            [said for key in wanted if key in inside and (said := _unfit(key, inside[key], wanted[key]))],
            list(dict.fromkeys(key.partition(".")[0] for key in state if not key.startswith(prefix))),
        )


def _unfit(key: str, theirs: Tensor, ours: Tensor) -> str:
    """Why a tensor of the file cannot become one of the model whatever their shapes are, in words; nothing where it can."""
    form = _form(theirs)
    if form:
        return f"'{key}' is {form}, and a plain one is wanted"
    if (ours.is_floating_point() and not theirs.is_floating_point()) or (theirs.is_complex() and not ours.is_complex()):
        return f"'{key}' holds {_kind(theirs)} in the file and {_kind(ours)} in the model"
    if key.rpartition(".")[2] == "running_var" and bool((theirs.double() < 0).any()):
        return f"'{key}' holds a negative variance ({theirs.double().min().item():.3g})"
    return ""


def _form(tensor: Tensor) -> str:
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_meta:
        return "a tensor without values (on the device 'meta')"
    if tensor.is_quantized:
        return "a quantised tensor"
    return "" if tensor.layout == torch.strided else "a sparse tensor"


def _size(tensor: Tensor) -> torch.Size | None:
    """None for a tensor that has none."""
    return None if tensor.is_nested else tensor.shape


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """Without such as hold the very same values as one before; only one of them may have counted its batches."""
    kept: list[_Fit] = []
    for fit in fits:
        if not any(all(_same(fit.state[key], one.state[key]) for key in fit.state.keys() & one.state) for one in kept):
            kept.append(fit)
    return kept


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _of_two_outputs(fit: _Fit, wanted: Mapping[str, Tensor]) -> _Fit:
    """The fit with a last layer of one output made one of two, where nothing else differs."""
    if fit.missing or fit.unexpected or fit.unfit or _outputs(fit, wanted) != (1, 2):
        return fit
    grown = {key: torch.cat([torch.zeros_like(fit.state[key]), fit.state[key]]) for key in fit.reshaped}
    return replace(fit, state={**fit.state, **grown}, reshaped=[])


def _outputs(fit: _Fit, wanted: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """How many outputs the file's last layer has, and how many the model's, where their shapes differ in nothing else."""
    state, reshaped = fit.state, fit.reshaped
    of_layer = {key.rpartition(".")[0] for key in reshaped}
    heads = {(len(state[key]), len(wanted[key])) for key in reshaped if state[key].dim() and wanted[key].dim()}
    same_inside = all(state[key].shape[1:] == wanted[key].shape[1:] for key in reshaped)
    matrix = any(state[key].dim() > 1 for key in reshaped)
    return heads.pop() if len(of_layer) == len(heads) == 1 and same_inside and matrix else None


def _misfit(fit: _Fit, wanted: Mapping[str, Tensor]) -> str:
    """What does not fit, in words: channels and classes as such, and the first names of each other kind."""
    if fit.unfit:  # its shape says little
        return fit.unfit[0] + _more(fit.unfit)
    parts, state = [], fit.state
    first = next((key for key in wanted if wanted[key].dim() == 4), "")
    channels = first in fit.reshaped and state[first].dim() == 4
    if (
        channels
        and state[first].shape[:1] + state[first].shape[2:] == wanted[first].shape[:1] + wanted[first].shape[2:]
    ):
        theirs, ours = state[first].shape[1], wanted[first].shape[1]
        mend = f": set data.channels: {theirs}" if theirs in (1, 3) else ""
        parts.append(f"it was made for {theirs} channel{'s' * (theirs != 1)}, the images have {ours}{mend} ('{first}')")
        fit = replace(fit, reshaped=[key for key in fit.reshaped if key != first])
    if (outputs := _outputs(fit, wanted)) is not None and not fit.missing:
        parts.append(f"it answers {outputs[0]} classes where {outputs[1]} are wanted ('{fit.reshaped[0]}')")
    elif fit.reshaped:
        key = fit.reshaped[0]
        parts.append(
            f"'{key}' is {tuple(state[key].shape)} in the file and {tuple(wanted[key].shape)} in the model"
            + _more(fit.reshaped)
        )
    if fit.missing:
        parts.append(f"the file lacks '{fit.missing[0]}'{_more(fit.missing)}")
    if fit.unexpected:
        parts.append(f"the model has no '{fit.unexpected[0]}'{_more(fit.unexpected)}")
    return "; ".join(parts)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
