"""A student learns the same from a store that is too large to be held: its answers are read one step ahead."""

import threading

import torch

from limbeck.pipeline.stages import claimed
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.targets.store import store as store_module
from limbeck.targets.store.mapped_files import Mapped
from tests.helpers.tiny import job


def test_read_ahead_or_held_the_student_is_the_same_to_the_bit(tmp_path, monkeypatch):
    one = job(tmp_path, "train.micro_batches=2")
    with claimed(one.out):
        teacher = the_teacher(one)
        held = the_targets(one, teacher)
        student = train_member(one, the_arms(one, teacher, held)["student"], 0)
        (tmp_path / "stages/student").rename(tmp_path / "stages/before")
        monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
        readers = []
        read = Mapped.read
        monkeypatch.setattr(
            Mapped, "read", lambda *a, **k: readers.append(threading.current_thread().name) or read(*a, **k)
        )
        again = train_member(one, the_arms(one, teacher, the_targets(one, teacher))["student"], 0)
    for name, weights in student.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], weights)
    # two epochs of three steps, in two parts each: only the first step's are read by who asks
    assert readers.count("MainThread") == 2
    assert len(readers) >= 12
