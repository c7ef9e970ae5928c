"""All that is to be shown of the soft-target store, one benchmark after another, each as its own command says it.

    OMP_NUM_THREADS=1 LIMBECK_DATA=FOLDER_OF_MIRRORS python benchmarks/targets.py
    ... python benchmarks/targets.py --only reading casting

Each runs alone on the machine, in a process of its own, and says at its `--help` what it measures and what is to be reached.
About an hour on one core of 2.5 GHz; a benchmark that fails is named at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MANY_POSITIONS = "--words 2000 --width 16 --steps 4000 --batch 512 --held-out 16384"
TOLD = "live sample 'top k' 'top k, renormalised'"
COMMANDS = {
    "codecs": ["codecs.py"],
    "calibration": [
        "calibration.py",
        f"calibration.py --words 8000 --steps 1000 --ways {TOLD}",
        f"calibration.py {MANY_POSITIONS} --ways {TOLD}",
    ],
    "reading": ["reading.py"],
    "casting": ["casting.py"],
    "many_students": ["many_students.py --measured 10 --threads 1"],
    "sparse_step": ["sparse_step.py"],
    "kills": ["kills_while_casting.py"],
    "corruptions": ["corruptions.py"],
    "averaged_teacher": ["averaged_teacher.py --threads 1 --set train.epochs=12"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    failed = []
    for name in parser.parse_args().only:
        for command in COMMANDS[name]:
            print(f"\n## {name}\n\n    python benchmarks/{command}\n", flush=True)
            script, *options = shlex.split(command)
            if subprocess.run([sys.executable, HERE / script, *options], check=False).returncode:
                failed.append(command)
    for command in failed:
        print(f"failed: python benchmarks/{command}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
