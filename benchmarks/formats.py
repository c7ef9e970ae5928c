"""A finished run's student in several formats: bytes, latency, memory, and what each file is worth, as ratios in one run.

    LIMBECK_DATA=... limbeck run recipes/fashion_mnist.yaml --out runs/fashion
    LIMBECK_DATA=... python benchmarks/formats.py runs/fashion --format onnx-int8 --format executorch-int8

Exports as `limbeck export` does (formats that are there are not made again), then times all files and the teacher's in turns
in one process, at batch 1 on one thread, each in its own runtime, for `--seconds`. Peak memory is of the model alone, and of `micro`
the arena. Quality is on the test split, of the file as
it is deployed; differences are from the trained student in PyTorch. Of a run whose export has an 8-bit file of the older kind
(one scale for a table of embeddings), that is a row too, and so are ONNX Runtime's own defaults with `--defaults`, and with
`--fused` the file of a transformer after `onnxruntime.transformers.optimizer`, in float32 and in 8 bits.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from common import arguments, print_conditions, print_table
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

from limbeck.deploy.formats import FORMATS
from limbeck.deploy.formats.onnx_int8 import Calibration, kernels, tables_by_row
from limbeck.deploy.graphs import of_file
from limbeck.deploy.latency import in_turns, summarised
from limbeck.deploy.memory import memory_mb
from limbeck.deploy.onnx import silence
from limbeck.deploy.parity import compared
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.deploy.timing import ratio
from limbeck.evaluation.kinds import KINDS
from limbeck.pipeline.export import exporter_of
from limbeck.pipeline.formats import captured
from limbeck.pipeline.job import Job, open_job
from limbeck.pipeline.more_formats import export_as
from limbeck.recipe.read import read


def defaults(job: Job, path: Path, folder: Path) -> dict[str, Path]:
    """The same file as ONNX Runtime's quantisers make it where nothing is asked of them."""
    model = job.student(job.recipe.seed).eval()
    graphs = exporter_of(job, None).graphs(model, "student")
    inputs = captured(job, graphs, model)[next(iter(graphs))]  # a fresh student is asked: only what it is given counts
    made = {name: folder / f"{name}.onnx" for name in ("quantize_dynamic, defaults", "quantize_static, defaults")}
    dynamic, static = made.values()
    for target in (dynamic, static):
        proto = onnx.load(path)
        del proto.graph.value_info[:]
        with silence():
            if target is dynamic:
                quantize_dynamic(proto, target)
            else:
                quantize_static(proto, target, Calibration(inputs), quant_format=QuantFormat.QDQ)
    return made


def fused(path: Path, folder: Path) -> dict[str, Path]:
    """The file of a transformer with what ONNX Runtime's optimiser for transformers fuses, and that in 8 bits, as ours is."""
    from onnxruntime.transformers import optimizer

    whole, small = folder / "fused.onnx", folder / "fused.int8.onnx"
    with silence():
        made = optimizer.optimize_model(str(path), model_type="bert")
        made.save_model_to_file(str(whole))
        proto = onnx.load(whole)
        tables_by_row(proto)
        quantize_dynamic(
            proto,
            small,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    found = {name: count for name, count in made.get_fused_operator_statistics().items() if count}
    print(f"fused: {found}\n")
    return {"fused": whole, "fused, 8 bits": small}


def worth(job: Job, exact: Path, path: Path) -> dict[str, Any]:
    """Of a further ONNX file, on the validation split: what the rows of formats say of the test split."""
    model, by = job.student(job.recipe.seed).eval(), KINDS[job.splits.answers.kind]
    (name,) = job.modality.exportables(model, job.task, "student")
    examples = job.splits.validation
    theirs, ours = (
        job.modality.answered({name: of_file(one)}, model, job.task, "student", examples) for one in (exact, path)
    )
    figures = [by.figures(by.kept(one, examples.labels.cpu())) for one in (theirs, ours)]
    found = compared(theirs, ours, path, kind=job.splits.answers.kind, max_abs=1, agreement=1)
    return {"metrics_float32": figures[0], "metrics": figures[1], "parity": found, "agreement": found["agreement"]}


def row(name: str, one: Mapping[str, Any], whole: Mapping[str, int], figures: list[Any], timed: Any) -> list[str]:
    first, loss = figures[:2]
    changes = [one["metrics"][of.name] - one["metrics_float32"][of.name] for of in (first, loss)]
    scale = 100 if first.share else 1
    latency, student, teacher = timed
    return [
        name,
        f"{one['bytes']:,}",
        f"{one['bytes'] / whole['student']:.3f}",
        f"{whole['teacher'] / one['bytes']:.1f}x" if "teacher" in whole else "–",
        f"{latency['p50'] or latency['cpu_p50']:.4f}",
        f"{latency['p95'] or float('nan'):.4f}",
        f"**{student['ratio']:.2f}** ({student['low']:.2f} to {student['high']:.2f})" if student else "1",
        f"{teacher['ratio']:.1f}" if teacher else "–",
        "–" if one.get("peak_memory_mb") is None else f"{one['peak_memory_mb']:.2f}",
        f"{scale * one['metrics'][first.name]:.2f} ({scale * changes[0]:+.2f})",
        f"{one['metrics'][loss.name]:.4f} ({changes[1]:+.4f})",
        f"{100 * one['agreement']:.2f}",
        f"{one['parity']['max_abs_difference']:.2g}",
    ]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--format", action="append", default=[], help="as in `limbeck export`")
    parser.add_argument("--defaults", action="store_true", help="ONNX Runtime's quantisers as they come, too")
    parser.add_argument("--fused", action="store_true", help="of a transformer: ONNX Runtime's optimiser, too")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing, for all files together")
    asked = parser.parse_args()
    began = time.monotonic()
    results = export_as(asked.run, ["onnx", *asked.format])
    section, first = results["formats"], asked.run / results["export"]["path"]
    job = open_job(read(asked.run / "recipe.yaml"), out=asked.run, quiet=True)
    rows = {name: one for name, one in section["files"].items() if "problem" not in one}
    asks = {name: FORMATS[name].ask(asked.run / one["path"]) for name, one in rows.items()}
    lengths = [int(length) for length in results["student"].get("latency_by_length") or ()]
    inputs = example_inputs(open_session(first), 1, lengths[0] if lengths else 1)
    with tempfile.TemporaryDirectory() as folder:
        more = defaults(job, first, Path(folder)) if asked.defaults else {}
        more |= fused(first, Path(folder)) if asked.fused else {}
        older = next(
            (asked.run / "stages" / "export").glob(f"*/{first.relative_to(asked.run).with_suffix('.int8.onnx')}"), None
        )
        if older is not None:
            more["int8 of the export"] = older
        for name, path in more.items():
            rows[f"{name} (validation)"] = {
                "bytes": path.stat().st_size,
                **worth(job, first, path),
                **memory_mb(path, inputs),
                **kernels(path),
            }
            asks[f"{name} (validation)"] = of_file(path)
        whole = {"student": first.stat().st_size}
        runs = {name: partial(ask, inputs) for name, ask in asks.items()}
        teacher = _teacher(asked.run, results)
        if teacher is not None:
            whole["teacher"] = teacher.stat().st_size
            runs["teacher"] = partial(
                of_file(teacher), example_inputs(open_session(teacher), 1, lengths[0] if lengths else 1)
            )
        bursts = in_turns(runs, seconds=asked.seconds)
    found = summarised(bursts)

    def timed(name: str) -> Any:
        student = ratio(bursts["onnx"], bursts[name]) if name != "onnx" else None
        return found["latency_ms"][name], student, ratio(bursts["teacher"], bursts[name]) if teacher else None

    figures = list(KINDS[job.splits.answers.kind].FIGURES)
    print_table(
        [
            "file", "bytes", "of float32", "smaller than the teacher", "p50 ms", "p95 ms", "times as fast as float32",
            "as the teacher", "peak memory MB", figures[0].title + (" %" if figures[0].share else ""), figures[1].title,
            "same answer %", "largest difference",
        ],
        [row(name, one, whole, figures, timed(name)) for name, one in rows.items()],
    )  # fmt: skip
    print()
    for name, one in rows.items():
        if "kernels" in one:
            print(f"{name}: {one['kernels']}")
    for name, one in section["files"].items():
        if "problem" in one:
            print(f"{name}: {one['problem']}")
    if teacher is not None:
        said, latency = results["teacher"], found["latency_ms"]["teacher"]
        quality = ", ".join(
            f"{of.title} {(100 if of.share else 1) * said['metrics'][of.name]['mean']:.{2 if of.share else 4}f}"
            for of in figures[:2]
        )
        print(
            f"teacher in float32: {whole['teacher']:,} bytes, p50 {latency['p50'] or latency['cpu_p50']:.4f} ms, "
            f"peak memory {said['peak_memory_mb']:.2f} MB, {quality}"
        )
    print(f"clock over processor time: {found['clock_over_cpu']:.2f}{', a busy machine' if found['busy'] else ''}")
    print_conditions(str(job.recipe.seed), began)


def _teacher(run: Path, results: Mapping[str, Any]) -> Path | None:
    """The teacher's exported file, where there is one."""
    path = Path(results["export"]["path"])
    beside = run / (path.with_name("teacher.onnx") if path.parent == Path() else Path("teacher") / path.name)
    return beside if beside.is_file() else None


if __name__ == "__main__":
    main()
