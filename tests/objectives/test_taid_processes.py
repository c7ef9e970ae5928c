"""TAID's target is the same in every process, and the one it would have been in one."""

import multiprocessing

import torch
import torch.distributed

from limbeck.interfaces import Batch, DenseLogits, Output, Target
from limbeck.objectives.modules import TAID
from limbeck.objectives.schedules import Progress

FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["torch.distributed", "limbeck.objectives.modules"])
STEPS = 6
SHARES = (slice(0, 2), slice(2, 6))  # unequal, so that a mean of means would be another number


def targets(rows):
    """The teacher's share at each step, for a process that sees these rows of each batch."""
    module, shares = TAID(t0=0.2, alpha=0.2, momentum=0.5), []
    teacher = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    for step in range(STEPS):
        module.at(Progress(step, 2, 1000))  # so slow that the losses decide
        shares.append(float(module.schedule.t))
        student = torch.randn(6, 5, generator=torch.Generator().manual_seed(1 + step))[rows]
        ids = torch.arange(len(student))
        given = Batch(ids=ids, view=torch.zeros_like(ids), inputs=None)
        module(Output(logits=student), Target((DenseLogits(teacher[rows]),)), given)
    return shares


def in_a_group(rank, folder):
    """One of two processes; writes down what it found."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(targets(SHARES[rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    processes = [FRESH.Process(target=in_a_group, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    expected = torch.tensor(targets(slice(None)))
    for rank in range(2):
        torch.testing.assert_close(torch.tensor(torch.load(tmp_path / f"{rank}.pt", weights_only=True)), expected)
    assert not torch.allclose(torch.tensor(targets(SHARES[0])), expected)
