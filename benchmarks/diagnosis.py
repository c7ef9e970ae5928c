"""Runs made to be each thing that a diagnosis tells apart, on the digits of scikit-learn, and what it says of each.

python benchmarks/diagnosis.py [--numbers] [--only KIND] [--set FIELD=VALUE] [--out FOLDER]
python benchmarks/diagnosis.py --limits

Of classes, or, with ``--numbers``, of digits turned by an angle. The next step is taken where it is a change of the recipe, and the
student's figure after it stands in the last column. The limits of the diagnosis were set on the runs of classes as they stand here;
``--set seed=3 --set data.limit=250`` makes others. That of a temperature too high was set on those of ``--limits``, which prints what a
temperature makes of the teacher's answers and of the student. Each takes about five minutes on an idle core.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import yaml

from limbeck.evaluation import diagnosis
from limbeck.files import write_text
from limbeck.pipeline import stages
from limbeck.pipeline.diagnose import Section, look_into
from limbeck.pipeline.job import open_job, use_threads
from limbeck.pipeline.students import members, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe.read import apply_overrides, from_dict, resolved_yaml

RECIPE = """\
name: diagnosed
data: {name: digits, limit: 200, validation_fraction: 0.25, transfer: {name: digits}}
views: {shift: 0.1}
teacher: {model: convnet, width: 32, train: {epochs: 80, batch_size: 32, weight_decay: 0.005}}
targets: {views: 8}
student: {model: convnet, width: 8}
objective: {kd: {temperature: 4, weight: 0.9}, cross_entropy: {weight: 0.1}}
train: {epochs: 30, batch_size: 64, learning_rate: 0.2, weight_decay: 0.001}
baseline: {label_smoothing: 0}
"""
NUMBERS = """\
name: diagnosed
task: image-regression
data: {name: digits_turned, limit: 400, validation_fraction: 0.25, transfer: {name: digits_turned}, unit: degrees}
views: {shift: 0.1}
teacher: {model: convnet, width: 32, train: {epochs: 60, batch_size: 32, learning_rate: 0.003}}
targets: {views: 8}
student: {model: convnet, width: 8}
objective: {mse_values: {weight: 0.8}, mse: {weight: 0.2}}
train: {epochs: 40, batch_size: 64, learning_rate: 0.005}
"""
LIMITS = ("seed=7", "data.limit=300")
# A teacher that learnt from all labels, for a student that sees few examples.
FULL = ("data.limit=null", "data.transfer=null", "teacher.train.epochs=15", "train.epochs=1", "train.warmup_epochs=0")
FEW = ("data.limit=60", "data.transfer=null", "views.shift=0", "targets.views=1", "train.epochs=60")
KL = "objective={{forward_kl: {{temperature: {}, weight: 0.9}}, cross_entropy: {{weight: 0.1}}}}"
MADE_TO_BE = {
    diagnosis.KEPT: (),
    diagnosis.SMALL: ("student.width=1",),
    diagnosis.STEPS: ("train.epochs=2",),
    diagnosis.COLD: ("objective.kd.temperature=0.1",),
    diagnosis.HOT: (KL.format(16),),
    diagnosis.WEAK: ("teacher.width=2",),
    diagnosis.DATA: FEW,
}


def recipe(*overrides: str, numbers: bool = False):
    return from_dict(apply_overrides(yaml.safe_load(NUMBERS if numbers else RECIPE), overrides))


def good_teacher(folder: Path, *more: str, numbers: bool = False) -> Path:
    """The weights of a teacher that learnt from all labels."""
    job = open_job(recipe(*more, *FULL, numbers=numbers), out=folder / "full", device="cpu", threads=1, quiet=True)
    with stages.claimed(job.out):
        the_teacher(job)
    (weights,) = (folder / "full").glob("stages/teacher/*/model.safetensors")
    return Path(shutil.copy(weights, folder / "teacher.safetensors"))


def made_to_be(kind: str, folder: Path, *more: str, numbers: bool = False) -> tuple[str, ...]:
    """What makes a recipe be of that kind, with these changes of it."""
    if kind != diagnosis.DATA:
        return (*more, *MADE_TO_BE[kind])
    weights = good_teacher(folder, *more, numbers=numbers)
    return (*more, *FEW, f"teacher={{model: convnet, width: 32, weights: {weights}}}")


def trained(out: Path, *overrides: str, numbers: bool = False) -> None:
    """A run up to its last student: what is diagnosed needs no more. In one folder, so that what several share is made once."""
    use_threads(1)
    job = open_job(recipe(*overrides, numbers=numbers), out=out, device="cpu", quiet=True)
    with stages.claimed(out):
        write_text(out / "recipe.yaml", resolved_yaml(job.recipe))
        teacher = the_teacher(job)
        arms = the_arms(job, teacher, the_targets(job, teacher))
        for name, seed in members(job):
            train_member(job, arms[name], seed)


def shown(value: float | None, numbers: bool, *, of: str = "share") -> str:
    if value is None:
        return ""
    if not numbers or of == "share":
        return f"{value:.1%}" if of != "right" else f"{1 - value:.1%}"
    return f"{value**0.5:.2f}" if of == "right" else f"{value:.2f}"


def row(kind: str, section: Section, after: Section | None, numbers: bool) -> list[str]:
    """Figures of classes are shares of examples; of numbers RMSE in their unit."""
    figures = section["figures"]
    step = section["next"]
    return [
        kind,
        section["finding"],
        *(shown(figures[role], numbers, of="right") for role in ("teacher", "student", "baseline")),
        *(shown(figures[name], numbers, of="rmse" if numbers else "right") for name in ("apart_learnt", "apart")),
        shown(figures["fall"], numbers),
        *([] if numbers else [shown(figures[name], numbers) for name in ("entropy", "teachers_share")]),
        "" if step is None else " ".join(step["set"]) or step["how"],
        "" if after is None else shown(after["figures"]["student"], numbers, of="right"),
    ]


def limits(folder: Path) -> None:
    """What a temperature makes of the teacher's answers, with an objective that has no factor T², and of the student."""
    from common import print_table

    rows = []
    for temperature in (0.1, 0.5, 1, 2, 4, 8, 16, 32):
        trained(folder / "run", *LIMITS, KL.format(temperature))
        figures = look_into(folder / "run", device="cpu")["figures"]
        right = (shown(figures[role], False, of="right") for role in ("student", "baseline"))
        rows.append(
            [f"{temperature:g}", *(shown(figures[name], False) for name in ("entropy", "teachers_share")), *right]
        )
        print(rows[-1], flush=True)
    print_table(["temperature", "entropy", "teacher's share", "student right", "no teacher"], rows)


def main() -> None:
    from common import arguments, print_conditions, print_table  # beside this script; tests import it from elsewhere

    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--numbers", action="store_true", help="runs of numbers")
    parser.add_argument("--limits", action="store_true", help="the runs that the limits of temperatures were set on")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`, for all"
    )
    parser.add_argument("--only", nargs="*", choices=list(MADE_TO_BE), help="runs made to be these alone")
    parser.add_argument("--out", type=Path, help="folder of the runs, kept; a temporary one where not given")
    asked = parser.parse_args()
    began = time.monotonic()
    folder = asked.out or Path(tempfile.mkdtemp())
    if asked.limits:
        limits(folder)
        print_conditions("1", began)
        return
    without = (diagnosis.COLD, diagnosis.HOT) if asked.numbers else ()
    rows = []
    for kind in asked.only or [one for one in MADE_TO_BE if one not in without]:
        out, overrides = folder / "run", made_to_be(kind, folder, *asked.set, numbers=asked.numbers)
        trained(out, *overrides, numbers=asked.numbers)
        section = look_into(out, device="cpu")
        print(f"made to be: {kind}; found: {section['finding']}\n  {section['text']}", flush=True)
        after = None
        if (step := section["next"]) is not None:
            print(f"  Next: {step['text']}", flush=True)
        if step is not None and step["set"]:
            trained(out, *overrides, *step["set"], numbers=asked.numbers)
            after = look_into(out, device="cpu")
        rows.append(row(kind, section, after, asked.numbers))
        print("  |", " | ".join(rows[-1]), flush=True)
    temperatures = [] if asked.numbers else ["entropy", "teacher's share"]
    right = ["teacher", "student", "no teacher", "from the teacher where it learnt", "on validation"]
    print_table(["made to be", "found", *right, "loss fell by", *temperatures, "next step", "student after it"], rows)
    print_conditions("1", began)


if __name__ == "__main__":
    main()
