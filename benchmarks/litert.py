"""LiteRT files of the digits' student, made in the converter's own environment and held to PyTorch, which takes too long for the tests.

    uv run --all-extras python benchmarks/litert.py
    uv run --all-extras python benchmarks/litert.py --keep tests/deploy/litert

The second writes the files that the tests ask. About three minutes, once the environment is there. Fails where a file does not answer
as the network does, as far as its precision goes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import arguments, print_conditions, print_table

from limbeck.deploy.formats import FORMATS
from limbeck.deploy.graphs import of_module

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.litert_student import images, linear, student

LEAST_AGREEMENT = {"litert": 1.0, "litert-int8": 0.97, "micro": 0.97}


def main() -> None:
    """Prints a row a format."""
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--keep", type=Path, help="folder in which the files stay")
    asked = parser.parse_args()
    began, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as passing:
        folder = asked.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        graph = student()
        (theirs_NC,) = of_module(graph)({"image": images()[-300:]})
        for name, least in LEAST_AGREEMENT.items():
            form = FORMATS[name]
            path, before = folder / f"student{form.suffix}", time.perf_counter()
            form.write(graph, path, [{"image": images()[:512]}])
            seconds = time.perf_counter() - before
            (ours_NC,) = form.ask(path)({"image": images()[-300:]})
            same = float((ours_NC.argmax(1) == theirs_NC.argmax(1)).mean())
            largest = float(np.abs(ours_NC - theirs_NC).max())
            said = {} if form.facts is None else form.facts(path)
            rows.append([name, path.stat().st_size, f"{seconds:.0f}", f"{largest:.3g}", f"{same:.1%}", said or "–"])
            if same < least:
                sys.exit(f"{name}: the same class on {same:.1%} of {len(ours_NC)} images, where {least:.0%} is right")
        if asked.keep is not None:
            FORMATS["litert"].write(linear(), folder / "linear.tflite", ())
    print_table(["format", "bytes", "s to write", "largest difference", "same class", "further"], rows)
    print(f"\nLogits of the network range over {np.ptp(theirs_NC):.1f}.")
    print_conditions("none: the weights lie beside the files", began)


if __name__ == "__main__":
    main()
