"""Distillation with Limbeck: the teacher asked once about the views that are stored, then a student from the store.

What a person writes is the recipe beside this file. This script does what `limbeck run` does of it, stage by stage in a fresh
folder, so that the pass and the student can be timed apart; the checkpoint and the validation of each epoch are in the time.
"""

import shutil
from pathlib import Path

from given import Given, asked, measured, written

from limbeck.modalities.image.load import load
from limbeck.pipeline import stages
from limbeck.pipeline.job import open_job
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe.read import read


def main() -> None:
    arguments = asked()
    given = Given(arguments.given, arguments.seed, arguments.epochs)
    recipe = read(given.known["recipe"], [*given.known["set"], f"train.epochs={given.epochs}"])
    out = arguments.out.with_suffix("")
    shutil.rmtree(out, ignore_errors=True)
    trained = Path(given.known["teacher_stage"])
    shutil.copytree(trained, out / "stages" / "teacher" / trained.name)
    job = open_job(recipe, load(recipe.data), out=out, device="cpu", threads=arguments.threads, quiet=True)
    with stages.claimed(out):
        teacher = the_teacher(job)
        store, once = measured(lambda: the_targets(job, teacher))
        arm = the_arms(job, teacher, store)["student"]
        student, figures = measured(lambda: train_member(job, arm, given.seed, "student"))
    accuracy = given.accuracy(student.model)
    written(arguments.out, {**figures, "accuracy": accuracy, "pass": once})
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
