"""A search is killed again and again: does it come to the same trials and the same weights?

    OMP_NUM_THREADS=1 python benchmarks/search_kills.py
    OMP_NUM_THREADS=1 python benchmarks/search_kills.py --kills 40 --trials 20

First `limbeck search` runs undisturbed. Then the same command, in another folder that is given the measured costs of the first, gets
SIGKILL at random moments and is started again, until as many kills as asked for were made; then it may come to its end. Every
trial, with a teacher and without, must be the undisturbed one's in everything but seconds, and every trained model the same byte
for byte. One process, one thread, CPU. About 6 minutes on 2 cores. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import random
import shutil
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

from limbeck.search.study import cut_to_whole_lines
from limbeck.search.trials import Trial, trials_of

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


def main() -> int:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/digits.yaml"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began, draw = time.monotonic(), random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        base = asked.out or Path(scratch)
        whole, out = base / "undisturbed", base / "killed"
        if whole.exists() or out.exists():
            sys.exit(f"{base} holds such searches already: name a new folder.")
        base.mkdir(parents=True, exist_ok=True)
        changes = [part for change in (*SMALL, *asked.set) for part in ("--set", change)]
        command = [sys.executable, "-m", "limbeck", "search", str(asked.recipe), *changes]
        command += ["--trials", str(asked.trials), "--threads", "1"]
        with open(base / "log.txt", "w") as log:

            def start(folder: Path) -> subprocess.Popen[bytes]:
                return subprocess.Popen([*command, "--out", str(folder)], stdout=log, stderr=log)

            clock = time.monotonic()
            alone = start(whole)
            while alone.poll() is None and not (whole / "search").exists():
                time.sleep(0.01)
            imported_s = time.monotonic() - clock
            if alone.wait():
                sys.exit((base / "log.txt").read_text())
            took_s = time.monotonic() - clock - imported_s
            (out / "search").mkdir(parents=True)
            (out / "stages").mkdir()
            shutil.copyfile(whole / "search" / "costs.jsonl", out / "search" / "costs.jsonl")
            rows: list[list[object]] = []
            while len(rows) < asked.kills:
                process = start(out)
                time.sleep(imported_s + draw.uniform(-0.2, 2) * took_s / asked.kills)
                process.kill()
                if not process.wait():  # it had come to its end
                    break
                found = studies(out)
                running = sum(one.state.name == "RUNNING" for study in found.values() for one in study.trials)
                rows.append(
                    [len(rows) + 1, *(len(trials_of(found[arm], arm)) if arm in found else 0 for arm in ARMS), running]
                )
            ended = start(out).wait()
        print_table(["kill", "trials with a teacher", "trials without", "at work"], rows)
        ours, theirs = trials(out), trials(whole)
        same_trials = not ended and ours == theirs
        same_weights = weights(out) == weights(whole)
        fates = Counter(one.fate for found in theirs.values() for one in found)
    print(
        f"\n{len(rows)} kills; {sum(map(len, theirs.values()))} trials ({', '.join(f'{n} {fate}' for fate, n in fates.items())}) "
        f"{'identical' if same_trials else 'NOT identical'}; trained models {'identical' if same_weights else 'NOT identical'}. "
        f"Undisturbed, the search took {took_s:.0f} s."
    )
    print_conditions(f"of the kills {asked.seed}; 1 thread", began)
    return int(not (same_trials and same_weights))


if __name__ == "__main__":
    sys.exit(main())
