"""Speech recognition: clips of any length as batches, answers at their frames, what is no recogniser; and a student that learns from one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from limbeck.errors import BadInput
from limbeck.evaluation import frames
from limbeck.evaluation.keep import keep
from limbeck.interfaces import IGNORED
from limbeck.modalities.speech import crowded, modality, modality_ctc
from limbeck.modalities.speech.built import network
from limbeck.modalities.speech.data_sections import SoundViews, SpeechData
from limbeck.modalities.speech.load import load
from limbeck.modalities.speech.recipe_ctc import SpeechTrain
from limbeck.modalities.speech.recogniser import Recogniser
from limbeck.modalities.speech.task_ctc import SpeechRecognition, frames_of
from limbeck.objectives.modules import CTCSequenceKD
from limbeck.pipeline.targets import answers_each
from limbeck.pipeline.teacher import the_teacher
from limbeck.sections.teacher import Model
from limbeck.targets.codecs.dense import Dense
from limbeck.targets.live_teacher import LiveTeacher
from limbeck.training.loop import Training, fit
from tests.helpers import spoken_runs
from tests.helpers.spoken_runs import RATE, listener

STUDENT = Model.model_validate({"model": "ds_ctc", "width": 24, "depth": 2, "stride": 2, "mels": 20})


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = spoken_runs.write(tmp_path_factory.mktemp("spoken"))
    return load(SpeechData(name=str(folder / "data"), validation="validation"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def student(splits: Any, seed: int = 0) -> nn.Module:
    return network(STUDENT, splits, trust_code=False, seed=seed)


def task_of(splits: Any) -> SpeechRecognition:
    return SpeechRecognition(splits, view_seed=0).learnt_by(student(splits))


def test_a_clip_is_answered_alike_in_any_company(splits: Any) -> None:
    task, model = task_of(splits), student(splits).eval()
    assert task.answers.names == ("", " ", "a", "b", "c")
    index_B, views = torch.tensor([7, 0, 30, 11]), SoundViews(shift=0.05, gain=6)
    batch = task.batch(task.train, index_B, torch.tensor([0, 1, 0, 2]), views)
    assert batch.mask is not None
    assert task.forward(model, batch).logits.shape == (*batch.mask.shape, 5)  # pyright: ignore[reportOptionalMemberAccess]
    answer = task.answer(model, batch)
    assert answer.lengths.tolist() == batch.mask.sum(1).tolist()
    rows = answer.logits.split(answer.lengths.tolist())
    for b, view in enumerate((0, 1, 0, 2)):
        alone = task.answer(model, task.batch(task.train, index_B[b : b + 1], torch.tensor([view]), views))
        torch.testing.assert_close(rows[b], alone.logits, atol=1e-4, rtol=1e-4)
    model.train()
    parts = list(task.answers_to(model, task.held_out))
    assert model.training
    places = torch.cat([index for index, _ in parts])
    assert places.sort().values.equal(torch.arange(len(task.held_out)))
    assert (task.held_out.lengths[places].diff() >= 0).all()  # little of a batch is padding


def test_a_student_learns_from_what_a_recogniser_hears_in_sound_without_labels(splits: Any, tmp_path: Path) -> None:
    task = task_of(splits)
    unlabelled = replace(task.train, labels=None, texts=None)
    recogniser = Recogniser(listener(0.9), task.answers.names, RATE, str.strip, "tests:listener")
    model = student(splits)
    plan = SpeechTrain(epochs=7, batch_size=8, learning_rate=0.01)
    source = task.source(unlabelled, views=SoundViews(), seed=0, batch_size=8)
    teacher = LiveTeacher(recogniser, task)
    fit(Training("", model, task, source, CTCSequenceKD(), teacher, plan, 0, tmp_path), Accelerator(cpu=True))
    test = splits.test.open("a test")
    kept = keep(
        frames, task.answers_to(model, test), test.labels, task.answers_to(recogniser, test), task.answers.names
    )
    assert frames.figures(kept)["error_rate"] < 0.1
    assert frames.fidelity(kept)["heard_otherwise"] == frames.figures(kept)["error_rate"]  # the recogniser errs nowhere


class Odd(nn.Module):
    """Answers with what it is given, whatever it is asked about."""

    def __init__(self, answer: Any, frames: Any = None) -> None:
        super().__init__()
        self.answer = answer
        if frames is not None:
            self.frames_of = lambda lengths_B: torch.tensor(frames)

    def forward(self, samples_BS: torch.Tensor, lengths_B: torch.Tensor) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            nn.Linear(7, 5),
            r"the student fails on the data's sounds, which are samples_BS \(batch, samples\) at 4000 Hz and lengths_B",
        ),
        (
            Odd(torch.zeros(2, 5)),
            r"answers two sounds with the shape \(2, 5\); it should answer with logits \(2, frames, 5\)",
        ),
        (Odd(torch.zeros(2, 9, 4)), r"\(2, 9, 4\); \(2, frames, 5\) is what the blank and the data's 4 symbols need"),
        (Odd(torch.full((2, 9, 5), torch.nan)), "with NaN or infinity"),
        (Odd(torch.zeros(2, 9, 5)), "Odd does not say by frames_of"),
        (Odd(torch.zeros(2, 9, 5), [8, 5]), r"answers at 9 frames, and its frames_of says .* \[8, 5\]"),
    ],
)
def test_what_does_not_answer_at_frames_is_refused(model: nn.Module, sentence: str, splits: Any) -> None:
    with pytest.raises(BadInput, match=sentence):
        modality_ctc.check(model, splits, "student")


def test_clips_whose_transcript_no_alignment_gives_are_counted_and_named(splits: Any) -> None:
    clips, model = splits.train, student(splits)
    frames_N = frames_of(model)(clips.lengths)
    at = int(frames_N.argmin())
    room = int(frames_N[at])
    labels = torch.full((len(clips), room), IGNORED)
    labels[:, : clips.labels.shape[1]] = clips.labels
    labels[at] = 1 + torch.arange(room) % 2  # as many symbols as frames, no two neighbours equal
    fitting = replace(splits, train=replace(clips, labels=labels, texts=None))
    assert crowded.notes_of(fitting, "student", model) == []
    labels = labels.clone()
    labels[at, 1] = labels[at, 0]  # now a blank is wanted on either side of it
    tight = replace(splits, train=replace(clips, labels=labels, texts=None))
    (note,) = crowded.notes_of(tight, "student", model)
    assert note.startswith(
        f"split 'train': 1 of {len(clips)} transcripts have more symbols than the student has frames for, and they are left out of ctc: '  "
    )
    assert f"{room} frames where {room + 2} are needed" in note
    assert modality.notes_on(model, tight) == [note]
    # one with a frame a clip has too few for many, of which the first are named
    found = crowded.facts_of(splits, {"teacher": torch.ones_like, "student": frames_of(model)})
    assert set(found) == {"teacher"}
    assert found["teacher"]["train"]["of"] == len(clips)
    assert 5 == len(found["teacher"]["train"]["first"]) < found["teacher"]["train"]["count"]
    first = found["teacher"]["train"]["first"][0]
    assert first["said"] in clips.texts
    assert first["frames"] < first["needs"]
    task = modality_ctc.task_of(spoken_runs.recipe(Path()), tight, model, torch.device("cpu")).learnt_by(model)
    told = modality_ctc.facts(tight, task)["sound"]["crowded"]
    assert {role: told[role]["train"]["count"] for role in told} == {"teacher": 1, "student": 1}


def test_a_network_of_ours_is_taken(splits: Any) -> None:
    modality_ctc.check(student(splits), splits, "student")
    facts = modality_ctc.facts(splits, task_of(splits))
    assert (facts["sound"]["alphabet"], facts["sound"]["rate"]) == (" abc", RATE)


def test_a_teacher_of_another_stride_is_trained_at_its_own_frames(tmp_path: Path) -> None:
    changes = ("teacher.stride=3", "teacher.train.epochs=1", "data.limit=8", "objective={ctc_sequence_kd: {}}")
    job = spoken_runs.job(spoken_runs.write(tmp_path), tmp_path / "run", *changes)
    assert len(the_teacher(job).history) == 1
    theirs = frames_of(job.teacher)(job.splits.train.lengths).float().mean()
    assert answers_each(job, Dense()) == pytest.approx(float(theirs))
