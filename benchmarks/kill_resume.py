"""Killed ten times, and none the worse: the same weights and answers, byte for byte, as a run that was left alone.

    python benchmarks/kill_resume.py
    LIMBECK_DATA=... python benchmarks/kill_resume.py --task recognition
    LIMBECK_DATA=... python benchmarks/kill_resume.py --task keywords
    python benchmarks/kill_resume.py --task control

Runs `limbeck run recipes/digits_all_labels.yaml --set seeds=1` once undisturbed; with `--task` a recipe of sounds, short enough to be
killed often. Then the same command in another folder is killed (SIGKILL, its whole process group) ten times and given again each time,
until it finishes. Each kill is meant for a stage, so that all of them are hit, the short ones too: it falls at a random moment after the
stage was seen to be at work, within the time that the stage took undisturbed. Where the stage was quicker this time, the kill hits
whatever came next; the table says what it hit. One thread, CPU; checkpoints every 0.3 s in the killed run and as
ever in the other. Of drivers most kills fall while episodes are driven, before the first stage: at a random moment after another file of
episodes was written, within the time that one took undisturbed. About 5 minutes on 2 cores. Exit code 1 where anything differs.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, print_conditions, print_table

from limbeck.files import sha256_file

STAGES = ("teacher", "targets", "student", "baseline", "smoothed", "evaluate", "export", "report")
MEANT = (
    "teacher",
    "teacher",
    "targets",
    "student",
    "student",
    "baseline",
    "smoothed",
    "evaluate",
    "export",
    "report",
)
COMPARED = (
    "*/*/model.safetensors",
    "targets/*/store/seal.json",
    "evaluate/*/answers.safetensors",
    "export/*/*.onnx",
)
DRIVEN = "episodes"  # driven before the first stage, and kept in XDG_CACHE_HOME
MEANT_DRIVING = (*(DRIVEN,) * 6, "targets", "student", "baseline", "export")
SHORT = {
    "control": (
        "data={name: highway-fast-v0, settings: {duration: 15, vehicles_count: 12}, episodes: 12, validation_episodes: 4, test_episodes: 4, "
        "rollouts: {rounds: 5, episodes: 12, epochs: 40}}",
        "student.width=12", "train.epochs=60", "judge.episodes=6", "baseline.label_smoothing=0",
    ),
    "digits": (),
    "recognition": (
        "data.limit=200", "views={speed: 0.1, gain: 6}",
        "teacher={model: ds_ctc, width: 32, depth: 2, stride: 2, train: {epochs: 2, batch_size: 8, learning_rate: 0.003}}",
        "targets.views=2", "student.width=24", "student.depth=2", "train.epochs=2",
        "objective={ctc: {}, ctc_frame_kd: {}, ctc_sequence_kd: {weight: 0.5}}",
    ),
    "keywords": (
        "data.limit=600", "teacher.width=8", "teacher.train.epochs=4", "targets.views=4", "student.width=8", "student.depth=2",
        "train.epochs=6", "baseline.label_smoothing=0.1",
    ),
}  # fmt: skip
RECIPES = {
    "control": Path("recipes/highway.yaml"),
    "recognition": Path("recipes/kathleen.yaml"),
    "keywords": Path("recipes/keywords.yaml"),
}


def start(command: list[str], out: Path, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*command, "--out", str(out)],
            stdout=file,
            stderr=file,
            env=os.environ | {"XDG_CACHE_HOME": str(cache_of(out).parents[1])} | environment,
            start_new_session=True,
        )


def meant_in(out: Path) -> list[str]:
    """Which stages the kills are meant for, in their order: those of a run, ten in all."""
    if cache_of(out).exists():
        return list(MEANT_DRIVING)
    there = [stage for stage in MEANT if (out / "stages" / stage).exists()]
    return sorted([*there, *("targets", "evaluate", "baseline")[: len(MEANT) - len(there)]], key=STAGES.index)


def cache_of(out: Path) -> Path:
    """Where the run in a folder keeps its episodes: beside it, so that neither run takes the other's."""
    return out.with_name(f"{out.name}_cache") / "limbeck" / "driving"


def files_of_episodes(out: Path) -> list[float]:
    """When each file of episodes was written, in order."""
    return sorted(path.stat().st_mtime for path in cache_of(out).glob("*.npz"))


def at_work(out: Path) -> str | None:
    """The stage that is begun and not finished."""
    for stage in STAGES:
        for ingredients in (out / "stages" / stage).glob("*/ingredients.json"):
            if not (ingredients.parent / "done.json").exists():
                return stage
    return None


def seconds_of(out: Path, stage: str) -> float:
    """How long a finished stage took, all its seeds together; of episodes the mean of a file."""
    if stage == DRIVEN:
        times = files_of_episodes(out)
        return (times[-1] - times[0]) / (len(times) - 1)
    folders = list((out / "stages" / stage).iterdir())
    return sum((f / "done.json").stat().st_mtime - (f / "ingredients.json").stat().st_mtime for f in folders)


def written(path: Path) -> tuple[int, int] | None:
    """Tells one writing of a file from the next."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def killed(command: list[str], out: Path, log: Path, meant: str, delay: float) -> tuple[str, float] | None:
    """Kills the command ``delay`` seconds after stage ``meant`` (or a later one) is seen at work in it.

    Returns what was hit and the seconds from the command's start; None where it had finished by then.
    """
    before, began, driven = written(out / "recipe.yaml"), time.monotonic(), len(files_of_episodes(out))
    process = start(command, out, log, LIMBECK_CHECKPOINT_SECONDS="0.3")
    try:
        while process.poll() is None:
            if meant == DRIVEN and len(files_of_episodes(out)) > driven:
                break
            # the recipe is written anew when the stages begin; until then, what lies there is the last kill's
            now = at_work(out) if written(out / "recipe.yaml") != before else None
            if now and (meant == DRIVEN or STAGES.index(now) >= STAGES.index(meant)):
                break
            time.sleep(0.005)
        deadline = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            here = at_work(out) if written(out / "recipe.yaml") != before else None
            driving = f"episodes, file {len(files_of_episodes(out)) + 1}"
            return here or (driving if meant == DRIVEN else "between stages"), time.monotonic() - began
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(command: list[str], out: Path, log: Path) -> None:
    """Lets the command run to its end."""
    process = start(command, out, log)
    if process.wait():
        sys.exit(f"the run failed:\n{log.read_text(encoding='utf-8')[-2000:]}")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--task", choices=SHORT, default="digits")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    asked = parser.parse_args()
    began, draw = time.monotonic(), random.Random(asked.seed)
    limbeck = str(Path(sys.executable).with_name("limbeck"))
    recipe = RECIPES.get(asked.task, asked.recipe)
    command = [limbeck, "run", str(recipe), "--threads", "1", "--device", "cpu"]
    for override in ["seeds=1", *SHORT[asked.task], *asked.set]:
        command += ["--set", override]
    with tempfile.TemporaryDirectory() as scratch:
        base = asked.out or Path(scratch)
        base.mkdir(parents=True, exist_ok=True)
        alone, tried, log = base / "alone", base / "killed", base / "log.txt"
        if tried.exists() or alone.exists():
            sys.exit(f"{base} holds such runs already: name a new folder.")
        finish(command, alone, log)
        rows, kills = [], 0
        for number, meant in enumerate(meant_in(alone), 1):
            delay = draw.uniform(0, 0.9 * seconds_of(alone, meant))
            hit = killed(command, tried, log, meant, delay)
            kills += hit is not None
            rows.append([number, meant, *((hit[0], f"{hit[1]:.2f}") if hit else ("finished before", "-"))])
        finish(command, tried, log)
        print_table(["kill", "meant for", "hit", "seconds after the start"], rows)
        print()
        compared = []
        for pattern in COMPARED:
            for path in sorted((alone / "stages").glob(pattern)):
                other = tried / path.relative_to(alone)
                same = other.exists() and sha256_file(path) == sha256_file(other)
                compared.append([path.relative_to(alone / "stages"), sha256_file(path)[:16], "yes" if same else "NO"])
        print_table(["file", "SHA-256 of the undisturbed run's", "identical after the kills"], compared)
        print(f"\n{kills} kills, {sum(row[2] == 'yes' for row in compared)} of {len(compared)} files identical.")
    print_conditions(f"as the recipe says; of the kills' moments {asked.seed}; the runs have 1 thread", began)
    return int(not compared or any(row[2] != "yes" for row in compared))


if __name__ == "__main__":
    sys.exit(main())
