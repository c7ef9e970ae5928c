"""Makes a LiteRT file of an exported program: a script for the environment of :mod:`limbeck.deploy.formats.litert_environment`.

It knows nothing of Limbeck, and is given a description as JSON: ``program`` (a file of ``torch.export.save``), ``out``, ``inputs`` (of
each, in order, ``name``, ``dtype``, ``shape`` with words for what may vary), ``most`` (limits of those words), ``way`` and ``calibration`` (a
file of arrays by ``name:batch``). The ways:

* ``float32``: any number of examples.
* ``weights``: the same with int8 weights, which are turned into float32 when the file is loaded.
* ``static``: one example at a time, all in int8, input and answer too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SIGNATURE = "serving_default"


def main(job: dict[str, Any]) -> None:
    """Writes ``job["out"]``."""
    import litert_torch  # pyright: ignore[reportMissingImports]
    import torch

    program = torch.export.load(job["program"]).module()
    names = [one["name"] for one in job["inputs"]]

    class Named(torch.nn.Module):
        """Called with the inputs by name, so that the file has their names."""

        def __init__(self) -> None:
            super().__init__()
            self.program = program

        def train(self, mode: bool = True) -> Any:
            """As it is: a program was exported in one mode, and refuses to be asked."""
            return self

        def forward(self, **inputs: Any) -> Any:
            return self.program(*(inputs[name] for name in names))

    fixed = job["way"] == "static"
    words = dict.fromkeys(side for one in job["inputs"] for side in one["shape"] if isinstance(side, str))
    free = {word: torch.export.Dim(word, min=1, max=job["most"].get(word)) for word in words}
    sizes = {word: 1 if fixed else 2 + place for place, word in enumerate(words)}

    def sample(sizes: dict[str, int]) -> dict[str, Any]:
        return {
            one["name"]: torch.zeros(
                [sizes[side] if isinstance(side, str) else side for side in one["shape"]],
                dtype=getattr(torch, one["dtype"]),
            )
            for one in job["inputs"]
        }

    shapes = {
        one["name"]: {place: free[side] for place, side in enumerate(one["shape"]) if isinstance(side, str)}
        for one in job["inputs"]
    }
    one_by_one = False
    try:
        dynamic = None if fixed else {"inputs": shapes}
        made = litert_torch.convert(Named().eval(), sample_kwargs=sample(sizes), dynamic_shapes=dynamic)
    except Exception:
        # of a linear layer that is given an input itself the converter takes no batch of any size: it is made of one example
        if fixed or [*words] != ["batch"]:
            raise
        made, one_by_one = litert_torch.convert(Named().eval(), sample_kwargs=sample({"batch": 1})), True
    if job["way"] == "float32":
        made.export(job["out"])
    else:
        exact = f"{job['out']}.float32"
        made.export(exact)
        quantised(exact, job)
        Path(exact).unlink()
    unnamed(Path(job["out"]), any_batch=one_by_one)
    if one_by_one and job["way"] == "float32":
        check_batches(job, program)


def check_batches(job: dict[str, Any], program: Any) -> None:
    """Raises ``ValueError`` where a file that was made of one example answers several otherwise than the program."""
    import numpy as np
    import torch
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    examples = 3
    given = [
        np.random.default_rng(place).normal(size=[examples, *one["shape"][1:]]).astype(one["dtype"])
        for place, one in enumerate(job["inputs"])
    ]
    interpreter = Interpreter(job["out"], num_threads=1)
    interpreter.allocate_tensors()
    details = next(iter(interpreter._get_full_signature_list().values()))["inputs"]
    for one, array in zip(job["inputs"], given, strict=True):
        interpreter.resize_tensor_input(details[one["name"]], array.shape)
    interpreter.allocate_tensors()
    for one, array in zip(job["inputs"], given, strict=True):
        interpreter.set_tensor(details[one["name"]], array)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = program(*map(torch.from_numpy, given)).numpy()
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-3, atol=1e-3):
        raise ValueError("made of one example, it answers several otherwise")


def unnamed(path: Path, *, any_batch: bool = False) -> None:
    """Takes the names of all tensors but inputs and answers out of a file: what runs it needs none, and of a small one they are 8 %.

    ``any_batch``: says of all that is worked out that the first dimension, which is one example, may be any number.

    The quantiser puts weights of 256 KiB and more behind what the schema describes; they are brought into it, where every runtime looks.
    """
    import flatbuffers  # pyright: ignore[reportMissingImports]
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]

    content = path.read_bytes()
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # as the schema has it: 0 and 1 are no place
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        kept = {*map(int, graph.inputs), *map(int, graph.outputs)}
        for place, tensor in enumerate(graph.tensors):
            if place not in kept:
                tensor.name = None
            given = model.buffers[tensor.buffer].data
            if any_batch and (given is None or not len(given)) and len(tensor.shape) > 1 and tensor.shape[0] == 1:
                tensor.shapeSignature = [-1, *map(int, tensor.shape[1:])]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


def quantised(exact: str, job: dict[str, Any]) -> None:
    """Writes a file in float32 in 8 bits."""
    import numpy as np
    from ai_edge_quantizer import (  # pyright: ignore[reportMissingImports]
        calibrator,
        quantizer,
        recipe,
        recipe_manager,
    )
    from ai_edge_quantizer.utils import qsv_utils  # pyright: ignore[reportMissingImports]

    chosen = recipe.static_wi8_ai8() if job["way"] == "static" else recipe.weight_only_wi8_afp32()
    found = None
    if job["way"] == "static":
        manager = recipe_manager.RecipeManager()
        manager.load_quantization_recipe(chosen)
        with np.load(job["calibration"]) as kept:
            batches = sorted({int(name.split(":")[1]) for name in kept.files})
            whole = {
                one["name"]: np.concatenate([kept[f"{one['name']}:{batch}"] for batch in batches])
                for one in job["inputs"]
            }
        count = len(next(iter(whole.values())))
        each = [{name: array[place : place + 1] for name, array in whole.items()} for place in range(count)]
        # the least and the greatest of all examples; a mean of theirs, which is usual, would clip the surest answers
        ranges = calibrator.Calibrator(exact, qsv_update_func=qsv_utils.min_max_update)
        ranges.calibrate({SIGNATURE: each}, manager)
        found = ranges.get_model_qsvs()
    ours = quantizer.Quantizer(exact)
    ours.load_quantization_recipe(chosen)
    ours.quantize(found).export_model(job["out"], overwrite=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
