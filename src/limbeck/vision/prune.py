"""A network of images made smaller from its own weights: channels taken out, and with them all that reads or adds to them.

Which channels belong together (residual sums, depthwise convolutions, normalisation) is found by ``torch-pruning`` (Fang et
al. 2023, "DepGraph: Towards Any Structural Pruning"). How many stay is decided here: every set of channels keeps the same share,
so that the shape of what comes out depends on the network and on ``keep`` alone, and not on its weights. The library drops
what would leave nothing, prunes nothing where parameters are frozen, and says neither; here both are counted.
"""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput, not_installed, short
from ..randomness import torch_seed
from ..sections.pruned import EXTRA, FEWEST, Pruned
from .widths import Widths, widths_of

_RECORD = "pruned"
_BLOCK, _BLOCKS = 4, 8

Gradients = Callable[[nn.Module], None]
"""Leaves in the parameters of a network in evaluation mode the gradients of its loss on some examples."""


@dataclass(frozen=True)
class Record:
    """What became of a network that was pruned.

    Attributes:
        before, after: parameters of the teacher and of what stayed.
        share: of the channels that every set of them keeps, at most.
        widths: what the modules are told of their shapes, so that the network can be built again without the teacher.
    """

    before: int
    after: int
    share: float
    widths: Widths


def record_of(model: nn.Module) -> Record | None:
    """What :func:`pruned` noted in a network that it made, or a copy of it; None of any other."""
    return getattr(model, _RECORD, None)


def share_of_channels(teacher: nn.Module, wanted: Pruned, example_BCHW: Tensor) -> float:
    """The largest share of the channels with which at most ``wanted.keep`` of a network's parameters stay.

    Of n channels of a set (of each group, where a normalisation or convolution has groups of them) a share s keeps floor(s n),
    one at least, and from 8 on a multiple of 4: runtimes compute channels in blocks, and one more than a multiple of them costs a whole one.

    Raises:
        BadInput: torch-pruning is not installed, nothing of the network can be pruned or what is left of it fails, or no share leaves
            between two thirds of ``keep`` and ``keep``; the sentence says which do.
    """
    whole = _parameters(teacher)
    sizes = {one.units for one in _Cutter(teacher, example_BCHW).sets}
    shares = sorted({kept / units for units in sizes for kept in range(1, units + 1)})
    if not any(units > 1 for units in sizes):
        raise BadInput(
            f"student.pruned: nothing of the teacher, a {type(teacher).__name__}, can be taken out: "
            "it has no layers of several channels before its last."
        )

    def left(share: float) -> float:
        cutter = _Cutter(teacher, example_BCHW)
        cutter.cut(share, [torch.arange(one.units).float() for one in cutter.sets])
        return _parameters(cutter.model) / whole

    low, high = 0, len(shares) - 1  # with the last of them all stays
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if left(shares[middle]) <= wanted.keep else (low, middle)
    reached = left(shares[low])
    if not FEWEST * wanted.keep <= reached <= wanted.keep:
        nearest = sorted({reached, left(shares[high])} - {1.0}) or [reached]
        grouped = " in whole steps of their groups" if _grouped(teacher) else ""
        raise BadInput(
            f"student.pruned.keep: {wanted.keep:g} of the {whole:,} parameters of the teacher, a {type(teacher).__name__}, cannot be "
            f"kept: its channels go{grouped} together, and the nearest shares that they leave are "
            f"{' and '.join(f'{_up(share):g}' for share in nearest)}. Give one of these, or another teacher."
        )
    return shares[low]


def pruned(
    teacher: nn.Module,
    wanted: Pruned,
    example_BCHW: Tensor,
    *,
    share: float,
    seed: int,
    gradients: Gradients | None = None,
) -> nn.Module:
    """A copy of ``teacher`` that keeps ``share`` of its channels, on the CPU, ready to be trained; ``teacher`` is as it was.

    ``magnitude`` keeps those whose squared weights are largest, summed over all that makes or reads them (Li et al. 2017, grouped as in
    Fang et al. 2023), ``taylor`` those whose weights times their ``gradients`` are (Molchanov et al. 2019), ``random`` those that
    ``seed`` names. The last layer, which gives the answers, keeps all of them.

    Raises:
        BadInput: what is left fails, answers otherwise, or is not what was to be left.
    """
    cutter = _Cutter(teacher, example_BCHW)
    if wanted.criterion == "taylor":
        assert gradients is not None, "taylor needs the gradients of a loss"
        gradients(cutter.model)
    importances = [_importance(one, cutter.model, wanted.criterion, seed) for one in cutter.sets]
    cutter.cut(share, importances)
    student = cutter.model
    after = _parameters(student)
    # what asks for the loss of channels that another set of them has too would leave what was not counted
    if not FEWEST * wanted.keep <= after / _parameters(teacher) <= wanted.keep:
        raise BadInput(
            f"student.pruned: of the teacher, a {type(teacher).__name__}, {after / _parameters(teacher):.3f} stayed where "
            f"{wanted.keep:g} was to stay at most: its layers do not come apart as they should; take another teacher."
        )
    student.zero_grad(set_to_none=True)
    student.train().requires_grad_(True)
    object.__setattr__(student, _RECORD, Record(_parameters(teacher), after, share, widths_of(teacher, student)))
    return student


@dataclass(frozen=True)
class _Set:
    """Channels that are kept or dropped together: ``units`` in each of ``groups``."""

    members: Any  # a torch_pruning.Group
    root: nn.Module
    prune: Any  # how the root loses channels
    units: int
    groups: int

    def kept(self, share: float) -> int:
        """How many units a share of them is."""
        count = max(1, math.floor(share * self.units + 1e-9))
        return count if count < _BLOCKS or count == self.units else count // _BLOCK * _BLOCK


class _Cutter:
    """A copy of a network, taken apart into sets of channels."""

    def __init__(self, teacher: nn.Module, example_BCHW: Tensor) -> None:
        try:
            self._library = importlib.import_module("torch_pruning")
        except ModuleNotFoundError as error:
            raise not_installed("students that are pruned teachers", error, EXTRA) from error
        # the library follows autograd: where parameters are frozen it finds nothing, and prunes nothing
        self.model = copy.deepcopy(teacher).cpu().float().eval().requires_grad_(True)
        self._example = example_BCHW
        try:
            with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
                answer = self.model(example_BCHW)
                self._answers = tuple(answer.shape)
                last = _last_layer(self.model, example_BCHW, self._answers[-1])
                self._graph = self._library.DependencyGraph().build_dependency(self.model, example_inputs=example_BCHW)
                found = list(self._graph.get_all_groups(ignored_layers=[last], root_module_types=_ROOTS))
                self.sets = [self._set(one) for one in found]
        except BadInput:
            raise
        except Exception as error:  # of a network of any kind, taken apart by a library
            raise self._fails(error) from error

    def _set(self, members: Any) -> _Set:
        root, prune = members[0].dep.target.module, members[0].dep.handler
        groups = math.lcm(*(_groups(dep.target.module) for dep, _ in members))
        return _Set(members, root, prune, self._graph.get_out_channels(root) // groups, groups)

    def cut(self, share: float, importances: Sequence[Tensor]) -> None:
        """Drops the least important channels of every set."""
        left = {}
        try:
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                for one, importance_U in zip(self.sets, importances, strict=True):
                    kept = one.kept(share)
                    left[one.root] = kept * one.groups
                    dropped_D = importance_U.argsort(stable=True)[: one.units - kept]
                    if len(dropped_D) == 0:
                        continue
                    of_each = [dropped_D + k * one.units for k in range(one.groups)]
                    self._graph.get_pruning_group(
                        one.root, one.prune, torch.cat(of_each).sort().values.tolist()
                    ).prune()
                answer = self.model(self._example)
        except Exception as error:
            raise self._fails(error) from error
        names = {module: name for name, module in self.model.named_modules()}
        for root, wanted in left.items():
            if (found := self._graph.get_out_channels(root)) != wanted:
                raise self._fails(f"'{names[root]}' has {found} channels where {wanted} were to stay")
        if tuple(answer.shape) != self._answers or not bool(torch.isfinite(answer).all()):
            raise self._fails(f"it answers with the shape {tuple(answer.shape)} where {self._answers} is right")

    def _fails(self, why: Exception | str) -> BadInput:
        said = why if isinstance(why, str) else f"{type(why).__name__}: {short(why)}"
        return BadInput(
            f"student.pruned: the teacher, a {type(self.model).__name__}, cannot be pruned: {said}. Convolutional networks "
            "whose shapes are those of their layers can, such as wrn_16_4, convnet or timm/mobilenetv3_small_050; "
            "with this teacher name a student instead (student.model)."
        )


_ROOTS = (nn.Conv2d, nn.Linear)


def _importance(one: _Set, model: nn.Module, criterion: str, seed: int) -> Tensor:
    """(units,), over all groups of channels."""
    if criterion == "random":
        name = next(name for name, module in model.named_modules() if module is one.root)
        return torch.rand(one.units, generator=torch.Generator().manual_seed(torch_seed(seed, "pruned", name)))
    library = importlib.import_module("torch_pruning").importance
    # summed as they are: only channels of one set are ever held against one another
    kind = library.GroupTaylorImportance if criterion == "taylor" else library.GroupMagnitudeImportance
    found = kind(group_reduction="sum", normalizer=None)(one.members)
    if found is None:
        raise BadInput("student.pruned: the teacher has channels without weights, which cannot be weighed.")
    return found.unflatten(0, (one.groups, one.units)).mean(0)


def _last_layer(model: nn.Module, example_BCHW: Tensor, answers: int) -> nn.Module:
    """The layer that gives the answers: of those that have as many outputs, the one called last."""
    called: list[nn.Module] = []

    def note(module: nn.Module, given: Any, answer: Any) -> None:
        called.append(module)

    handles = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, _ROOTS)
        and answers == (module.out_features if isinstance(module, nn.Linear) else module.out_channels)
    ]
    try:
        model(example_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise BadInput(
            f"student.pruned: the teacher, a {type(model).__name__}, has no layer of {answers} outputs, which could be left "
            "whole so that every answer stays: take another teacher, or name a student (student.model)."
        )
    return called[-1]


def _groups(module: nn.Module) -> int:
    """In how many groups of equal size its channels come; a depthwise convolution follows those that it is given."""
    if isinstance(module, nn.GroupNorm):
        return module.num_groups
    if isinstance(module, nn.Conv2d) and module.groups not in (1, module.out_channels):
        return module.groups
    return 1


def _grouped(model: nn.Module) -> bool:
    return any(_groups(module) > 1 for module in model.modules())


def _parameters(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


def _up(share: float) -> float:
    """Three digits that are no less, so that giving them leaves what was meant."""
    digits = 2 - math.floor(math.log10(share))
    return math.ceil(share * 10**digits) / 10**digits
