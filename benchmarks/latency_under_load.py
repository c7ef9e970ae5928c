"""How many times as fast a student is, measured alone and beside busy processes. To reach: within 15 %.

    OMP_NUM_THREADS=1 python benchmarks/latency_under_load.py

Teacher and student of two recipes, exported untrained (latency does not depend on the weights), are measured as
`limbeck run` measures them (`compare_latency`), in turns alone and beside eight processes of which half multiply
matrices and half count. Beside it what the clock alone would have said: the medians of 0.5 s of runs of one model and
then of the other. "Off" is the ratio beside busy processes over the median of those measured alone. Alone means alone:
what else the machine does is measured too, and the column "disturbed" tells of it. Under 3 minutes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from common import arguments, print_conditions, print_table

from limbeck.deploy.latency import compare_latency
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.modalities.image.export import export_onnx, image_metadata
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.recipe.read import read
from limbeck.vision.build import build

RECIPES = Path(__file__).parent.parent / "recipes"
PAIRS = {"digits": 8, "fashion_mnist": 28}  # and the side of their images
MULTIPLIES = "import numpy as np\na = np.random.rand(300, 300)\nwhile True: a @ a"
COUNTS = "n = 0\nwhile True: n += 1"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes at work."""
    started = [subprocess.Popen([sys.executable, "-c", COUNTS if k % 2 else MULTIPLIES]) for k in range(processes)]
    try:
        time.sleep(1 if started else 0)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def exported(name: str, side: int, folder: Path) -> dict[str, Path]:
    """Teacher and student of a recipe, as ONNX files."""
    recipe = read(RECIPES / f"{name}.yaml")
    assert isinstance(recipe, ImageRecipe)
    paths = {}
    for role, section in (("teacher", recipe.teacher), ("student", recipe.student)):
        model = build(section, classes=10, channels=1, size=side, trust_code=False, seed=0)  # pyright: ignore[reportArgumentType]
        paths[role] = folder / f"{name}-{role}.onnx"
        form = {"channels": 1, "height": side, "width": side, "mean": (0.5,), "std": (0.5,)}
        metadata = image_metadata(name=name, classes=[str(k) for k in range(10)], **form)  # pyright: ignore[reportArgumentType]
        export_onnx(model, paths[role], metadata)
    return paths


def by_the_clock_alone(paths: dict[str, Path]) -> float:
    """The ratio of medians, one model after the other."""
    medians = []
    for path in paths.values():
        session = open_session(path)
        inputs, timings, end = example_inputs(session, 1), [], time.perf_counter() + 0.5
        while len(timings) < 5 or time.perf_counter() < end:
            began = time.perf_counter()
            session.run(None, inputs)
            timings.append(time.perf_counter() - began)
        medians.append(float(np.median(timings)))
    return medians[0] / medians[1]


def main() -> None:
    """Measures and prints."""
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=4)
    asked = parser.parse_args()
    began, rows, worst = time.monotonic(), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, side in PAIRS.items():
            paths = exported(name, side, Path(folder))
            alone: list[float] = []
            beside: list[int] = []
            for _ in range(asked.repetitions):
                for processes in (0, asked.processes):
                    with busy(processes):
                        found = compare_latency(paths)
                        naive = by_the_clock_alone(paths)
                    ratio = found["speedup"]["student"]
                    if processes:
                        beside.append(len(rows))
                    else:
                        alone.append(ratio["ratio"])
                    rows.append(
                        [
                            name,
                            processes,
                            f"{ratio['ratio']:.2f}",
                            f"{ratio['low']:.2f} to {ratio['high']:.2f}",
                            "",
                            "yes" if found["disturbed"] else "no",
                            f"{found['clock_over_cpu']:.2f}",
                            f"{naive:.1f}",
                        ]
                    )
            for row in beside:
                off = float(rows[row][2]) / statistics.median(alone) - 1
                worst = max(worst, abs(off))
                rows[row][4] = f"{off:+.1%}"
    columns = [
        "pair",
        "busy processes",
        "times as fast",
        "95 % interval",
        "off",
        "disturbed",
        "clock over processor time",
    ]
    print_table([*columns, "by the clock alone"], rows)
    print(f"\nLargest difference: {worst:.1%}; to reach: 15 %.")
    print_conditions("0", began)


if __name__ == "__main__":
    main()
