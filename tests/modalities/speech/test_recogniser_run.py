"""A recogniser in a run: it hears each clip once, as it is, and what it heard is learnt in views that no epoch shows again; its pass is kept
block by block."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("soundfile")

from limbeck.interfaces import Hypotheses, Needs
from limbeck.modalities.speech.data_sections import SoundViews
from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.pipeline.students import the_arms
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.targets.store.manifest import contents
from tests.helpers import spoken_runs

LISTENER = "teacher={recogniser: 'tests.helpers.spoken_runs:listener'}"
TRANSCRIPTS = "objective={ctc: {}, ctc_sequence_kd: {}}"
VARIED = "views={speed: 0.5, gain: 6, time_mask: 0.1}"
FORK = multiprocessing.get_context("fork")  # a fresh interpreter would spend its life importing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken_runs.write(tmp_path_factory.mktemp("heard"))


def job_of(folder: Path, out: Path, *overrides: str) -> Job:
    use_threads(1)
    recipe = spoken_runs.recipe(folder, LISTENER, TRANSCRIPTS, VARIED, "targets.views=4", *overrides)
    return open_job(recipe, quiet=True, out=out, device="cpu", trust_code=True)


def test_what_is_heard_of_a_clip_as_it_is_is_learnt_in_views_that_no_epoch_shows_again(
    folder: Path, tmp_path: Path
) -> None:
    job = job_of(folder, tmp_path)
    teacher = the_teacher(job)
    store = the_targets(job, teacher)
    assert store is not None
    assert (store.views, store.manifest["views"]) == (1, SoundViews().model_dump(mode="json"))
    answers = the_arms(job, teacher, store)["student"].teacher
    assert answers is not None
    pool, index_B = job.task.pool, torch.arange(len(job.task.pool))
    shown = torch.stack([answers.view_of(pool.ids, epoch) for epoch in range(6)])
    assert shown.diff(dim=0).ne(0).all()
    batch = job.task.batch(pool, index_B, shown[5], job.recipe.views)
    # at such speeds it would hear otherwise
    assert batch.inputs["lengths_B"].ne(pool.lengths).any()
    heard = answers(batch, Needs(target=(Hypotheses,))).get(Hypotheses)
    for place, label_T in enumerate(pool.labels):
        assert heard.symbols[place, 0, : heard.lengths[place, 0]].tolist() == label_T[label_T >= 0].tolist()
    assert heard.weights[:, 0].eq(0.75).all()


def test_other_views_ask_the_recogniser_nothing_and_a_store_of_it_can_be_given(folder: Path, tmp_path: Path) -> None:
    job = job_of(folder, tmp_path / "one")
    store = the_targets(job, the_teacher(job))
    assert store is not None
    other = job_of(folder, tmp_path / "one", "views={time_mask: 0.2}")
    again = the_targets(other, the_teacher(other))
    assert again is not None
    assert again.path == store.path
    given = job_of(folder, tmp_path / "two", "views={gain: 3}", f"targets.store={store.path}")
    learnt = the_targets(given, the_teacher(given))
    assert learnt is not None
    assert learnt.views == 1


def heard(folder: Path, out: Path) -> Path:
    """The store of a run's soft targets."""
    slow = "teacher={recogniser: 'tests.helpers.spoken_runs:listener', takes: 0.005}"
    job = job_of(folder, out, slow)
    store = the_targets(job, the_teacher(job))
    assert store is not None
    return store.path


def test_a_pass_that_is_killed_goes_on_with_the_clips_that_were_not_heard(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = FORK.Process(target=heard, args=(folder, out))
    process.start()
    limit = time.monotonic() + 60
    while len(shards(out)) < 2 and time.monotonic() < limit:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = {shard: shard.stat().st_mtime_ns for shard in shards(out)}
    assert 2 <= len(kept) < 6  # of 96 clips
    killed, whole = heard(folder, out), heard(folder, tmp_path / "whole")
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept
    assert contents(killed) == contents(whole)
    assert len(shards(out)) == 6


def shards(out: Path) -> list[Path]:
    """The digests of blocks that are kept of a run's soft targets."""
    return sorted((out / "stages" / "targets").glob("*/store/ids-*/view-*/*.sha256"))
