"""Does an assistant between teacher and student help? The same small students with and without one (Mirzadeh et al. 2020).

    OMP_NUM_THREADS=1 python benchmarks/assistant.py --threads 1
    python benchmarks/assistant.py --set 'student={model: convnet, width: 8}' --assistant '{model: convnet, width: 24}'

Two runs of a recipe, one with the assistant and one without; the teacher, its soft targets and the students without a teacher are those of the
first in both. A student with the assistant has the seed, and so the first weights and the order of examples, of the one
without; the interval of their difference in test accuracy is Student's t over these pairs. Training the assistant and asking
it come on top, and are told. Stages are kept in the run folder, so a second call only prints. About 3 minutes for digits on one core.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, mean_sd, print_conditions, print_table
from scipy import stats as distributions

from limbeck.pipeline.run import run
from limbeck.recipe.read import read

SHARED = ("teacher", "targets", "baseline", "smoothed")


def borrow(source: Path, target: Path) -> None:
    """Copies what both runs have in common, where their fingerprints are looked for."""
    for stage in SHARED:
        for folder in sorted((source / "stages" / stage).glob("*/done.json")):
            there = target / folder.parent.relative_to(source)
            if not there.exists():
                shutil.copytree(folder.parent, there)


def accuracies(model: dict[str, Any]) -> list[float]:
    """Test accuracy of each seed."""
    return [one["metrics"]["accuracy"] for one in model["runs"]]


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/digits.yaml"))
    parser.add_argument("--assistant", default="{model: convnet, width: 16}", help="its section, as a recipe has it")
    asked = parser.parse_args()
    began = time.monotonic()
    fewest = [] if any(one.startswith("student=") for one in asked.set) else ["student={model: convnet, width: 4}"]
    alone = read(asked.recipe, ["seeds=3", *fewest, *asked.set])
    between = read(asked.recipe, ["seeds=3", *fewest, *asked.set, f"assistant={asked.assistant}"])
    out = asked.out or Path("runs") / f"assistant-{alone.name}"
    settings = {"trust_code": asked.trust_code, "device": asked.device, "threads": asked.threads}
    without = run(alone, out=out / "without", **settings)
    borrow(out / "without", out / "with")
    found = run(between, out=out / "with", **settings)
    rows = []
    for who, model in (
        ("teacher", without["teacher"]),
        ("assistant", found["assistant"]),
        ("student of the teacher", without["student"]),
        ("student of the assistant", found["student"]),
        ("student without either", without["baseline"]),
    ):
        rows.append([who, model["model"], f"{model['parameters']:,}", mean_sd(accuracies(model), scale=100)])
    print_table(["who", "model", "parameters", "test accuracy, %"], rows)
    lead = 100 * (np.array(accuracies(found["student"])) - np.array(accuracies(without["student"])))
    low, high = distributions.t.interval(0.95, len(lead) - 1, lead.mean(), distributions.sem(lead))
    verdict = "within the noise" if low <= 0 <= high else "more than the noise"
    spent = sum(found["timings"].get(name, {}).get("seconds") or 0.0 for name in ("assistant", "assistant_targets"))
    print(
        f"\nWith the assistant minus without: {lead.mean():+.2f} points of accuracy ({low:+.2f} to {high:+.2f}), {verdict}. "
        f"The assistant took {spent:.1f} s, asking it included; a student {found['timings']['student']['seconds'] / len(lead):.1f} s."
    )
    print_conditions(f"{alone.seed} to {alone.seed + alone.seeds - 1}", began)


if __name__ == "__main__":
    main()
