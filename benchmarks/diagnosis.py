"""Runs made to be each thing that a diagnosis tells apart, on the digits of scikit-learn; what it says of each.

python benchmarks/diagnosis.py [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from limbeck.evaluation import diagnosis
from limbeck.pipeline import run, stages
from limbeck.pipeline.diagnose import diagnose
from limbeck.pipeline.job import open_job
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe.read import apply_overrides, from_dict

RECIPE = """\
name: diagnosed
data: {name: digits, limit: 200, validation_fraction: 0.25, transfer: {name: digits}}
views: {shift: 0.1}
teacher: {model: convnet, width: 32, train: {epochs: 80, batch_size: 32, weight_decay: 0.005}}
targets: {views: 8}
student: {model: convnet, width: 8}
objective: {kd: {temperature: 4, weight: 0.9}, cross_entropy: {weight: 0.1}}
train: {epochs: 30, batch_size: 64, learning_rate: 0.2, weight_decay: 0.001}
"""
# A teacher that learnt from all labels, for a student that sees few examples.
FULL = ("data.limit=null", "data.transfer=null", "teacher.train.epochs=15", "train.epochs=1", "train.warmup_epochs=0")
FEW = ("data.limit=60", "data.transfer=null", "views.shift=0", "targets.views=1", "train.epochs=60")
MADE_TO_BE = {
    diagnosis.KEPT: (),
    diagnosis.SMALL: ("student.width=1",),
    diagnosis.STEPS: ("train.epochs=2",),
    diagnosis.COLD: ("objective.kd.temperature=0.1",),
    diagnosis.WEAK: ("teacher.width=2",),
    diagnosis.DATA: FEW,
}


def recipe(*overrides: str):
    return from_dict(apply_overrides(yaml.safe_load(RECIPE), overrides))


def good_teacher(folder: Path) -> Path:
    """The weights of a teacher that learnt from all labels."""
    job = open_job(recipe(*FULL), out=folder / "full", device="cpu", threads=1, quiet=True)
    with stages.claimed(job.out):
        the_teacher(job)
    (weights,) = (folder / "full").glob("stages/teacher/*/model.safetensors")
    return Path(shutil.copy(weights, folder / "teacher.safetensors"))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    for kind, overrides in MADE_TO_BE.items():
        if kind == diagnosis.DATA:
            overrides = (*overrides, f"teacher={{model: convnet, width: 32, weights: {good_teacher(folder)}}}")
        out = folder / kind.replace(" ", "-")
        run.run(recipe(*overrides), out=out, device="cpu", threads=1)
        finding, command = diagnose(out, device="cpu")
        print(f"made to be: {kind}; found: {finding.kind}\n  {finding.text}\n  Next: {command}", flush=True)


if __name__ == "__main__":
    main()
