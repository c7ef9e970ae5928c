"""The teachers that a recipe of speech recognition names: built, held to the data, and made into one where they are several.

Shapes: B batch, S samples, L frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from ...errors import BadInput, short
from ...interfaces.modality import Member, Teachers
from ...models.ensemble import Together
from ...models.own_code import named
from ...sections.teacher import OnnxTeacher, seeds_of
from .built import network
from .crowded import notes_of
from .examples import Splits
from .families import elsewhere
from .onnx_file import SpokenOnnx
from .recipe_ctc import RecogniserTeacher, SpeechEnsemble, SpeechRecipe, SpeechTeacher
from .recogniser import Recogniser
from .task_ctc import frames_of
from .teachers import alone
from .transcripts import normalised

Check = Callable[[nn.Module, Splits, str], None]

_COMPARED = 16  # training clips at whose lengths members of an ensemble must have equally many frames


class TogetherAtFrames(Together):
    """Several teachers that answer as one at each frame, (B, L, V), which all of them have alike."""

    def frames_of(self, lengths_B: Tensor) -> Tensor:
        """How many frames (B,) clips of so many samples have."""
        return frames_of(self.members[0])(lengths_B)


def build_teachers(recipe: SpeechRecipe, splits: Splits, check: Check, *, trust_code: bool) -> Teachers:
    """The teachers of a recipe, their starting weights loaded; ``check`` holds each to the data.

    Raises :class:`BadInput` where one cannot be built, or does not fit the data or the others: says which and why.
    """
    section = recipe.teacher
    if not isinstance(section, SpeechEnsemble):
        return alone(_member(section, recipe, recipe.seed, splits, check, trust_code, "teacher"))
    members = [
        _member(one, recipe, seed, splits, check, trust_code, f"teacher in teacher.ensemble.{k}")
        for k, (one, seed) in enumerate(zip(section.ensemble, seeds_of(section, recipe.seed), strict=True))
    ]
    _same_frames(members, splits)
    notes = tuple(dict.fromkeys(note for member in members for note in member.notes))
    model = TogetherAtFrames([member.model for member in members], section.combine, section.weights)
    return Teachers(model, None, tuple(members), notes)


def _member(
    section: SpeechTeacher | OnnxTeacher | RecogniserTeacher,
    recipe: SpeechRecipe,
    seed: int,
    splits: Splits,
    check: Check,
    trust_code: bool,
    name: str,
) -> Member:
    notes = list[str]()
    if isinstance(section, RecogniserTeacher):
        model, tells = _recogniser(section, recipe, splits, trust_code), True
    elif isinstance(section, OnnxTeacher):
        try:
            model = SpokenOnnx(section.onnx)
            model.check_takes(splits.rate, None)
            tells = model.names(splits.answers.names, "symbol")
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from None
    else:
        model = network(section, splits, trust_code=trust_code, seed=seed, notes=notes)
        tells = section.train is not None or elsewhere(section.model)
    if not tells:
        notes.append(
            f"Nothing says which symbol each output of {section.title} stands for: they are taken to be the blank, then "
            f"{' '.join(map(repr, splits.answers.names[1:]))}, in this order."
        )
    check(model, splits, name)
    notes += notes_of(splits, "teacher", model)
    return Member(section, seed, model, None, tuple(notes))


def _same_frames(members: Sequence[Member], splits: Splits) -> None:
    """Raises :class:`BadInput` where a member of an ensemble has other frames than the first."""
    lengths_B = splits.train.lengths[splits.train.ids.argsort()[:_COMPARED]].cpu()
    first, *others = [frames_of(member.model)(lengths_B) for member in members]
    for k, theirs in enumerate(others, 1):
        if len(at := (theirs != first).nonzero().flatten()):
            b = int(at[0])
            raise BadInput(
                f"teacher.ensemble.{k}: {members[k].section.title} answers a clip of {int(lengths_B[b])} samples at {int(theirs[b])} frames, "
                f"and the first teacher at {int(first[b])}: their answers are put together frame by frame, so give all the same stride and hop_ms."
            )


def _recogniser(section: RecogniserTeacher, recipe: SpeechRecipe, splits: Splits, trust_code: bool) -> Recogniser:
    name = ", ".join([section.recogniser, *(f"{knob}={value!r}" for knob, value in section.knobs.items())])
    told = (splits.answers.names, splits.rate, partial(normalised, data=recipe.data), name)
    if elsewhere(section.recogniser):
        from .transcriber import Transcriber  # transformers is an extra

        transcriber = Transcriber(section.recogniser, section.knobs)
        return Recogniser(transcriber, *told, transcriber.known_by)
    made = named(section.recogniser, trust_code)
    try:
        recognise = made(**section.knobs)
    except Exception as error:
        raise BadInput(
            f"teacher.recogniser: {section.recogniser} failed when called with {section.knobs}: {short(error)}"
        ) from error
    if not callable(recognise):
        raise BadInput(
            f"teacher.recogniser: {section.recogniser} returned a {type(recognise).__name__}; a function of samples and their rate is "
            "wanted."
        )
    return Recogniser(recognise, *told)
