"""What a student loses in few bits, and what it regains by going on with rounded weights: before and after, in 8 bits and in 4.

    python benchmarks/quantization_aware.py --out RUN [--seeds 1] [--set train.epochs=20 ...]
    python benchmarks/quantization_aware.py --out RUN --recipe recipes/sst2.yaml

A timm mobilenetv3_small_050 learns from a small teacher on 12,000 images of Fashion-MNIST and goes on for three epochs, whatever it
loses; with --control also for the same epochs without rounding, which end in the same files; with --recipe the student is that of a
recipe. Each seed is a run in a folder of its own, and with --control two; run again, the script goes on where it was stopped. Of several
seeds the means stand below them. About four minutes of one core a seed, and two more.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import common
import yaml

from limbeck.pipeline import quantization_aware
from limbeck.pipeline import run as pipeline
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe

RECIPE = """
task: image-classification
data: {name: zalando-datasets/fashion_mnist, limit: 12000}
views: {flip: true}
teacher: {model: wrn_10_1, train: {epochs: 4, batch_size: 128}}
targets: {views: 1}
student: {model: timm/mobilenetv3_small_050}
objective: {kd: {temperature: 4, weight: 0.5}, cross_entropy: {weight: 0.5}}
train: {epochs: 8, batch_size: 128, optimizer: adamw, learning_rate: 0.004}
baseline: {epochs: 1, label_smoothing: 0}
"""
FORMATS = "export.formats=[onnx, onnx-int8, onnx-int4]"
GOES_ON = ("export.quantization_aware.epochs=3", "export.quantization_aware.when=0")
HEADINGS = (
    "seed", "format", "goes on", "KB", "of float32", "validation % float32", "before", "after", "lost before", "after", "regained",
    "test % float32", "before", "after", "test NLL float32", "before", "after", "seconds",
)  # fmt: skip


def main() -> None:
    parser = common.arguments(__doc__, recipe=False)
    parser.add_argument("--out", type=Path, required=True, help="a run for each seed is made below it")
    parser.add_argument("--recipe", type=Path, help="in the place of the one in this file")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="go on without rounding too")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    asked = parser.parse_args()
    wall, began, rows = time.monotonic(), time.process_time(), []
    for seed in range(asked.seeds):
        out, control = (asked.out / f"seed-{seed}{end}" for end in ("", "-not-rounded"))
        settings = [FORMATS, *asked.set, f"seed={seed}"]
        if asked.control and not control.exists():
            pipeline.run(recipe(asked.recipe, settings), out=out, threads=1)
            shutil.copytree(out, control.with_suffix(".part"), dirs_exist_ok=True)
            control.with_suffix(".part").rename(control)
        rows += rows_of(seed, "rounded", pipeline.run(recipe(asked.recipe, [*settings, *GOES_ON]), out=out, threads=1))
        if not asked.control:
            continue
        with not_rounded():
            wanted = recipe(asked.recipe, [*settings, *GOES_ON])
            rows += rows_of(seed, "not rounded", pipeline.run(wanted, out=control, threads=1))
    common.print_table(HEADINGS, rows + (means_of(rows) if asked.seeds > 1 else []))
    print(f"{(time.process_time() - began) / 60:.1f} min of CPU in this process")
    common.print_conditions(f"0 to {asked.seeds - 1}", wall)


def recipe(path: Path | None, settings: list[str]) -> Recipe:
    """With further settings."""
    if path is not None:
        return recipe_file.read(path, settings)
    return recipe_file.from_dict(recipe_file.apply_overrides(yaml.safe_load(RECIPE), settings))


@contextmanager
def not_rounded() -> Iterator[None]:
    """Whoever goes on does so without rounding."""
    rounded = quantization_aware.fake_quantised
    quantization_aware.fake_quantised = lambda model, **_: nullcontext(model)
    try:
        yield
    finally:
        quantization_aware.fake_quantised = rounded


def rows_of(seed: int, how: str, results: dict[str, Any]) -> list[list[str]]:
    """All formats of a run."""
    formats = results["formats"]
    whole = formats["files"]["onnx"]["bytes"]
    return [row(seed, how, name, formats, whole) for name in formats["quantization_aware"]]


def means_of(rows: list[list[str]]) -> list[list[str]]:
    """Over the seeds, of each format and way of going on; what is regained is that of the mean losses."""
    found = []
    for way in dict.fromkeys(tuple(one[1:3]) for one in rows):
        columns = list(zip(*(one[3:] for one in rows if tuple(one[1:3]) == way), strict=True))
        cells = [mean_of(list(column)) for column in columns]
        at = HEADINGS.index("regained") - 3
        before, after = (statistics.fmean(float(one) for one in columns[place]) for place in (at - 2, at - 1))
        cells[at] = f"{(before - after) / before:.0%}" if before > 0 else "–"
        found.append(["mean", *way, *cells])
    return found


def mean_of(cells: list[str]) -> str:
    """As exact as the numbers that it is of; nothing where one is missing."""
    if any(one == "–" or one.endswith("%") for one in cells):
        return "–"
    digits = len(cells[0].partition(".")[2])
    return f"{statistics.fmean(map(float, cells)):.{digits}f}"


def row(seed: int, how: str, name: str, formats: dict[str, Any], whole: int) -> list[str]:
    """One format."""
    one, size = formats["quantization_aware"][name], formats["files"][name]["bytes"]
    lost, after = one["lost"], one.get("lost_after")
    validation, test = one["validation"], one["test"]

    def percent(of: Any, *path: str) -> str:
        for step in path:
            of = None if of is None else of.get(step)
        return "–" if of is None else f"{100 * of:.2f}"

    def nll(at: str) -> str:
        return f"{test[at]['nll']:.4f}" if at in test else "–"

    stages = ("float32", "before", "after")
    return [
        str(seed), name, how, f"{size / 1e3:.1f}", f"{size / whole:.2f}",
        *(percent(validation, at) for at in stages),
        f"{lost:.2f}", "–" if after is None else f"{after:.2f}",
        "–" if after is None or lost <= 0 else f"{(lost - after) / lost:.0%}",
        *(percent(test, at, "accuracy") for at in stages),
        *(nll(at) for at in stages),
        f"{one['seconds']:.0f}" if "seconds" in one else "–",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
