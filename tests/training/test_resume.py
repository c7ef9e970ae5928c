"""A run that was killed or stopped goes on to the very weights it would have reached."""

import os
import random
import signal
import time

import pytest
import torch

from limbeck.errors import Interrupted, LimbeckError
from limbeck.sections.train import Train
from limbeck.training import checkpoint, loop
from limbeck.vision.sections import Views
from tests.helpers import runs

PLANS = {
    "sgd-ema-dropout": {"plan": Train(epochs=3, batch_size=20, ema=0.9, weight_decay=0.01), "student": "dropout"},
    "adamw-ema-dropout-best": {
        "plan": Train(epochs=3, batch_size=20, optimizer="adamw", ema=0.9, keep="best", micro_batches=2),
        "student": "dropout",
        "unlabelled": 60,
    },
    "batch-norm-patience-clip": {
        "plan": Train(epochs=3, batch_size=20, learning_rate=0.5, patience=1, clip_norm=1.0, schedule="constant"),
        "student": "convnet",
        "views": Views(shift=0.1),
    },
}


def assert_same(one, other):
    (weights, history), (other_weights, other_history) = one, other
    assert history == other_history
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name


def saved_step(folder):
    state = checkpoint.load(folder / "checkpoint.pt")
    assert state is not None
    return state["step"]


@pytest.mark.parametrize("name", PLANS)
def test_killed_again_and_again(name, tmp_path):
    options = PLANS[name]
    whole = runs.finish(runs.training(tmp_path / "whole", **options))
    folder = tmp_path / "killed"
    # patience may end the run early, so the last kills lie within the first two epochs
    for step in sorted(random.Random(name).sample(range(2, 22), 3)):
        assert runs.killed(runs.train_and_die, folder, options, step)
        assert 0 < saved_step(folder) <= step
    assert_same(runs.finish(runs.training(folder, **options)), whole)


@pytest.mark.parametrize("name", PLANS)
def test_stopped_at_the_end_of_each_epoch(name, tmp_path):
    """Killed on the way to the second, too; whoever goes on makes no step twice and ends where the undisturbed run does."""
    options = PLANS[name]
    whole = runs.finish(runs.training(tmp_path / "whole", **options))
    per_epoch = runs.training(tmp_path, **options).source.steps_per_epoch()
    folder, steps = tmp_path / "stopped", []

    def watched():
        return runs.training(folder, watch=lambda step, student: steps.append(step), **options)

    _, history = runs.finish(watched(), until=1)
    assert history == whole[1][:1]
    assert saved_step(folder) == per_epoch
    assert steps == list(range(per_epoch))
    assert runs.killed(runs.train_and_die, folder, options, per_epoch + 3)
    saved = saved_step(folder)
    assert per_epoch <= saved <= per_epoch + 3
    steps.clear()
    weights, history = runs.finish(watched(), until=2)
    assert history == whole[1][:2]
    assert_same(runs.finish(watched(), until=1), (weights, history))  # further already: it stays where it is
    assert steps == list(range(saved, 2 * per_epoch))
    assert_same(runs.finish(watched()), whole)
    assert steps == list(range(saved, len(whole[1]) * per_epoch))


def test_killed_while_saving(tmp_path):
    options = PLANS["sgd-ema-dropout"]
    whole = runs.finish(runs.training(tmp_path / "whole", **options))
    for number in (1, 2):
        assert runs.killed(runs.train_and_die_while_saving, tmp_path / "killed", options, number)
    assert_same(runs.finish(runs.training(tmp_path / "killed", **options)), whole)


def test_killed_between_the_end_and_the_record_of_it(tmp_path):
    options = PLANS["adamw-ema-dropout-best"]
    whole = runs.finish(runs.training(tmp_path, **options))
    steps = []
    again = runs.finish(runs.training(tmp_path, watch=lambda step, student: steps.append(step), **options))
    assert_same(again, whole)
    assert steps == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(number, tmp_path):
    options = PLANS["sgd-ema-dropout"]
    whole = runs.finish(runs.training(tmp_path / "whole", **options))

    def stop(at):
        return lambda step, student: os.kill(os.getpid(), number) if step == at else None

    before = signal.getsignal(number)
    last = 3 * runs.training(tmp_path, **options).source.steps_per_epoch() - 1
    for at, epoch in ((0, 1), (15, 2), (last, 3)):  # not a fourth epoch, at the end
        with pytest.raises(Interrupted, match=rf"epoch {epoch} of 3 .*same command"):
            runs.finish(runs.training(tmp_path / "stopped", watch=stop(at), **options))
        assert saved_step(tmp_path / "stopped") == at + 1
        assert signal.getsignal(number) == before
    assert_same(runs.finish(runs.training(tmp_path / "stopped", **options)), whole)


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    def twice(step, student):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        runs.finish(runs.training(tmp_path, watch=twice, **PLANS["sgd-ema-dropout"]))


def test_saving_does_not_depend_on_the_clock(tmp_path, monkeypatch):
    options = PLANS["batch-norm-patience-clip"]
    whole = runs.finish(runs.training(tmp_path / "seldom", **options))
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    assert_same(runs.finish(runs.training(tmp_path / "often", **options)), whole)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    runs.finish(runs.training(folder, Train(epochs=1, batch_size=60)))
    return (folder / "checkpoint.pt").read_bytes()


DAMAGE = {
    "empty": lambda data: b"",
    "text": lambda data: b"not a checkpoint",
    "truncated": lambda data: data[: len(data) // 2],
    "cut-short": lambda data: data[:-1],
    "pickle": lambda data: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_gives_a_sentence(kind, saved, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(DAMAGE[kind](saved))
    with pytest.raises(LimbeckError, match=r"checkpoint\.pt is damaged .*delete it"):
        runs.finish(runs.training(tmp_path, Train(epochs=1, batch_size=60)))


def test_one_wrong_bit_is_seen(saved, tmp_path):
    """In the weights themselves, where nothing but a checksum can tell."""
    start = saved.index(torch.load(_written(tmp_path, saved))["model"]["5.weight"].numpy().tobytes())
    damaged = bytearray(saved)
    damaged[start + 2] ^= 1
    with pytest.raises(LimbeckError, match="damaged"):
        checkpoint.load(_written(tmp_path, bytes(damaged)))


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_VERSION", 0)
    checkpoint.save(tmp_path / "checkpoint.pt", {"step": 3})
    assert checkpoint.load(tmp_path / "checkpoint.pt") == {"version": 0, "step": 3}
    monkeypatch.undo()
    with pytest.raises(LimbeckError, match="another version"):
        checkpoint.load(tmp_path / "checkpoint.pt")
    assert checkpoint.load(tmp_path / "absent.pt") is None


def _written(folder, data):
    path = folder / "checkpoint.pt"
    path.write_bytes(data)
    return path
