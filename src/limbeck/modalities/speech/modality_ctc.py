"""Speech recognition by CTC, as the pipeline asks for it: models held to the data, and what is deployed.

Shapes: B batch, S samples, L frames, V symbols.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput, short
from ...interfaces import Exportable, Graph, RaggedLogits
from ...interfaces.modality import Member, Teachers
from ...models.inference import answered as answer_of
from ...models.inference import ask
from ...models.outputs import refuse_probabilities
from .built import network
from .crowded import facts_of, models_of, notes_of
from .data_sections import Noise
from .examples import Clips, Splits
from .export import exportable, sound_metadata
from .onnx_file import SoundFile
from .recipe_ctc import SpeechRecipe, SpeechTeacher
from .recogniser import Recogniser
from .task_ctc import SpeechRecognition, frames_of
from .teachers import alone
from .teachers_ctc import build_teachers

PARITY_CLIPS = 200  # that an exported model is held to, each by itself
_ASKED = (2.0, 1.3)  # seconds of the two clips that a model is tried on


def teachers_of(recipe: SpeechRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The recipe's teachers. Raises :class:`BadInput` where one cannot be built, or does not fit the data."""
    return build_teachers(recipe, splits, check, trust_code=trust_code)


def given_teacher(model: nn.Module, recipe: SpeechRecipe, splits: Splits) -> Teachers:
    """A person's own module as the teacher."""
    assert isinstance(recipe.teacher, SpeechTeacher)
    check(model, splits, "teacher")
    return alone(Member(recipe.teacher, recipe.seed, model, None, tuple(notes_of(splits, "teacher", model))))


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
    if not isinstance(
        model, SoundFile | Recogniser
    ):  # which are not exported, so that nobody asks them about any sound
        _check_shortest(model, name)
    refuse_probabilities(answer.float().flatten(0, 1), name, ready=False)
    try:
        frames_B = frames_of(model)(lengths_B)
    except ValueError as error:
        raise BadInput(f"the {name}: {error}, which a recognition task asks for.") from None
    if int(frames_B.max()) != answer.shape[1] or int(frames_B.min()) < 1:
        raise BadInput(
            f"the {name} answers at {answer.shape[1]} frames, and its frames_of says that sounds of {lengths_B.tolist()} samples have "
            f"{frames_B.tolist()}: the longest should have as many as the answer."
        )


def _check_shortest(model: nn.Module, name: str) -> None:
    """Raises :class:`BadInput` where a model fails on a clip of one sample, as its exported file would."""
    try:
        ask(model, {"samples_BS": torch.zeros(1, 1), "lengths_B": torch.tensor([1])})
    except Exception as error:  # likewise
        raise BadInput(
            f"the {name} fails on a clip of one sample: what is exported is asked about clips of any length, so pad a short one in its "
            f"forward. ({short(error)})"
        ) from error


def exportables(model: nn.Module, task: SpeechRecognition, role: str) -> dict[str, Exportable]:
    """One graph, from the samples of clips of one length to logits at their frames; none of a recogniser."""
    if isinstance(model, Recogniser):
        return {}
    metadata = sound_metadata(
        model, name=role, classes=task.answers.names, rate=task.rate, samples=None, task=task.name
    )
    graph = exportable(model, metadata)
    lengths = inspect.signature(model.forward).parameters.get("lengths_B")
    needed = lengths is not None and lengths.default is lengths.empty
    return {role: replace(graph, module=_Whole(model)) if needed else graph}


class _Whole(nn.Module):
    """A model that has to be told how long clips are, asked about sounds (B, S) of which every sample is their own, as a file is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, samples_BS: Tensor) -> Tensor:
        lengths_B = torch.ones_like(samples_BS[:, 0], dtype=torch.int64) * samples_BS.shape[1]
        return answer_of(self.model, {"samples_BS": samples_BS, "lengths_B": lengths_B})


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
