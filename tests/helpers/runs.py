"""Small training runs on the digits, for the tests of the loop; also in processes of their own."""

import dataclasses
import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn

from limbeck.interfaces import Source
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.image.examples import Examples
from limbeck.modalities.image.task import ImageClassification
from limbeck.objectives.modules import KD, CrossEntropy
from limbeck.randomness import torch_seed
from limbeck.sections.teacher import Model
from limbeck.targets.live_teacher import LiveTeacher
from limbeck.training import loop
from limbeck.training.loop import Training, fit
from limbeck.vision.build import build
from limbeck.vision.inputs import Normalisation
from limbeck.vision.sections import Views

# A server that has imported everything and computed nothing: forking it is quick, and safe where forking a process
# whose threads are at work is not.
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(
    [
        "limbeck.modalities.image.arrays",
        "limbeck.vision.build",
        "limbeck.modalities.image.task",
        "limbeck.training.loop",
        "sklearn.datasets",
        "torch._dynamo",  # an optimiser imports it when it is made, which takes seconds
    ]
)


@functools.cache
def splits(count=240, unlabelled=0):
    """The digits: ``count`` training examples, of which ``unlabelled`` become a transfer set."""
    bunch: Any = load_digits()
    images, labels = (bunch.images * (255 / 16)).round().astype("uint8"), bunch.target
    digits = from_arrays((images[:count], labels[:count]), (images[-100:], labels[-100:]), (images[-9:], labels[-9:]))
    if not unlabelled:
        return digits
    train = digits.train
    cut = len(train) - unlabelled
    kept = train.take(torch.arange(cut))
    assert kept.labels is not None
    assert len(kept.labels.unique()) == 10
    transfer = Examples(train.images[cut:], None, train.ids[cut:])
    return dataclasses.replace(digits, train=kept, transfer=transfer)


def plain(seed, dropout=0.0):
    """A network without batch norm."""
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed("plain", seed))
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(64, 10),
        )


def convnet(seed):
    section = Model.model_validate({"model": "convnet", "width": 4, "depth": 1})
    return build(section, classes=10, channels=1, size=8, trust_code=False, seed=seed)


UNVARIED = Views()
STUDENTS = {"plain": plain, "dropout": functools.partial(plain, dropout=0.3), "convnet": convnet}


def training(folder, plan, *, student="plain", distil=True, unlabelled=0, views=UNVARIED, watch=None):
    """A run; ``watch(step, student)`` is called before each step's batch is made."""
    data = splits(unlabelled=unlabelled)
    task = ImageClassification(
        data, normalisation=Normalisation(data.mean, data.std), teacher_normalisation=None, view_seed=0
    )
    source = task.source(task.pool, views=views, seed=0, batch_size=plan.batch_size)
    return Training(
        title="student",
        model=STUDENTS[student](1),
        task=task,
        source=source if watch is None else Watched(source, watch),
        objective=0.9 * KD(temperature=4) + 0.1 * CrossEntropy() if distil else CrossEntropy(),
        teacher=LiveTeacher(convnet(2), task) if distil else None,
        plan=plan,
        seed=0,
        folder=folder,
    )


@dataclasses.dataclass
class Watched:
    """A source that tells of each step."""

    source: Source
    watch: Callable[..., object]

    def steps_per_epoch(self):
        return self.source.steps_per_epoch()

    def next(self, step, student, part=0, parts=1):
        if part == 0:
            self.watch(step, student)
        return self.source.next(step, student, part, parts)


def finish(run, until=None):
    """Trains to the end, or to that of an epoch; the weights and the history, without the times."""
    torch.set_num_threads(1)
    history = fit(run, Accelerator(cpu=True), until)
    untimed = [{name: value for name, value in record.items() if name != "seconds"} for record in history]
    return {name: value.clone() for name, value in run.model.state_dict().items()}, untimed


def train_and_die(folder, options, step):
    """Trains, saving as often as the loop does, until it is killed before that step."""

    def watch(now, student):
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.SAVE_EVERY = 0.0
    finish(training(folder, watch=watch, **options))


def train_and_die_while_saving(folder, options, number):
    """Killed where the new checkpoint is written and not yet in its place, at the save of that number."""
    replace, saved = os.replace, []

    def dying(source, target):
        saved.append(target)
        if len(saved) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = dying
    loop.SAVE_EVERY = 0.0
    finish(training(folder, **options))


def train_as_one_of(rank, count, port, folder, options):
    """One of several processes that train together, told of one another as torchrun does it."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    weights, history = finish(training(folder, **options))
    assert torch.distributed.get_world_size() == count
    torch.save({"weights": weights, "history": history}, folder / f"result-{rank}.pt")
    torch.distributed.destroy_process_group()


def killed(target, *arguments):
    """Runs ``target`` in a process of its own; whether it was killed (and did not come to its end)."""
    process = FRESH.Process(target=target, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode == -signal.SIGKILL
