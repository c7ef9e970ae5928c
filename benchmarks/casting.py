"""What casting soft targets costs over the teacher's bare forward pass: images per second, casting over bare.

    OMP_NUM_THREADS=1 python benchmarks/casting.py

Both ask the same teacher about the same images, as many at a time, in one process; they take turns in every round
(turned round every other time), and the ratios are of the same round, by wall time and by CPU time of the process. How the
memory of a process happens to lie moves them by a few per cent, so that there are several processes, one after another:

- casting: `limbeck.targets.cast` into an empty folder: views rendered, the teacher asked, its answers encoded, written,
  digested and synced to the disk, the codec's error measured, manifest and seal written.
- bare: `model(batch)` in a loop over the very batches that casting asks about, rendered and normalised beforehand, on
  the device. Nothing is done with the answers; on a GPU the last one is waited for.

1.00 is a cast that costs nothing beyond the teacher; the goal is 0.95. Asking a teacher on the CPU has the C library keep the
memory that is freed (`limbeck.targets.inference_settings`), for the whole process, so that the bare loop gains by it as well; how fast it is
without that is measured in a process of its own, before the others. The views alone, which casting renders and bare is
given, are timed once a round: their CPU time over that of the bare pass is the last column. The teacher is not trained,
since a pass costs the same whatever the weights are. Teachers: wrn_16_2 on digits, and, where $LIMBECK_DATA/fashion_mnist
exists, wrn_16_4 on 512 of its images (what a cast costs once, such as the manifest, weighs the more on so few). About 7
minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common import Timed, arguments, print_conditions, print_table, seconds, spread

from limbeck.models.identity import identity
from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.pipeline.targets import asker, store_identity
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.sections.recipe import Recipe
from limbeck.targets import inference_settings as manner_module
from limbeck.targets.cast import cast
from limbeck.targets.inference_settings import DTYPES, SAMPLE, Manner, manner_of

RECIPES = Path(__file__).parent.parent / "recipes"
CASES = {
    "wrn_16_2, digits": ("digits_all_labels", ["teacher={model: wrn_16_2, train: {}}", "targets.views=4"]),
    "wrn_16_4, fashion_mnist": (
        "fashion_mnist",
        ["data.limit=512", "teacher={model: wrn_16_4, train: {}}", "targets.views=1"],
    ),
}


def measure(
    recipe: Recipe, rounds: int, device: str, wanted_ways: tuple[str, ...] = ("bare", "casting", "views")
) -> tuple[Job, Manner, list[dict[str, Timed]]]:
    """The job, how its teacher is asked, and the seconds of each way in each round."""
    with tempfile.TemporaryDirectory() as folder:
        job = open_job(recipe, out=Path(folder), device=device)
        model = job.teacher.to(job.accelerator.device).eval().requires_grad_(False)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        teacher = Trained(model, 0, 0.0, "untrained", identity(model, job.task.probe(job.task.teacher_sees)), [])
        pool, views, task = job.task.pool, recipe.targets.views, job.task
        order = pool.ids.argsort()

        def batch_of(index_B: torch.Tensor, view: int) -> torch.Tensor:
            batch = task.batch(pool, index_B, torch.full_like(index_B, view), recipe.views)
            return batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs

        wanted = recipe.targets
        manner = manner_of(model, batch_of(order[:SAMPLE], 0), precision=wanted.precision, compile=wanted.compile)

        def rendered() -> Iterator[torch.Tensor]:
            for view in range(views):
                for index_B in order.split(task.views_at_once):
                    yield from batch_of(index_B, view).split(manner.batch_size)

        ready = list(rendered())
        ask, known = asker(job, teacher, manner, job.codecs.codecs[0]), store_identity(job, teacher, manner.precision)
        number = iter(range(10**6))
        dtype = DTYPES[manner.precision]

        def casting() -> None:
            path = Path(folder) / f"store-{next(number)}"
            cast(path, known, pool.ids, views, ask, batch_size=max(task.views_at_once, manner.batch_size))

        @torch.no_grad()
        def bare() -> None:
            with torch.autocast(job.accelerator.device.type, dtype, enabled=dtype != torch.float32):
                for inputs in ready:
                    model(inputs)

        ways: dict[str, Callable[[], object]] = {
            "bare": bare,
            "casting": casting,
            "views": lambda: sum(1 for _ in rendered()),
        }
        ways = {name: ways[name] for name in wanted_ways}
        for way in ways.values():  # warm-up
            way()
        orders, where = (list(ways), list(ways)[::-1]), job.accelerator.device
        taken = [{name: seconds(ways[name], where) for name in orders[i % 2]} for i in range(rounds)]
    return job, manner, taken


def untuned(recipe: Recipe, rounds: int, device: str, threads: int) -> float:
    """Seconds of the bare pass where freed memory goes back to the system; for a process of its own."""
    manner_module.keep_freed_memory = lambda: False
    use_threads(threads)
    return statistics.median(one["bare"][0] for one in measure(recipe, rounds, device, ("bare",))[2])


def in_turns(recipe: Recipe, rounds: int, device: str, threads: int) -> tuple[int, Manner, list[dict[str, Timed]]]:
    """How many images, how they are asked about, and the seconds of each way in each round; likewise."""
    use_threads(threads)
    job, manner, taken = measure(recipe, rounds, device)
    return recipe.targets.views * len(job.task.pool), manner, taken


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7, help="in each process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    asked = parser.parse_args()
    began, rows = time.monotonic(), []
    for title, (name, overrides) in CASES.items():
        if not name.startswith("digits") and not (Path(os.environ.get("LIMBECK_DATA", "")) / name).exists():
            continue
        recipe = read(RECIPES / f"{name}.yaml", [*overrides, *asked.set])
        how = recipe, asked.rounds, asked.device, asked.threads
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as alone:
            before = alone.apply(untuned, how)
            parts = [alone.apply(in_turns, how) for _ in range(asked.processes)]
        images, manner, _ = parts[0]
        found = [one for _, _, taken in parts for one in taken]
        wall, cpu = ([one["bare"][k] / one["casting"][k] for one in found] for k in (0, 1))
        rate = images / statistics.median(one["bare"][0] for one in found)
        views = statistics.median(one["views"][1] / one["bare"][1] for one in found)
        asked_as = [images, manner.batch_size, manner.precision]
        rates = [f"{rate:.0f}", f"{images / before:.0f}"]
        rows.append([title, *asked_as, *rates, spread(wall), spread(cpu), f"{views:.1%}"])
    columns = ["teacher", "images", "at a time", "precision", "bare, images/s", "bare, freed memory not kept"]
    columns += ["casting/bare by wall: min - median - max", "by CPU", "views rendered, of the bare pass"]
    print_table(columns, rows)
    print_conditions(f"0; {asked.processes} processes of {asked.rounds} rounds", began)


if __name__ == "__main__":
    main()
