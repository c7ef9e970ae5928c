"""Points: data, networks, files."""

import torch
from torch import nn

from limbeck.data.examples import HeldOut, SplitsOf
from limbeck.deploy.standalone import write_standalone
from limbeck.errors import BadInput
from limbeck.files import fingerprint
from limbeck.files import publish as copy_to
from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH
from limbeck.interfaces.modality import Member, Teachers
from limbeck.models.seeding import seeded
from limbeck.randomness import uniform
from limbeck.report.shown import Text

from . import predict
from .task import OfPoints, Points

CORNERS = torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])


def load(recipe, progress=None, *, trust_code=False):
    number = torch.arange(recipe.data.count)
    points = torch.stack([4 * uniform(0, number, 0, side) - 2 for side in "xy"], 1).float()
    turned = recipe.task == "point-regression"
    labels = points.flip(1) * torch.tensor([-1.0, 1.0]) if turned else (points[:, None] - CORNERS).norm(dim=2).argmin(1)
    cuts = [recipe.data.count // 2, recipe.data.count // 4, recipe.data.count - recipe.data.count * 3 // 4]
    train, validation, test = (Points(points, labels, number).take(part) for part in number.split(cuts))
    named = fingerprint([recipe.task, recipe.data.count])
    return SplitsOf(
        train=train,
        validation=validation,
        test=HeldOut(lambda notes: test, count=len(test)),
        transfer=None,
        classes=() if turned else ("right", "above", "below"),
        numbers=("x", "y") if turned else (),
        fingerprint=named,
        labelled=named,
    )


def origins(recipe, splits):
    return {split: {"point": getattr(splits, split).points.tolist()} for split in ("train", "validation")}


def _net(section, splits, seed):
    with seeded(seed):
        width = section.knobs.get("width", 8)
        return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, splits.answers.width))


def teachers_of(recipe, splits, *, trust_code):
    return given_teacher(_net(recipe.teacher, splits, recipe.seed), recipe, splits)


def given_teacher(model, recipe, splits):
    check(model, splits, "teacher")
    return Teachers(model, None, (Member(recipe.teacher, recipe.seed, model, None),))


def student_of(recipe, splits, teachers, *, trust_code):
    return lambda seed: _net(recipe.student, splits, seed)


def check(model, splits, name):
    try:
        fits = model(splits.train.points[:2]).shape == (2, splits.answers.width)
    except RuntimeError:
        fits = False
    if not fits:
        raise BadInput(f"the {name} does not answer points with {splits.answers.width} numbers.")


def task_of(recipe, splits, teachers, device):
    return OfPoints(recipe.task, splits, recipe.seed, device)


def starts_from_teacher(recipe):
    return False


def layers(model, asking, role):
    raise BadInput(f"{asking}: the {role} is no transformer.")


def notes_on(student, splits):
    return []


def data_facts(splits, task):
    return {"about": "points of two coordinates"}


def exportables(model, task, role):
    said = {"schema_version": 1, "task": task.name, "classes": list(task.answers.names)}
    point = Input(torch.tensor([[0.5, 0.5], [-1.0, 0.25]]), (BATCH, 2))
    return {role: Exportable("net", model, {"point": point}, (BATCH, task.answers.width), said)}


def beside(model, task, role, folder):
    (folder / f"{role}.txt").write_text("points\n")
    return (f"{role}.txt",)


def sample(examples):
    return examples


def answered(graphs, model, task, role, examples):
    return torch.from_numpy(graphs[role]({"point": examples.points.cpu().numpy()})[0])


def measured(model, task, splits):
    return {"farthest": float(model(splits.validation.points).detach().abs().max())}


def in_use(models, task, splits, progress):
    return None


def publish(export, student_weights, out, results):
    copy_to(export / "student.onnx", out / "student.onnx")
    write_standalone(predict.__name__, out / "predict.py")


def show(examples):
    return lambda position: Text((str(examples.points[position].tolist()),))
