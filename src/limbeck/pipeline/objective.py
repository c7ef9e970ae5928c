"""The objective that a recipe describes, put together from its sections."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import BadInput, did_you_mean
from ..evaluation.kinds import KINDS
from ..interfaces import Answers, DenseLogits
from ..interfaces.modality import Modality
from ..objectives import modules, schedules
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.fit import HAS, Part, misfit
from ..objectives.modules import Objective, Sum
from ..sections.objective import Objective as ObjectiveSection
from ..sections.section import Schedule
from .simkd import simkd_in


def objective_of(section: ObjectiveSection, splits: Any = None) -> Objective:
    """The objective a recipe's section describes: its terms in the order of the fields.

    ``splits`` are those of the run, which class weights need: they go by the classes' names, and by how many training
    examples each has.
    Raises :class:`limbeck.errors.BadInput` for settings that an objective refuses.
    """
    return Sum([_weighted(name, term, splits) for name, term in section.terms.items()])


def class_weights_of(objective: Objective) -> tuple[float, ...] | None:
    """What each class weighs in the objective's part on labels; None where all weigh alike."""
    for _, part in objective.weighted:
        if (weights_C := getattr(part, "class_weights_C", None)) is not None:
            return tuple(_digits(weight) for weight in weights_C.tolist())
    return None


def temperature_of(objective: Objective) -> float | None:
    """The temperature that logits are softened at: the KD term's where there is one, else the first; a schedule's last."""
    softening = [part for _, part in objective.weighted if DenseLogits in part.needs.target]
    softening.sort(key=lambda part: not isinstance(part, modules.KD))
    given = (getattr(part, "temperature", None) for part in softening)
    return next((schedules.extremes(temperature)[-1] for temperature in given if temperature is not None), None)


def with_layers(objective: Objective, modality: Modality, student: nn.Module, teacher: nn.Module) -> Objective:
    """The objective itself, told where the layers of both models are where it has to know.

    Raises :class:`limbeck.errors.BadInput` where a model has no layers that are known here, or the two do not go together.
    """
    if objective.finds_layers:
        names = [part.title for _, part in objective.weighted if part.finds_layers]
        asking = f"objective: {' and '.join(dict.fromkeys(names))}"
        try:
            objective.find(modality.layers(student, asking, "student"), modality.layers(teacher, asking, "teacher"))
        except ValueError as error:
            raise BadInput(f"objective: {error}.") from None
    return objective


def misfit_with_labels(objective: Objective, reads: str) -> str | None:
    """A sentence for which parts of the objective do not fit such labels, and what to take instead; None where all do.

    ``reads`` is how the answers are to be read, as the catalogue says it. Parts that do not read the answers fit any.
    """
    parts = [Part(part.title, part.reads, bool(part.needs.target)) for _, part in objective.weighted]
    why = misfit(parts, (reads,), f"here an example {HAS[reads]}")
    return None if why is None else f"{why}."


def _weighted(name: str, term: Any, splits: Any) -> tuple[float, Objective]:
    """A term with its weight: beside the module where it is a number, inside it where it changes over the run."""
    settings = {field: _value(getattr(term, field)) for field in type(term).model_fields}
    if settings.get("class_weights") is not None:
        settings["class_weights"] = _class_weights(name, settings["class_weights"], splits)
    factor = 1.0
    if isinstance(settings["weight"], float):
        factor, settings["weight"] = settings["weight"], factor
    try:
        return factor, getattr(modules, str(CATALOGUE[name].module))(**settings)
    except ValueError as error:
        raise BadInput(f"objective.{name}: {error}.") from None


def _class_weights(name: str, given: Any, splits: Any) -> tuple[float, ...]:
    """A number for each class. ``balanced`` goes by the labels of the training split, as it was carved and limited."""
    field, classes = f"objective.{name}.class_weights", splits.classes
    if isinstance(given, dict):
        if unknown := [label for label in given if label not in classes]:
            raise BadInput(f"{field}: '{unknown[0]}' is no class.{did_you_mean(unknown[0], classes)}")
        return tuple(given.get(label, 1.0) for label in classes)
    if given == "balanced":
        labels = splits.train.labels
        if splits.answers.kind == "label_sets":
            return tuple(
                _digits((len(labels) - yes) / yes if yes < len(labels) else 1.0) for yes in labels.sum(0).tolist()
            )
        counts = torch.bincount(labels, minlength=len(classes)).tolist()
        return tuple(_digits(len(labels) / (len(classes) * count)) if count else 1.0 for count in counts)
    if len(given) != len(classes):
        raise BadInput(
            f"{field}: {len(given)} values were given for {len(classes)} classes ({', '.join(classes[:5])})."
        )
    return tuple(given)


def _digits(weight: float) -> float:
    return float(f"{weight:.6g}")


def _value(given: Any) -> Any:
    if not isinstance(given, Schedule):
        return given
    start, end, epochs = given.way.start, given.way.end, given.way.epochs
    if given.step is not None:
        assert epochs is not None
        return schedules.Step(start, end, epochs)
    return (schedules.Linear if given.linear is not None else schedules.Cosine)(start, end, epochs)


def supervised(
    answers: Answers, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
) -> Objective:
    """What is learnt from labels alone; numbers have no classes, and nothing to smooth."""
    entry = CATALOGUE[KINDS[answers.kind].PLAIN]
    settings = {"label_smoothing": label_smoothing, "class_weights": class_weights}
    return getattr(modules, str(entry.module))(**{name: settings[name] for name in entry.defaults if name in settings})


def wants_features(objective: Objective) -> str:
    """The parts of an objective that need the teacher's features, by name."""
    return " and ".join(dict.fromkeys(part.title for _, part in objective.weighted if part.needs.teacher_features))


def deployed_with(objective: Objective) -> str | None:
    """One line for a person whose objective deploys more than the student."""
    if simkd_in(objective) is None:
        return None
    return (
        "simkd: what is trained, measured and exported is the student's body, a projector and the teacher's classifier; "
        "it is larger than the student, which the baselines are."
    )


def asked_live(objective: Objective) -> str:
    """Why the teacher of an objective on features is asked live, without the full stop."""
    wanting = wants_features(objective)
    return f"{wanting} needs the teacher's features, which are not stored: the teacher is asked at every step"
