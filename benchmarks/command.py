"""How soon the command answers, in times of what cannot be spared: a bare `python`, or one that imports torch.

    LIMBECK_DATA=FOLDER_OF_MIRRORS python benchmarks/command.py

For each command the ratio of its quickest run to that of its reference, and the limit. In each round every command and
every reference runs once, so that a machine that slows down meanwhile slows all of them, and what else it does only ever
makes a run longer, so that the quickest tells most; beside it the ratio of the processor's time, which a busy machine
changes less. Bytecode is kept, and made in a round that does not count, as on a person's machine. What of torch, datasets,
scikit-learn and their like a command imports is told from a run of its own; of what is refused it must be nothing. The
commands run in a folder that is made for it, in which a short run of the digits lies finished. Of `recipes/sst2.yaml`
there is a line where `LIMBECK_DATA` names a folder that holds it. Exit code 1 where a limit is passed. An idle machine is
wanted; two minutes on 2 cores.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import arguments, print_conditions, print_table

HEAVY = ("torch", "datasets", "sklearn", "scipy", "torchmetrics", "accelerate", "transformers", "onnxruntime", "pandas")
RECIPES = Path(__file__).parent.parent / "recipes"
DIGITS = str(RECIPES / "digits.yaml")
SHORT = (
    "teacher.train.epochs=1",
    "train.epochs=1",
    "train.warmup_epochs=0",
    "teacher.train.warmup_epochs=0",
    "seeds=1",
)


@dataclass(frozen=True)
class Timed:
    """A command: what it is held to, how many times of it are allowed, and the exit code it should have."""

    title: str
    arguments: tuple[str, ...]
    against: str = "pass"
    target: float | None = None
    code: int = 0


def references(predict: list[str]) -> dict[str, Timed]:
    """What commands are held to, by name."""
    there = [
        Timed("pass", ("-c", "pass")),
        Timed("torch", ("-c", "import torch")),
        Timed("predict.py", tuple(predict)),
    ]
    return {one.title: one for one in there}


def commands(image: str, sst2: bool) -> list[Timed]:
    """All that is measured."""

    def refused(title: str, *override: str, recipe: str = DIGITS) -> Timed:
        changed = [part for one in override for part in ("--set", one)]
        return Timed(f"refused: {title}", ("-m", "limbeck", "run", recipe, *changed), "pass", 30, 2)

    bert = str(RECIPES / "sst2.yaml")
    found = [
        Timed("`--help`", ("-m", "limbeck", "--help"), "pass", 12),
        refused("a field that there is not", "train.epocs=3"),
        refused("a knob that the student has not", "student.widht=8"),
        refused("a knob of a model without knobs", "teacher.width=8"),
        refused("a knob out of range", "student.width=0"),
        refused("a wrong value", "train.epochs=many"),
        refused("a recipe that is not there", recipe="recipes/digitz.yaml"),
        refused("a data folder that is not there", "data.name=./nowhere"),
        refused("weights that are not there", "teacher.weights=nowhere.safetensors"),
        refused("a store that is not there", "targets.store=runs/nowhere"),
        refused("a model that there is not", "student.model=resnet21"),
        refused("of texts: a field that there is not", "student.widht=8", recipe=bert),
        refused("of texts: a file that is not there", "data.name=nowhere.csv", recipe=bert),
        refused("of texts: a teacher's folder that is not there", "teacher.model=./nowhere", recipe=bert),
        Timed("`run digits.yaml --plan`, nothing made yet", ("-m", "limbeck", "run", DIGITS, "--plan"), "torch", 1.5),
        Timed("the same of a finished run", ("-m", "limbeck", "run", "short.yaml", "--plan"), "torch", 1.5),
        Timed(
            "the same of another student",
            ("-m", "limbeck", "run", "short.yaml", "--plan", "--set", "student.width=9"),
            "torch",
            1.5,
        ),
        Timed("`predict` of an exported model", ("-m", "limbeck", "predict", "runs/short", image), "predict.py", 1.2),
    ]
    if sst2:
        found.insert(-1, Timed("`run sst2.yaml --plan`", ("-m", "limbeck", "run", bert, "--plan"), "torch", 3))
    return found


def ran(command: Timed, folder: Path, *options: str) -> tuple[tuple[float, float], str]:
    """Seconds, those of the processor, and what came on stderr of one run in ``folder``; its exit code must be right."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["NO_COLOR"] = "1"
    began, spent = time.perf_counter(), _spent()
    done = subprocess.run(
        [sys.executable, *options, *command.arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    took = time.perf_counter() - began, _spent() - spent
    if done.returncode != command.code:
        raise SystemExit(f"{command.title}: exit code {done.returncode} instead of {command.code}\n{done.stderr}")
    return took, done.stderr


def _spent() -> float:
    """Seconds of the processor that all processes took that were started here and are done."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(command: Timed, folder: Path) -> str:
    """What of the heavy packages one run imports."""
    _, told = ran(command, folder, "-X", "importtime")
    packages = set(re.findall(r"^import time:.*\|\s+(\w+)$", told, re.MULTILINE))
    return ", ".join(name for name in HEAVY if name in packages) or "-"


def prepared(folder: Path) -> list[str]:
    """Makes a finished run of the digits and an image in ``folder``; the arguments of its own predict.py."""
    from PIL import Image

    from limbeck.recipe import read as recipe_file

    recipe = recipe_file.read(Path(DIGITS), [*SHORT, "name=short"])
    (folder / "short.yaml").write_text(recipe_file.resolved_yaml(recipe), encoding="utf-8")
    Image.new("L", (8, 8), 100).save(folder / "grey.png")
    command = [sys.executable, "-m", "limbeck", "run", "short.yaml"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        raise SystemExit(made.stderr)
    made_there = folder / "runs" / "short"
    return [str(made_there / "predict.py"), str(made_there / "student.onnx"), "grey.png"]


def main() -> None:
    """Measures all of them and prints the table."""
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--rounds", type=int, default=7, help="of each command, beside the first, which does not count")
    parser.add_argument("--only", default="", metavar="WORDS", help="of the lines alone that hold these words")
    asked = parser.parse_args()
    began = time.monotonic()
    mirrors = os.environ.get("LIMBECK_DATA")
    if mirrors:
        os.environ["LIMBECK_DATA"] = mirrors = str(Path(mirrors).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = references(prepared(folder))
        sst2 = mirrors is not None and (Path(mirrors) / "sst2").is_dir()
        wanted = [one for one in commands("grey.png", sst2) if asked.only in one.title]
        timed = [one for one in known.values() if any(command.against == one.title for command in wanted)] + wanted
        seconds: dict[str, list[tuple[float, float]]] = {one.title: [] for one in timed}
        for number in range(asked.rounds + 1):
            for one in timed:
                took, _ = ran(one, folder)
                if number:  # the first writes bytecode and fills the caches
                    seconds[one.title].append(took)
        quickest = {title: [min(times) for times in zip(*each, strict=True)] for title, each in seconds.items()}
        rows = []
        for one in wanted:
            ratio, processor = (a / b for a, b in zip(quickest[one.title], quickest[one.against], strict=True))
            assert one.target is not None
            heavy = imported(one, folder)
            reached = ratio <= one.target and (one.code == 0 or heavy == "-")
            told = [f"{1000 * quickest[one.title][0]:.0f}", one.against, f"{ratio:.2f}", f"{processor:.2f}"]
            rows.append([one.title, *told, f"{one.target:g}", "yes" if reached else "no", heavy])
    print_table(["command", "ms", "against", "times of it", "of processor", "at most", "kept", "imports"], rows)
    bare = ", ".join(f"{name} {1000 * quickest[name][0]:.0f} ms" for name in known if name in quickest)
    print(f"\nThe references: {bare}; the quickest of {asked.rounds} rounds.")
    print_conditions("-", began)
    raise SystemExit(int(any("no" in row for row in rows)))


if __name__ == "__main__":
    main()
