"""Points: data, networks, files."""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from limbeck.data.examples import HeldOut, SplitsOf
from limbeck.deploy.onnx import written
from limbeck.deploy.parity import compared, require
from limbeck.deploy.runtime import open_session
from limbeck.deploy.standalone import write_standalone
from limbeck.errors import BadInput
from limbeck.files import fingerprint
from limbeck.files import publish as copy_to
from limbeck.interfaces.modality import Deployed, Member, Teachers
from limbeck.models.seeding import seeded
from limbeck.randomness import uniform
from limbeck.report.shown import Text

from . import predict
from .task import OfPoints, Points

LENGTHS = ()
CORNERS = torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])


def load(recipe, progress=None):
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


def data_facts(splits):
    return {"about": "points of two coordinates"}


def deploy(wanted):
    points, path, limits = wanted.examples.points.cpu(), wanted.folder / f"{wanted.role}.onnx", wanted.limits
    facts = {"schema_version": 1, "task": wanted.task.name, "name": wanted.name}
    with written(_graph(wanted.model), path, {**facts, "classes": list(wanted.task.answers.names)}, name="net") as file:
        theirs = np.asarray(open_session(file).run(None, {"point": points.numpy()})[0])
        pairs = [(wanted.model(points).detach().numpy(), theirs)]
        within = {"max_abs": limits.max_abs_difference, "agreement": limits.agreement}
        parity = compared(pairs, path, kind=wanted.task.answers.kind, **within)
        require(parity, path, what="points")
    return Deployed(path, {"path": path.name, "parity": parity, "macs": None}, (path.name,), {})


def _graph(model):
    """By hand, which is quicker than torch's exporter: a product, a rectifier, a product."""
    weights = {name.replace(".", ""): value.detach().numpy() for name, value in model.state_dict().items()}
    takes = helper.make_tensor_value_info("point", TensorProto.FLOAT, ["batch", 2])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(model[2].bias)])
    nodes = [
        helper.make_node("Gemm", ["point", "0weight", "0bias"], ["sum"], transB=1),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "2weight", "2bias"], ["logits"], transB=1),
    ]
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", [takes], [gives], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def publish(export, student_weights, out, results):
    copy_to(export / "student.onnx", out / "student.onnx")
    write_standalone(predict.__name__, out / "predict.py")


def show(examples):
    return lambda position: Text((str(examples.points[position].tolist()),))
