"""The student that SimKD deploys: its own body, a projector, and the teacher's classifier (Chen et al. 2022).

Within a run it is one model from the start: what is trained, validated, averaged, saved and exported is the whole, so
nothing of it has to be put together afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..interfaces import Batch, Features, Output, Target
from ..models.capture import Capture
from ..models.inference import ask
from ..objectives import functional
from ..objectives.modules import Objective, SimKD, Sum
from ..objectives.modules.features import OnFeatures, Pooling, same_size
from ..randomness import torch_seed

_PROJECTOR = "projector"
_LAST = "name the last map of each, the one whose mean over its places the linear layer takes"
_SUCH_AS = "(layer3 of a resnet, relu of a wrn, stages of a convnet)"


class ReusedClassifier(nn.Module):
    """Images (B, channels, H, W) to logits (B, classes) by the teacher's classifier, which is never trained.

    Args:
        body: the student, without its own classifier.
        path: of its last map (B, C, H, W).
        projector: from that map to one like the teacher's.
        classifier: the teacher's, from the mean of its map over the places.
    """

    def __init__(self, body: nn.Module, path: str, projector: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.body, self.path, self.projector, self.classifier = body, path, projector, classifier

    def forward(self, images_BCHW: Tensor) -> Tensor:
        with Capture(self.body, [self.path]) as features:
            self.body(images_BCHW)
        return self.classifier(self.projector(features[self.path]).mean((2, 3)))


class _Projected(OnFeatures):
    """SimKD's term where the projector is a part of the student."""

    def __init__(self, wanted: SimKD) -> None:
        super().__init__(wanted.name, _PROJECTOR, wanted.teacher, wanted.weight)

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        ((ours, theirs),) = pairs
        return functional.hint(*same_size(ours, theirs))


def simkd_in(objective: Objective) -> SimKD | None:
    """The SimKD term of an objective. Raises :class:`BadInput` where other terms ask for features beside it."""
    found = [part for _, part in objective.weighted if isinstance(part, SimKD)]
    if not found:
        return None
    others = [part for _, part in objective.weighted if part.needs.features and part is not found[0]]
    if others:
        raise BadInput(
            f"objective: simkd puts the student together with the teacher's classifier, and {others[0].title} beside it "
            "asks for features of the student alone: leave out one of the two."
        )
    return found[0]


def taught_as_one(objective: Objective) -> Objective:
    """The objective for a student of :func:`with_teachers_classifier`: the projector is that student's, not its own."""
    return Sum([(w, _Projected(part) if isinstance(part, SimKD) else part) for w, part in objective.weighted])


def with_teachers_classifier(
    wanted: SimKD, student: nn.Module, teacher: nn.Module, batch: Batch, seed: int
) -> ReusedClassifier:
    """The student that ``wanted`` deploys; ``student`` becomes its body, ``teacher`` is neither changed nor shared.

    The projector is made from the shapes of both models' maps of ``batch``, and drawn from ``seed`` alone.

    Raises:
        BadInput: a path is not that of a model's last map, or there are no maps there.
    """
    (ours,), (theirs,) = wanted.student, wanted.teacher
    inputs = batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs
    for whose, model, path, given in (("student", student, ours, batch.inputs), ("teacher", teacher, theirs, inputs)):
        try:
            _seen(model, [path], given)
        except ValueError as error:
            raise BadInput(f"the {whose}'s features: {error}") from error
    classifier = copy.deepcopy(_classifier(teacher, theirs, inputs)).cpu().requires_grad_(False)
    _behead(student, ours, batch.inputs)
    output = Output(features=_seen(student, [ours], batch.inputs)[1])
    target = Target((Features(_seen(teacher, [theirs], inputs)[1]),))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(seed, "objective"))
        try:
            wanted.build(output, target, batch, batch.ids)
        except ValueError as error:
            raise BadInput(f"objective: {error}") from error
    projector = nn.Sequential(Pooling(wanted.size), *wanted.projector)
    return ReusedClassifier(student, ours, projector, classifier)


def _classifier(teacher: nn.Module, path: str, inputs: Tensor) -> nn.Linear:
    """The teacher's linear layer from the mean of the map at ``path`` to its logits."""
    for name, module in _linears(teacher):
        try:
            logits, seen = _seen(teacher, [path, f"{name}:in", name], inputs)
        except ValueError:  # not called, so not the classifier
            continue
        given, answer, maps = seen[f"{name}:in"], seen[name], seen[path]
        if maps.dim() == 4 and answer.shape == logits.shape and torch.equal(answer, logits):
            means_BC = maps.mean((2, 3))
            if given.shape == means_BC.shape and torch.allclose(given, means_BC, rtol=1e-3, atol=1e-5):
                return module
    raise BadInput(
        f"objective: simkd reuses the teacher's last linear layer, and there is none that takes the mean of what '{path}' "
        f"gives and answers with the logits: {_LAST} {_SUCH_AS}."
    )


def _behead(student: nn.Module, path: str, inputs: Tensor) -> None:
    """Takes the student's own classifier away; nothing else of it may be of no use to the map at ``path``."""
    student.eval()
    with torch.enable_grad(), Capture(student, [path]) as features:
        student(inputs)
    named = {name: value for name, value in student.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(features[path].sum(), list(named.values()), allow_unused=True)
    idle = {name for name, gradient in zip(named, found, strict=True) if gradient is None}
    for name, _ in _linears(student):
        own = {f"{name}.{kind}" for kind in ("weight", "bias")}
        if own & idle:
            student.set_submodule(name, nn.Identity())
            idle -= own
    if idle:
        raise BadInput(
            f"objective: simkd would leave '{min(idle)}' of the student untrained, which lies behind its map at '{path}': "
            f"{_LAST} {_SUCH_AS}."
        )
    student.train()


def _seen(model: nn.Module, paths: list[str], inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and what the modules gave, on the CPU in evaluation mode."""
    with Capture(model, paths) as features:
        logits = ask(model, inputs)
    return logits.float().cpu(), {path: value.float().cpu() for path, value in features.items()}


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    yield from ((name, module) for name, module in model.named_modules() if name and isinstance(module, nn.Linear))
