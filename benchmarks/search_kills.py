"""A search is killed again and again: does it come to the same trials and the same weights?

    OMP_NUM_THREADS=1 python benchmarks/search_kills.py
    OMP_NUM_THREADS=1 python benchmarks/search_kills.py --kills 40 --trials 20

First `limbeck search` runs undisturbed. Then the same command, in another folder that is given the measured costs of the first,
gets SIGKILL at random moments and is started again until it comes to its end; and so on in further folders, until as many kills
as asked for were made. Every other kill waits for a trial to be at work, and strikes within the time that one takes. Every trial, with
a teacher and without, must be the undisturbed one's in everything but seconds, and every trained model the same byte for byte. One
process, one thread, CPU. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from common import arguments, print_conditions, print_table
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from limbeck.searching.study import cut_to_whole_lines
from limbeck.searching.trials import Trial, trials_of

ARMS = {"student": "journal.log", "baseline": "control.log"}
# students that train for seconds
SMALL = ("data.transfer=null", "teacher.train.epochs=10", "train.epochs=9", "seeds=1", "search.finalists=1")


@dataclass(frozen=True)
class Study:
    """The trials of a journal, as Optuna has them."""

    trials: list[FrozenTrial]


def studies(out: Path) -> dict[str, Study]:
    """The studies of a search's folder that there are, by arm; a journal's last line may have been cut short."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for arm, name in ARMS.items():
            if (out / "search" / name).exists():
                path = Path(scratch) / name
                shutil.copyfile(out / "search" / name, path)
                cut_to_whole_lines(path)
                storage = JournalStorage(JournalFileBackend(str(path)))
                if optuna.get_all_study_names(storage):
                    found[arm] = Study(optuna.load_study(study_name=arm, storage=storage).trials)
    return found


def trials(out: Path) -> dict[str, list[Trial]]:
    """The trials of a search's folder but for their seconds."""
    return {arm: [replace(one, seconds=0.0) for one in trials_of(study, arm)] for arm, study in studies(out).items()}


def weights(out: Path) -> dict[str, str]:
    """Digests of what was trained to its end, by stage."""
    done = [json.loads(path.read_text()) for path in out.glob("stages/*/*/done.json")]
    return {
        f"{one['stage']}/{one['fingerprint']}": one["files"]["model.safetensors"]
        for one in done
        if "model.safetensors" in one["files"]
    }


def at_work(out: Path) -> set[tuple[str, int]]:
    """The trials that somebody began and nobody ended, by arm and Optuna's number."""
    return {
        (arm, one.number) for arm, study in studies(out).items() for one in study.trials if one.state.name == "RUNNING"
    }


def begun(out: Path) -> int:
    """When the search in a folder was taken up last, in nanoseconds; its recipe is written then."""
    path = out / "search.recipe.yaml"
    return path.stat().st_mtime_ns if path.exists() else 0


def main() -> int:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/digits.yaml"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began, draw = time.monotonic(), random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        base = asked.out or Path(scratch)
        if base.exists() and any(base.iterdir()):
            sys.exit(f"{base} holds something already: name a new folder.")
        base.mkdir(parents=True, exist_ok=True)
        changes = [part for change in (*SMALL, *asked.set) for part in ("--set", change)]
        command = [sys.executable, "-m", "limbeck", "search", str(asked.recipe), *changes]
        command += ["--trials", str(asked.trials), "--threads", "1"]
        whole, log = base / "undisturbed", base / "log.txt"

        def start(folder: Path) -> subprocess.Popen[bytes]:
            with open(log, "w") as said:
                return subprocess.Popen([*command, "--out", str(folder)], stdout=said, stderr=said)

        clock = time.monotonic()
        if start(whole).wait():
            sys.exit(log.read_text())
        took_s = time.monotonic() - clock
        expected, expected_weights = trials(whole), weights(whole)
        a_trial_s = sum(one.seconds for arm, study in studies(whole).items() for one in trials_of(study, arm))
        a_trial_s /= sum(map(len, expected.values()))
        rows: list[list[object]] = []
        identical: list[bool] = []
        while len(rows) < asked.kills:
            out = base / f"killed-{len(identical) + 1}"
            (out / "search").mkdir(parents=True)
            (out / "stages").mkdir()
            shutil.copyfile(whole / "search" / "costs.jsonl", out / "search" / "costs.jsonl")
            while True:
                before, left, process = begun(out), at_work(out), start(out)
                while process.poll() is None and begun(out) == before:  # it imports, and reads the data
                    time.sleep(0.01)
                aimed = len(rows) % 2 == 1
                while aimed and process.poll() is None and not at_work(out) - left:
                    time.sleep(0.05)
                until = time.monotonic() + draw.uniform(0, 1 if aimed else 2) * (
                    a_trial_s if aimed else took_s / asked.kills
                )
                while process.poll() is None and (time.monotonic() < until or len(rows) == asked.kills):
                    time.sleep(0.002)
                process.kill()
                if process.wait() != -signal.SIGKILL:  # it had come to its end
                    break
                found = studies(out)
                counts = [len(trials_of(found[arm], arm)) if arm in found else 0 for arm in ARMS]
                rows.append([len(identical) + 1, len(rows) + 1, *counts, "yes" if at_work(out) - left else "no"])
            ended_well = process.returncode == 0
            identical.append(ended_well and trials(out) == expected and weights(out) == expected_weights)
        print_table(["search", "kill", "trials with a teacher by then", "without", "struck one at work"], rows)
    fates = Counter(one.fate for found in expected.values() for one in found)
    struck = sum(row[-1] == "yes" for row in rows)
    print(
        f"\n{len(rows)} kills, {struck} of them of a trial at work, {sum(identical)} of {len(identical)} searches identical in their "
        f"{sum(map(len, expected.values()))} trials ({', '.join(f'{n} {fate}' for fate, n in fates.items())}) and in "
        f"{len(expected_weights)} trained models; undisturbed, one took {took_s:.0f} s."
    )
    print_conditions(f"of the kills {asked.seed}; 1 thread", began)
    return int(not all(identical))


if __name__ == "__main__":
    sys.exit(main())
