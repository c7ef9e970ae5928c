"""Speech recognition by CTC, as the pipeline asks for it: models held to the data, and what is deployed.

Shapes: B batch, S samples, L frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput, short
from ...interfaces import Exportable, Graph, RaggedLogits
from ...interfaces.modality import Member, Teachers
from ...models.inference import ask
from ...models.own_code import named
from .built import network
from .crowded import facts_of, models_of, notes_of
from .data_sections import Noise
from .examples import Clips, Splits
from .export import exportable, sound_metadata
from .families import elsewhere
from .recipe_ctc import RecogniserTeacher, SpeechRecipe, SpeechTeacher
from .recogniser import Recogniser
from .task_ctc import SpeechRecognition, frames_of
from .transcripts import normalised

PARITY_CLIPS = 200  # that an exported model is held to, each by itself
_ASKED = (2.0, 1.3)  # seconds of the two clips that a model is tried on


def teachers_of(recipe: SpeechRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The recipe's teacher. Raises :class:`BadInput` where it cannot be built, or does not fit the data."""
    section, notes = recipe.teacher, list[str]()
    if isinstance(section, RecogniserTeacher):
        return _alone(_recogniser(section, recipe, splits, trust_code), section, recipe.seed, splits, notes)
    model = network(section, splits, trust_code=trust_code, seed=recipe.seed, notes=notes)
    if section.train is None and not elsewhere(section.model):
        notes.append(
            f"Nothing says which symbol each output of {section.title} stands for: they are taken to be the blank, then "
            f"{' '.join(map(repr, splits.answers.names[1:]))}, in this order."
        )
    return _alone(model, section, recipe.seed, splits, notes)


def given_teacher(model: nn.Module, recipe: SpeechRecipe, splits: Splits) -> Teachers:
    """A person's own module as the teacher."""
    assert isinstance(recipe.teacher, SpeechTeacher)
    return _alone(model, recipe.teacher, recipe.seed, splits, [])


def student_of(recipe: SpeechRecipe, splits: Splits, *, trust_code: bool) -> Callable[[int], nn.Module]:
    """What makes the recipe's student for a seed."""
    return lambda seed: network(recipe.student, splits, trust_code=trust_code, seed=seed)


def task_of(
    recipe: SpeechRecipe, splits: Splits, teacher: nn.Module, device: torch.device, noises: Sequence[Noise] = ()
) -> SpeechRecognition:
    """The task."""
    task = SpeechRecognition(splits, view_seed=recipe.seed, device=device, noises=noises)
    task.frames_by = models_of({"teacher": teacher})
    return task


def check(model: nn.Module, splits: Splits, name: str) -> None:
    """Asks ``model`` about two clips; it is afterwards as it was. ``name`` (``teacher``, ``student``) is how messages speak of it.

    Raises:
        BadInput: it fails on such clips, does not answer with finite logits (2, L, V), or does not say how many frames are each
            clip's own.
    """
    lengths_B = torch.tensor([round(seconds * splits.rate) for seconds in _ASKED])
    samples_BS = torch.linspace(-0.5, 0.5, 2 * int(lengths_B[0])).view(2, -1)
    samples_BS[1, int(lengths_B[1]) :] = 0
    heard = f"samples_BS (batch, samples) at {splits.rate} Hz and lengths_B (batch)"
    try:
        answer: Any = ask(model, {"samples_BS": samples_BS, "lengths_B": lengths_B})
    except Exception as error:  # a model of any kind fails in any way
        raise BadInput(f"the {name} fails on the data's sounds, which are {heard}: {short(error)}") from error
    symbols = splits.answers.width
    if not isinstance(answer, Tensor) or not answer.is_floating_point() or answer.ndim != 3:
        said = f"the shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise BadInput(
            f"the {name} answers two sounds with {said}; it should answer with logits (2, frames, {symbols})."
        )
    if answer.shape[0] != 2 or answer.shape[2] != symbols:
        raise BadInput(
            f"the {name} answers two sounds with the shape {tuple(answer.shape)}; (2, frames, {symbols}) is what the blank and the "
            f"data's {symbols - 1} symbols need."
        )
    if not bool(torch.isfinite(answer).all()):
        raise BadInput(f"the {name} answers a rising tone with NaN or infinity: its weights are not usable.")
    try:
        frames_B = frames_of(model)(lengths_B)
    except ValueError as error:
        raise BadInput(f"the {name}: {error}, which a recognition task asks for.") from None
    if int(frames_B.max()) != answer.shape[1] or int(frames_B.min()) < 1:
        raise BadInput(
            f"the {name} answers at {answer.shape[1]} frames, and its frames_of says that sounds of {lengths_B.tolist()} samples have "
            f"{frames_B.tolist()}: the longest should have as many as the answer."
        )


def exportables(model: nn.Module, task: SpeechRecognition, role: str) -> dict[str, Exportable]:
    """One graph, from the samples of clips of one length to logits at their frames; none of a recogniser."""
    if isinstance(model, Recogniser):
        return {}
    metadata = sound_metadata(
        model, name=role, classes=task.answers.names, rate=task.rate, samples=None, task=task.name
    )
    return {role: exportable(model, metadata)}


def answered(graphs: Mapping[str, Graph], model: nn.Module, examples: Clips) -> RaggedLogits:
    """Logits at the frames of each clip, which a file is asked about alone, as ``predict.py`` does."""
    (ask_graph,) = graphs.values()
    parts, lengths = [], []
    for position in range(len(examples)):
        samples_1S = examples.waveform(position).cpu()[None].contiguous()
        answer_LV = torch.from_numpy(ask_graph({"samples": samples_1S.numpy()})[0])[0]
        parts.append(answer_LV)
        lengths.append(len(answer_LV))
    return RaggedLogits(torch.cat(parts), torch.tensor(lengths))


def facts(splits: Splits, task: SpeechRecognition) -> dict[str, Any]:
    """The rate, how long the clips are, the alphabet, and what of them did not fit."""
    too_long = facts_of(splits, task.frames_by)
    alphabet = "".join(splits.answers.names)
    sound = {"rate": splits.rate, "seconds": splits.train.seconds, "alphabet": alphabet, "counted": splits.counted}
    sound |= {"crowded": too_long} if too_long else {}
    minutes = splits.train.seconds / 60
    return {"about": f"{minutes:,.1f} minutes of transcribed speech at {splits.rate:,} Hz", "sound": sound}


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


def _alone(
    model: nn.Module, section: SpeechTeacher | RecogniserTeacher, seed: int, splits: Splits, notes: list[str]
) -> Teachers:
    check(model, splits, "teacher")
    notes = [*notes, *notes_of(splits, "teacher", model)]
    member = Member(section, seed, model, None, tuple(notes))
    return Teachers(model, None, (member,), tuple(notes))
