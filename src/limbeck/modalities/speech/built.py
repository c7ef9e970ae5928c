"""A network for the sounds of a run, by its section in the recipe; and whether a model fits them.

Shapes: B batch, S samples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput, short
from ...models.inference import ask
from ...models.own_code import from_code
from ...models.seeding import seeded
from ...models.weights import load_weights
from ...sections.teacher import Model
from .examples import Clips, Splits
from .families import check, elsewhere, ours
from .frontend import fit
from .model_sections import TeacherSection
from .networks import build

FITTED_TO = 512  # training clips by whose spectra a front end is fitted
AT_ONCE = 64


def network(
    section: Model,
    splits: Splits,
    *,
    trust_code: bool,
    seed: int,
    notes: list[str] | None = None,
) -> nn.Module:
    """The model that a recipe's section names, from samples (B, S) to logits (B, C).

    Initialised from ``seed`` alone, its front end fitted to the training clips, then given the section's weights, if any, which
    bring a front end of their own. A ``module:callable`` is called with the section's knobs, and with ``classes``, ``rate`` and
    ``samples`` where it has parameters of those names. A teacher may be a checkpoint of transformers. ``notes`` gains what had to be taken for granted of its weights.

    Raises:
        BadInput: the name or a knob is unknown or out of range, code is not trusted or does not give a module, or the weights do
            not fit.
    """
    width = splits.answers.width
    if elsewhere(section.model):
        from .pretrained import pretrained  # transformers is an extra

        assert isinstance(section, TeacherSection)
        model = pretrained(section, splits, seed=seed, notes=[] if notes is None else notes)
    else:
        model = made(section, classes=width, rate=splits.rate, samples=splits.samples, trust_code=trust_code, seed=seed)
    if section.weights is not None:
        said = load_weights(model, section.weights, section.model)
        if notes is not None:
            notes += said
    elif ours(section.model):
        fit(model.front, parts_of(splits.train, splits.samples))  # pyright: ignore[reportArgumentType]
    return model


def made(section: Model, *, classes: int, rate: int, samples: int | None, trust_code: bool, seed: int) -> nn.Module:
    """The same without weights, its front end not fitted to anything."""
    if ":" in section.model:
        facts = {"classes": classes, "num_classes": classes, "rate": rate, "samples": samples}
        with seeded(seed):
            return from_code(section, trust_code, facts)
    check(section.model, section.knobs)
    return build(section.model, section.knobs, rate=rate, samples=samples, classes=classes, seed=seed)


def parts_of(clips: Clips, samples: int | None, most: int = FITTED_TO) -> Iterator[Tensor]:
    """The clips with the smallest ids as they are, (B, S) each, on the CPU: whatever the order they were stored in."""
    for index_B in clips.ids.argsort()[:most].split(AT_ONCE):
        yield clips.padded(index_B, samples)[0].cpu()


def check_fits(model: nn.Module, splits: Splits, name: str) -> None:
    """Asks ``model`` about two clips; it is afterwards as it was. ``name`` (``teacher``, ``student``) is how messages speak of it.

    Raises:
        BadInput: it fails on such clips, or does not answer with finite logits (2, C).
    """
    samples, classes = splits.samples, splits.answers.width
    assert samples is not None
    heard = f"{samples} samples, {samples / splits.rate:g} s at {splits.rate} Hz"
    given_BS = torch.linspace(-0.5, 0.5, 2 * samples).view(2, samples)
    try:
        answer: Any = ask(model, given_BS)
    except Exception as error:  # a model of any kind fails in any way
        raise BadInput(
            f"the {name} fails on the data's sounds, which are {heard} (batch, samples): {short(error)}"
        ) from error
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        raise BadInput(
            f"the {name} answers with a {type(answer).__name__}; it should answer with a tensor of logits, floating-point numbers "
            "(sounds, classes)."
        )
    if answer.shape != (2, classes):
        raise BadInput(
            f"the {name} answers two sounds with the shape {tuple(answer.shape)}; (2, {classes}) is what the data's {classes} "
            "classes need."
        )
    if not bool(torch.isfinite(answer).all()):
        raise BadInput(f"the {name} answers a rising tone with NaN or infinity: its weights are not usable.")
