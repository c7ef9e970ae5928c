"""What a student costs here and in the systems that people use: torchdistill, timm, Keras, a loop written by hand.

    LIMBECK_DATA=... python benchmarks/against_peers.py
    LIMBECK_DATA=... python benchmarks/against_peers.py --students 1 --epochs 2   # by steps: quicker, and says no accuracy

One teacher (wrn_16_2, trained here first), one student (the convnet of recipes/fashion_mnist.yaml), 10,000 pictures of
Fashion-MNIST, batches of 128, crops and mirrors, temperature 4, half kd and half labels, Nesterov's SGD that warms up to 0.2
in one epoch and falls along a cosine. Each peer is pinned and has an environment of its own, which uv makes (in the folder
`environments` of `--out`; kept for the next call). It gets the very modules of this checkout and the teacher's weights: its
environment has none of Limbeck's dependencies, those two modules need torch alone. Keras has them in its
`TorchModuleWrapper`, on the torch backend. The teacher is asked at every step, as each peer does; `benchmarks/peers/` has what a
user of each writes, pictures transformed by torchvision. Ours are two stored views.

A student is a process of its own, and the systems take turns student by student, turned round every other time; ours casts
its store anew in each turn, so that ratios are of times that are next to each other. Counted are: a peer's training, from
pictures and weights in memory to the trained student; ours the same, with the teacher's pass, and with the checkpoint and
the validation on 6,032 pictures after each epoch, which peers are spared. Not counted: imports, reading the data, training
the teacher, test accuracy. CPU seconds are user and system of the whole process; they stand beside those by wall, since a
machine does other things too. 20 students are arithmetic: 20 times the mean student, and for ours one pass. With `--epochs` other than 10 a
student's seconds are scaled to 10 by steps. Peak memory is what the process held at most, and how much of that came with the
training. Lines are those that are neither blank, comment, docstring nor the call at the end, as this project formats them.

Each student's figures are kept in `--out`, so a call that was stopped goes on, and one that was finished only prints. A peer that
cannot be installed or does not run is said, and the others go on. By steps it takes some 11 minutes of one core of an AMD EPYC
beside training the teacher, in full an hour and a half: both reckoned from one peer by steps.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import arguments, borrow_teacher, mean_sd, print_conditions, print_table

from limbeck.files import fingerprint, sha256_file
from limbeck.modalities.image.load import load
from limbeck.pipeline import stages
from limbeck.pipeline.job import open_job
from limbeck.pipeline.teacher import member_stage, the_teacher
from limbeck.recipe.read import read

HERE = Path(__file__).resolve().parent / "peers"
RECIPE = HERE / "limbeck.yaml"
EPOCHS, MANY = 10, 20
GOALS = {1: 0.60, MANY: 0.22}
"""By students: ours over the fastest peer's seconds, at most."""
TORCH = ("torch==2.15.0", "torchvision==0.29.2")


@dataclass(frozen=True)
class System:
    """Something that trains a student: its script in `peers/`, and what its environment holds; None: this interpreter's."""

    name: str
    script: str
    pins: tuple[str, ...] | None
    written: str  # the file that a user writes

    @property
    def title(self) -> str:
        """The name, and the version that it is pinned to."""
        return " ".join([self.name, *(pin.partition("==")[2] for pin in (self.pins or ())[len(TORCH) :])])


SYSTEMS = (
    System("Limbeck", "by_limbeck.py", None, "limbeck.yaml"),
    System("torchdistill", "by_torchdistill.py", (*TORCH, "torchdistill==1.1.5"), "by_torchdistill.py"),
    System("timm", "by_timm.py", (*TORCH, "timm==1.0.31"), "by_timm.py"),
    System("Keras", "by_keras.py", (*TORCH, "keras==3.15.1"), "by_keras.py"),
    System("by hand", "by_hand.py", TORCH, "by_hand.py"),
)


class Unable(Exception):
    """A system that cannot be installed or does not run, and why."""


def python_of(system: System, environments: Path) -> Path:
    """The interpreter of a system, in an environment that holds what it is pinned to; made where it is not there.

    Raises :class:`Unable` where it cannot be made.
    """
    if system.pins is None:
        return Path(sys.executable)
    folder = environments / f"{system.script.removesuffix('.py')}-{fingerprint([*system.pins, sys.version])[:8]}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        uv = shutil.which("uv")
        if uv is None:
            raise Unable("uv, which makes its environment, is not on the path")
        _done([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], "uv venv")
        _done([uv, "pip", "install", "--quiet", "--python", python, *system.pins], "uv pip install")
        whole.touch()
    return python


def _done(command: list[Any], name: str, **more: Any) -> None:
    """Runs a command; raises :class:`Unable` with what it said last where it fails."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if ended.returncode != 0:
        said = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        raise Unable(f"{name} ended with {ended.returncode}: {' '.join(said[-2:])[-400:]}")


def given_to_all(asked: argparse.Namespace, out: Path) -> tuple[Path, dict[str, Any]]:
    """The file that every system is given, the teacher trained first where it is not; and what is in it that is small."""
    path, beside = out / "given.pt", out / "given.json"
    overrides = [f"data.limit={asked.images}", f"teacher.train.epochs={asked.teacher_epochs}", *asked.set]
    named = fingerprint([sha256_file(RECIPE), sha256_file(HERE / "given.py"), overrides])
    if path.exists() and beside.exists() and (facts := json.loads(beside.read_text())).get("named") == named:
        return path, facts
    recipe = read(RECIPE, overrides)
    job = open_job(recipe, load(recipe.data), out=out / "teacher", device="cpu")
    with stages.claimed(out / "teacher"):
        if asked.teacher_from:
            borrow_teacher(asked.teacher_from, out / "teacher")
        teacher = the_teacher(job)
        stage = member_stage(job, job.teachers[0])
    train, test = job.splits.train, job.splits.test.open("students of several systems")
    known: dict[str, Any] = {
        "teacher": recipe.teacher.model,
        "width": recipe.student.width,
        "depth": recipe.student.depth,
        "mean": float(job.splits.mean[0]),
        "std": float(job.splits.std[0]),
        "recipe": str(RECIPE),
        "set": overrides,
        "teacher_stage": str(stage.folder.resolve()),
    }
    facts = {"named": named, "of": fingerprint([known, teacher.fingerprint]), "images": len(train)}
    known |= {
        "images": train.images[:, 0].clone(),
        "labels": train.labels.clone(),
        "test_images": test.images[:, 0].clone(),
        "test_labels": test.labels.clone(),
        "weights": {name: tensor.detach().clone().contiguous() for name, tensor in teacher.model.state_dict().items()},
    }
    torch.save(known, path)
    sys.path.insert(0, str(HERE))
    from given import Given

    facts["accuracy"] = Given(path, 0, 0).accuracy(teacher.model)
    beside.write_text(json.dumps(facts, indent=1) + "\n")
    return path, facts


def student_of(
    system: System, seed: int, python: Path, given: Path, of: str, asked: argparse.Namespace
) -> dict[str, Any]:
    """The figures of one student: those that are kept, or of a process that trains it now.

    Raises :class:`Unable` where that does not end well.
    """
    kept = asked.out / "students" / f"{system.script.removesuffix('.py')}-{seed}.json"
    files = [sha256_file(HERE / name) for name in (system.script, "given.py")]
    named = fingerprint([of, files, system.pins, asked.epochs, asked.threads])
    if kept.exists() and (known := json.loads(kept.read_text(encoding="utf-8"))).get("named") == named:
        return known
    fresh = kept.with_name("now") / kept.name
    fresh.parent.mkdir(parents=True, exist_ok=True)
    options = ["--seed", seed, "--epochs", asked.epochs, "--threads", asked.threads]
    around = os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src"), "OMP_NUM_THREADS": str(asked.threads)}
    _done([python, HERE / system.script, given, fresh, *options], system.script, env=around)
    figures = json.loads(fresh.read_text(encoding="utf-8")) | {"named": named}
    fresh.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    fresh.replace(kept)
    return figures


def lines_of(path: Path) -> int:
    """Lines that a user writes: neither blank nor comment; of a script without its docstring and the call at its end."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    if path.suffix == ".py":
        body = ast.parse(text).body
        for node in (body[0], body[-1]):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return sum(1 for number, line in lines if line and not line.startswith("#") and number not in left_out)


def seconds_to(students: int, one: dict[str, Any], field: str, share: float) -> float:
    """Seconds until so many students are there, from the figures of one; ``share`` of its epochs were trained."""
    return students * one[field] / share + one.get("pass", {}).get(field, 0.0)


def row(system: System, ones: list[dict[str, Any]], share: float) -> list[str]:
    """A system's row of the table."""
    cells = [system.title]
    for field in ("seconds", "cpu_seconds"):
        cells += [f"{statistics.fmean(seconds_to(n, one, field, share) for one in ones):,.1f}" for n in GOALS]
    cells.append(mean_sd([one["accuracy"] for one in ones], scale=100) if share == 1 else "-")
    cells.append(str(lines_of(HERE / system.written)))
    parts = [part for one in ones for part in (one, one.get("pass", one))]
    peak, more = (max(part[field] for part in parts) for field in ("peak_mib", "more_mib"))
    cells.append(f"{peak:,.0f} ({more:,.0f})")
    return cells


def ratios(found: dict[str, list[dict[str, Any]]], share: float) -> list[list[str]]:
    """Ours over the fastest peer's, turn by turn: by wall and by CPU, for one student and for many."""
    ours, peers = found["Limbeck"], {name: ones for name, ones in found.items() if name != "Limbeck"}
    rows = []
    for number, goal in GOALS.items():
        for field, by in (("seconds", "wall"), ("cpu_seconds", "CPU")):
            fastest = min(peers, key=lambda name: statistics.fmean(one[field] for one in peers[name]))
            turns = [
                seconds_to(number, our, field, share) / seconds_to(number, its, field, share)
                for our, its in zip(ours, peers[fastest], strict=True)
            ]
            reached = statistics.fmean(turns)
            met = "yes" if reached <= goal else "no"
            rows.append(
                [number, by, fastest, f"{reached:.3f}", f"{min(turns):.3f} to {max(turns):.3f}", f"{goal:.2f}", met]
            )
    return rows


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--students", type=int, default=2, help="of each system")
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, help="of each student, at least 2; seconds are those of 10"
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--teacher-from", type=Path, metavar="RUN", help="take the finished teacher of this run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--systems", nargs="+", default=[one.name for one in SYSTEMS], help="their names, as in the table"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of our recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/against_peers"))
    asked = parser.parse_args()
    began = time.monotonic()
    asked.out = asked.out.resolve()
    share = asked.epochs / EPOCHS
    torch.set_num_threads(asked.threads)
    given, facts = given_to_all(asked, asked.out)
    found: dict[str, list[dict[str, Any]]] = {}
    pythons: dict[str, Path] = {}
    for system in (one for one in SYSTEMS if one.name in asked.systems):
        try:
            pythons[system.name] = python_of(system, asked.out / "environments")
            found[system.name] = []
        except Unable as why:
            print(f"{system.title} is left out: {why}.")
    for seed in range(asked.students):
        for system in SYSTEMS if seed % 2 == 0 else SYSTEMS[::-1]:
            if system.name not in found:
                continue
            try:
                one = student_of(system, seed, pythons[system.name], given, facts["of"], asked)
                found[system.name].append(one)
            except Unable as why:
                del found[system.name]
                print(f"{system.title} is left out: {why}.")
    columns = ["system", "1 student, s", f"{MANY}, s", "1 student, CPU s", f"{MANY}, CPU s"]
    columns += ["accuracy, %", "lines", "peak, MiB (with the training)"]
    print_table(columns, [row(system, found[system.name], share) for system in SYSTEMS if found.get(system.name)])
    if found.get("Limbeck") and len(found) > 1:
        print()
        columns = ["students", "seconds by", "fastest peer", "ours / its", "from turn to turn", "goal", "met"]
        print_table(columns, ratios(found, share))
    scaled = "" if share == 1 else f" trained for {asked.epochs} epochs, seconds scaled to {EPOCHS}"
    print(
        f"\n{facts['images']:,} pictures; {asked.students} of each{scaled}. The teacher: {100 * facts['accuracy']:.2f} %."
    )
    had = [
        part["cpu_seconds"] / part["seconds"]
        for ones in found.values()
        for one in ones
        for part in (one, one.get("pass", one))
    ]
    if had:
        print(
            f"The processes had {100 * min(had):.0f} to {100 * max(had):.0f} % of a core: where that is uneven, go by CPU seconds."
        )
    print_conditions(f"0 to {asked.students - 1}", began)


if __name__ == "__main__":
    main()
