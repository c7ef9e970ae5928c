"""Read speech from a teacher that can be looked into: Whisper's encoder, which learns here; what its frames and its transcripts are worth.

    LIMBECK_DATA=... python benchmarks/kathleen_teacher.py --teacher FOLDER_OR_HUB_NAME_OF_WHISPER --out runs/kathleen

`recipes/kathleen.yaml` as it is, then the same student of the teacher's transcripts in place of its frames, and of both, from the same
stored answers. All runs are in OUT, which holds the recipe's own in the end: the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from common import mean_sd, print_conditions, print_table

from limbeck.pipeline.run import run
from limbeck.recipe import read as recipe_file

RECIPE = Path(__file__).parents[1] / "recipes" / "kathleen.yaml"
TERMS = {
    "labels, transcripts": {"ctc_sequence_kd": {}, "ctc_frame_kd": None},
    "labels, frames, transcripts": {"ctc_sequence_kd": {}},
}
COLUMNS = (
    "learns from",
    "parameters",
    "symbol errors, %",
    "word errors, %",
    "NLL of a symbol",
    "seconds of training",
    "symbol errors against labels alone",
    "real-time factor",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--teacher", required=True, help="a Whisper model of transformers, a folder or a name of the hub"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/kathleen"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="*", choices=TERMS, default=list(TERMS), help="beside the recipe's")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    given = parser.parse_args()
    began = time.monotonic()
    settings = [f"teacher.model={given.teacher}", f"seeds={given.seeds}", *given.set]
    rows: list[list[object]] = []
    for title in (None, *given.rows):
        terms = [f"objective.{name}={'null' if of is None else of}" for name, of in TERMS.get(title or "", {}).items()]
        results = run(recipe_file.read(RECIPE, [*settings, *terms]), out=given.out, device="cpu")
        if title is None:
            rows += [row_of(results, "teacher", "the teacher"), row_of(results, "baseline", "labels alone")]
        rows.append(row_of(results, "student", title or "labels, frames"))
        print(" | ".join(map(str, rows[-1])), flush=True)
    if given.rows:  # so that the folder is the recipe's again
        run(recipe_file.read(RECIPE, settings), out=given.out, device="cpu")
    print_table(COLUMNS, rows)
    print_conditions(f"0 to {given.seeds - 1}", began)


def row_of(results: dict[str, Any], role: str, title: str) -> list[object]:
    """Means over the seeds with their deviations, and the interval over clips and seeds; the real-time factor is that of 5 s, from samples."""
    one = results[role]
    runs = [member["metrics"] for member in one["runs"]]
    gained = results["comparison"]["baseline"]["error_rate"]
    against = f"{100 * gained['difference']:+.2f} ({100 * gained['low']:+.2f} to {100 * gained['high']:+.2f})"
    rate = results["data"]["sound"]["rate"]
    longest = max((one["latency_by_length"] or {}).items(), key=lambda item: int(item[0]), default=None)
    return [
        title,
        f"{one['parameters']:,}",
        mean_sd([run["error_rate"] for run in runs], 2, 100),
        mean_sd([run["word_error_rate"] for run in runs], 2, 100),
        mean_sd([run["nll"] for run in runs], 3),
        mean_sd([member["seconds"] for member in one["runs"]], 0),
        against if role == "student" else "",
        "–" if longest is None else f"{longest[1]['p50'] / 1000 / (int(longest[0]) / rate):.5f}",
    ]


if __name__ == "__main__":
    main()
