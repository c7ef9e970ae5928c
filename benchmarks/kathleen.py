"""Read speech with few transcripts: what a black-box recogniser's transcripts of the rest are worth to a small student.

    LIMBECK_DATA=... python benchmarks/kathleen.py --recogniser FOLDER_OR_HUB_NAME_OF_WHISPER --out runs/kathleen_few

300 of the 1,300 training clips keep their transcripts; the recogniser hears all of them once, and its transcripts are all that the
student has of the other 1,000. The baseline is the same student on the 300 alone, for as many steps. One run, in OUT/few: the same command
goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from common import mean_sd, print_conditions, print_table

from limbeck.data.places import place_of
from limbeck.pipeline.run import run
from limbeck.recipe import read as recipe_file

RECIPE = Path(__file__).parents[1] / "recipes" / "kathleen.yaml"
LABELLED = 300
STUDENT = {"model": "ds_ctc", "width": 112, "depth": 5}
COLUMNS = (
    "",
    "parameters",
    "symbol errors, %",
    "word errors, %",
    "NLL of a symbol",
    "seconds of training",
    "symbol errors against the baseline",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recogniser", required=True, help="a Whisper model of transformers, a folder or a name of the hub"
    )
    parser.add_argument("--data", default="kathleen", help="where the clips are")
    parser.add_argument("--out", type=Path, default=Path("runs/kathleen_few"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20, help="of the student, over all 1,300 clips")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    given = parser.parse_args()
    began = time.monotonic()
    results = run(recipe_of(given), out=given.out / "few", device="cpu")
    print_table(COLUMNS, rows_of(results))
    print_conditions(f"0 to {given.seeds - 1}", began)


def recipe_of(given: argparse.Namespace) -> Any:
    """That of kathleen.yaml, of a recogniser and over data of which 300 clips have transcripts, written where they are not there."""
    values = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    folder = given.out / "data"
    if not (folder / "labelled").exists():
        source = place_of(given.data, None, "--data")
        if source is None:
            raise SystemExit(f"{given.data}: the clips are to be in a folder, or in $LIMBECK_DATA.")
        write_data(source, folder)
    clips = (
        pq.read_metadata(folder / "labelled" / "train.parquet").num_rows,
        pq.read_metadata(folder / "rest" / "train.parquet").num_rows,
    )
    values["name"], values["seeds"] = "few", given.seeds
    values["data"] |= {"name": str(folder / "labelled"), "transfer": {"name": str(folder / "rest")}}
    values["teacher"] = {"recogniser": given.recogniser}
    values["targets"] = {}
    values["student"] = STUDENT
    # the mean over labelled clips by their share, so that each clip weighs about alike
    values["objective"] = {"ctc": {"weight": 0.25}, "ctc_sequence_kd": {}}
    values["train"] = values["train"] | {"epochs": given.epochs}
    # as many steps as over all clips
    values["baseline"] = {"epochs": round(given.epochs * sum(clips) / clips[0])}
    return recipe_file.from_dict(recipe_file.apply_overrides(values, given.set))


def write_data(source: Path, folder: Path) -> None:
    """The splits as they are, but for the training clips, of which those whose transcripts are kept lie apart."""
    making = folder / "labelled.part"
    for one in (making, folder / "rest"):  # beside one another: all that is below a folder is of its data
        shutil.rmtree(one, ignore_errors=True)
        one.mkdir(parents=True)
    for split in ("validation", "test"):
        shutil.copy(next(source.glob(f"{split}-*.parquet")), making / f"{split}.parquet")
    train = pq.read_table(next(source.glob("train-*.parquet")))
    digests = [hashlib.sha256(cell["bytes"]).hexdigest() for cell in train["audio"].to_pylist()]
    last = sorted(digests)[LABELLED - 1]
    labelled = pa.array([digest <= last for digest in digests])
    pq.write_table(train.filter(labelled), making / "train.parquet")
    pq.write_table(train.filter(pc.invert(labelled)), folder / "rest" / "train.parquet")
    making.rename(folder / "labelled")


def rows_of(results: dict[str, Any]) -> list[list[object]]:
    """A row each of recogniser, student and baseline: means over the seeds with their deviations, and intervals over clips and seeds."""
    rows = []
    gained = results["comparison"]["baseline"]["error_rate"]
    for role, title in (("teacher", "recogniser"), ("student", "student"), ("baseline", "no teacher")):
        one = results[role]
        runs = [member["metrics"] for member in one["runs"]]
        against = f"{100 * gained['difference']:+.2f} ({100 * gained['low']:+.2f} to {100 * gained['high']:+.2f})"
        rows.append(
            [
                title,
                f"{one['parameters']:,}",
                mean_sd([run["error_rate"] for run in runs], 2, 100),
                mean_sd([run["word_error_rate"] for run in runs], 2, 100),
                mean_sd([run["nll"] for run in runs], 3),
                mean_sd([member["seconds"] for member in one["runs"]], 0) if role != "teacher" else "–",
                against if role == "student" else "",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
