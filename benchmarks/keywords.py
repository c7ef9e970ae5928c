"""Spoken digits where there is room to be better: a student of under 5,000 parameters beside the same student without a teacher.

    LIMBECK_DATA=../shared/data python benchmarks/keywords.py --out runs/keywords
    LIMBECK_DATA=../shared/data python benchmarks/keywords.py noise --seeds 1 --out runs/keywords

Settings: ``few`` (five labelled clips of each word and speaker, the rest without labels; the teacher learnt from all labels) and
``few_teacher`` (the teacher learnt from the same 300 alone), ``noise`` (validation and test in pink noise at 5 dB), ``speaker`` (one
speaker of six heard in the test alone) and ``all``. Each is a run in a folder of OUT: the same command goes on from where it was
stopped, and with all finished only prints. ``few`` takes the teacher of ``all``, which is therefore trained first.
"""

from __future__ import annotations

import argparse
import io
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import yaml
from common import mean_sd, print_conditions, print_table

from limbeck.data.places import place_of
from limbeck.pipeline.run import run
from limbeck.recipe import read as recipe_file

RECIPE = Path(__file__).parents[1] / "recipes" / "keywords.yaml"
SETTINGS = ("all", "few", "few_teacher", "noise", "speaker")
LEFT_OUT = "theo"
SNR = 5.0
SHOTS = 5
COLUMNS = ("setting", "", "parameters", "accuracy, %", "NLL", "against baseline: accuracy", "NLL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)}; all where none is named"
    )
    parser.add_argument("--data", default="fsdd", help="where the clips are")
    parser.add_argument("--out", type=Path, default=Path("runs/keywords"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    given = parser.parse_args()
    if unknown := set(given.settings) - set(SETTINGS):
        parser.error(f"no such setting: {', '.join(sorted(unknown))}")
    began, rows = time.monotonic(), []
    speed: dict[str, Any] = {}
    for setting in (one for one in SETTINGS if one in (given.settings or SETTINGS)):
        results = run(recipe_of(setting, given), out=given.out / setting, device="cpu")
        rows += rows_of(setting, results)
        speed = results["speed"] or speed
    print_table(COLUMNS, rows)
    if ratio := (speed.get("speedup") or {}).get("student"):
        print(
            f"\nLatency of one decision, from samples: {ratio['ratio']:.3g} times the teacher's speed ({ratio['low']:.3g} to {ratio['high']:.3g})."
        )
    print_conditions(f"0 to {given.seeds - 1}", began)


def recipe_of(setting: str, given: argparse.Namespace) -> Any:
    """The recipe of keywords.yaml over the data of a setting, which is written where it is not there."""
    values = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    values["name"], values["seeds"], values["baseline"] = setting, given.seeds, {"label_smoothing": 0}
    if setting == "all":
        values["data"]["name"] = given.data
    else:
        folder = given.out / "data" / setting.removesuffix("_teacher")
        if not folder.exists():
            source = place_of(given.data, None, "--data")
            if source is None:
                raise SystemExit(f"{given.data}: the clips are to be in a folder, or in $LIMBECK_DATA.")
            write_data(setting.removesuffix("_teacher"), source, folder)
        values["data"]["name"] = str(folder)
        if setting == "noise":
            values["data"]["validation"] = "validation"
            for views in (values["views"], values["teacher"]["views"]):
                views["noise"] = {"snr": [0, 20]}
        if setting.startswith("few"):
            values["data"]["transfer"] = {"name": str(unlabelled(folder))}
            values["train"]["batch_size"] = 64
        if setting == "few":
            values["teacher"] = {"model": values["teacher"]["model"], "weights": str(teacher_of(given.out / "all"))}
        elif setting == "few_teacher":
            # as many steps as on all labels
            values["teacher"]["train"]["epochs"] *= 4
            values["teacher"]["train"]["batch_size"] = 32
    return recipe_file.from_dict(recipe_file.apply_overrides(values, given.set))


def teacher_of(finished: Path) -> Path:
    """The weights of the teacher that a run trained."""
    found = sorted(finished.glob("stages/teacher/*/model.safetensors"))
    if not found:
        raise SystemExit(f"{finished} holds no teacher: run the setting all first.")
    return found[-1]


def write_data(setting: str, source: Path, folder: Path) -> None:
    """The clips of a setting as parquet: which are learnt from, which are tested on."""
    splits = {split: pq.read_table(next(source.glob(f"{split}-*.parquet"))) for split in ("train", "test")}
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    train, test = splits["train"], splits["test"]
    if setting == "speaker":
        heard, kept_out = (
            pa.array([(one == LEFT_OUT) is out for one in train["speaker"].to_pylist()]) for out in (False, True)
        )
        test = pa.concat_tables([train.filter(kept_out), test.filter(pa.array([one == LEFT_OUT for one in test["speaker"].to_pylist()]))])  # fmt: skip
        train = train.filter(heard)
    elif setting == "few":
        labelled = first_of_each(train)
        unlabelled(folder).mkdir(exist_ok=True)
        pq.write_table(train.filter(pa.array([not one for one in labelled])), unlabelled(folder) / "train.parquet")
        train = train.filter(pa.array(labelled))
    elif setting == "noise":
        # every tenth of each word and speaker, so that validation is as the test is
        held_out = first_of_each(train, 4)
        pq.write_table(noisy(train.filter(pa.array(held_out)), 1), making / "validation.parquet")
        train, test = train.filter(pa.array([not one for one in held_out])), noisy(test, 2)
    pq.write_table(train, making / "train.parquet")
    pq.write_table(test, making / "test.parquet")
    making.rename(folder)


def unlabelled(folder: Path) -> Path:
    """Where the clips without labels are: beside the others, since all that is below a folder is of its data."""
    return folder.with_name(f"{folder.name}_unlabelled")


def first_of_each(table: pa.Table, count: int = SHOTS) -> list[bool]:
    """Whether a row is among the first so many, by the name of its file, of its word and speaker."""
    kept: defaultdict[tuple, list[str]] = defaultdict(list)
    said = list(zip(table["label"].to_pylist(), table["speaker"].to_pylist(), (one["path"] for one in table["audio"].to_pylist()), strict=True))  # fmt: skip
    for label, speaker, path in said:
        kept[label, speaker].append(path)
    chosen = {path for paths in kept.values() for path in sorted(paths)[:count]}
    return [path in chosen for _, _, path in said]


def noisy(table: pa.Table, seed: int, seconds: float = 1.0) -> pa.Table:
    """The clips in the middle of a window of pink noise at 5 dB below their power, each with noise of its own, as 16-bit WAV."""
    draw, cells = np.random.default_rng(seed), []
    for cell in table["audio"].to_pylist():
        samples, rate = soundfile.read(io.BytesIO(cell["bytes"]), dtype="float32")
        power, short = (samples**2).mean(), max(0, round(seconds * rate) - len(samples))
        window = np.pad(samples, (short // 2, short - short // 2))
        spectrum = np.fft.rfft(draw.standard_normal(len(window)))
        hertz = np.fft.rfftfreq(len(window), 1 / rate)
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(20, hertz)), len(window))
        noise *= np.sqrt(power / (noise**2).mean() / 10 ** (SNR / 10))
        file = io.BytesIO()
        soundfile.write(file, (window + noise).clip(-1, 1), rate, format="WAV", subtype="PCM_16")
        cells.append({"bytes": file.getvalue(), "path": f"{Path(cell['path']).stem}.wav"})
    place = table.schema.get_field_index("audio")
    return table.set_column(place, table.schema.field(place), pa.array(cells, table.schema.field(place).type))


def rows_of(setting: str, results: dict[str, Any]) -> list[list[object]]:
    """A row each of teacher, student and baseline; means over the seeds with their deviations."""
    rows = []
    compared = results["comparison"]["baseline"]
    for role, title in (("teacher", "teacher"), ("student", "student"), ("baseline", "no teacher")):
        one = results[role]
        runs = [member["metrics"] for member in one["runs"]]
        against = ["", ""]
        if role == "student":
            accuracy, nll = compared["accuracy"], compared["nll"]
            against = [
                f"{100 * accuracy['difference']:+.2f} ({100 * accuracy['low']:+.2f} to {100 * accuracy['high']:+.2f})",
                f"{nll['difference']:+.3f} ({nll['low']:+.3f} to {nll['high']:+.3f})",
            ]
        rows.append(
            [
                setting,
                title,
                f"{one['parameters']:,}",
                mean_sd([member["accuracy"] for member in runs], 2, 100),
                mean_sd([member["nll"] for member in runs], 3),
                *against,
            ]
        )
    return rows


if __name__ == "__main__":
    main()
