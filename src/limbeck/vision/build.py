"""A model by its name in a recipe: ours, timm's, or a person's own; and whether it fits the data."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput, not_installed, short
from ..models.inference import ask
from ..models.own_code import from_code
from ..models.seeding import seeded
from ..models.weights import load_weights
from ..sections.teacher import Model
from . import convnet, mobile, networks, pilotnet, resnet, wide_resnet
from .pixels import Size, sides


def build(
    section: Model,
    *,
    classes: int,
    channels: int,
    size: Size,
    trust_code: bool,
    seed: int,
    notes: list[str] | None = None,
) -> nn.Module:
    """The model that a recipe's section names, from images (B, channels, height, width) to logits (B, classes).

    Initialised from ``seed`` alone, then given the section's weights, if any; torch's random state stays as
    it was. A ``module:callable`` is called with the section's knobs, and with ``classes``, ``channels`` and
    ``size`` (also ``num_classes``, ``in_channels``, ``in_chans``, ``height``, ``width``) where it has parameters of those
    names; ``size`` is a pair, (height, width), where images are not square. ``notes`` gains what had to be taken for granted of its weights, in sentences.

    Raises:
        BadInput: the name or a knob is unknown, a knob is out of range, code is not trusted or does not give
            a module, an extra is not installed, or the weights do not fit.
    """
    with seeded(seed):
        if section.model.startswith("timm/"):
            model = _from_timm(section, classes=classes, channels=channels)
        elif ":" in section.model:
            model = from_code(section, trust_code, _facts(classes, channels, size))
        else:
            model = _ours(section, classes=classes, channels=channels, size=size)
    if section.weights is not None:
        said = load_weights(model, section.weights, section.model)
        if notes is not None:
            notes += said
    return model


def check_fits(model: nn.Module, *, classes: int, channels: int, size: Size, name: str, numbers: bool = False) -> None:
    """Asks ``model`` about two images (2, channels, height, width); it is afterwards as it was.

    ``name`` (``teacher``, ``student``) is how messages speak of it. ``numbers``: it answers so many numbers, not logits of so
    many classes.

    Raises:
        BadInput: it fails on the shape, or does not answer with finite logits, or numbers, (2, classes).
    """
    what, said = ("numbers", "numbers") if numbers else ("classes", "logits")
    try:
        answer = ask(model, torch.full((2, channels, *sides(size)), 0.5))
    except Exception as error:
        raise BadInput(
            f"the {name} fails on the data's images, which are {'x'.join(map(str, (channels, *sides(size))))} "
            f"(channels, height, width): {short(error)}"
        ) from error
    if not isinstance(answer, Tensor):
        raise BadInput(
            f"the {name} answers with a {type(answer).__name__}; it should answer with a tensor of {said} "
            f"(images, {what}){_wrapped(answer, classes)}."
        )
    if not answer.is_floating_point():
        raise BadInput(
            f"the {name} answers with {str(answer.dtype).removeprefix('torch.')} numbers; {said} are floating-point numbers."
        )
    if answer.dim() == 2 and answer.shape[0] == 2 and answer.shape[1] != classes:
        raise BadInput(
            f"the {name} answers {answer.shape[1]} {what}, the data has {classes}: give it a last layer of "
            f"{classes}, or data with {answer.shape[1]} {what}."
        )
    if answer.shape != (2, classes):
        raise BadInput(
            f"the {name} answers two images with the shape {tuple(answer.shape)}; (2, {classes}) is what "
            f"{classes} {what} need."
        )
    if not bool(torch.isfinite(answer).all()):
        raise BadInput(f"the {name} answers a plain grey image with NaN or infinity: its weights are not usable.")


def _wrapped(answer: object, classes: int) -> str:
    """How to get at the logits within an answer, where they are there to be seen: the line for a module around the model."""
    if isinstance(answer, Mapping):
        within = {f"[{key!r}]": one for key, one in answer.items()}
    elif isinstance(answer, list | tuple):
        within = {f"[{k}]": one for k, one in enumerate(answer)}
    else:
        within = {".logits": getattr(answer, "logits", None)}
    place = next((key for key, one in within.items() if isinstance(one, Tensor) and one.shape == (2, classes)), None)
    if place is None:
        return ""
    return f": put a module around it whose forward(self, images) is: return self.model(images){place}"


def _facts(classes: int, channels: int, size: Size) -> dict[str, Any]:
    """What a person's own code may want to know, by the names of its parameters."""
    height, width = sides(size)
    return {
        "classes": classes,
        "num_classes": classes,
        "channels": channels,
        "in_channels": channels,
        "in_chans": channels,
        "size": size,
        "height": height,
        "width": width,
    }


def _ours(section: Model, *, classes: int, channels: int, size: Size) -> nn.Module:
    name, knobs = section.model, section.knobs
    networks.check(name, knobs)
    if name in (networks.CONVNET, networks.MOBILE):
        side, downscale = min(sides(size)), knobs.get("downscale", 1)
        if side < 2 * downscale:
            raise BadInput(
                f"model: {name}'s downscale is {downscale}, which leaves less than 2 pixels of a side of {side}: take a smaller one."
            )
        family = convnet.ConvNet if name == networks.CONVNET else mobile.MobileNet
        return family(classes, channels, side, **knobs)
    if name == networks.PILOTNET:
        return pilotnet.PilotNet(classes, channels, sides(size), **knobs)
    made = resnet.resnet if name.startswith("resnet") else wide_resnet.wide_resnet
    return made(name, classes=classes, channels=channels)


def _from_timm(section: Model, *, classes: int, channels: int) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise not_installed("models of timm", error, "vision") from error
    name, knobs = section.model.removeprefix("timm/"), section.knobs
    if not isinstance(knobs.get("pretrained", False), bool):
        raise BadInput(f"model: {section.model}'s pretrained is {knobs['pretrained']!r}; it must be true or false.")
    bare = name.partition(".")[0]  # what follows the dot names a set of pretrained weights
    if not timm.is_model(bare):
        near = difflib.get_close_matches(bare, timm.list_models(), n=1)
        hint = f" Did you mean 'timm/{near[0]}'?" if near else " timm.list_models() lists them."
        raise BadInput(f"model: timm has no model '{name}'.{hint}")
    pretrained = knobs.pop("pretrained", False)
    # a teacher (a student has no such field) that nothing is going to train
    if pretrained and getattr(section, "train", section) is None and section.weights is None:
        _refuse_fresh_head(section.model, knobs, timm.get_pretrained_cfg(name), classes)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=classes, in_chans=channels, **knobs)
    except Exception as error:  # timm hands knobs to constructors of every kind, and may reach for the network
        tried = f" with {section.knobs}" if section.knobs else ""
        raise BadInput(f"model: timm could not make {name}{tried}: {short(error)}") from error


def _refuse_fresh_head(model: str, knobs: dict[str, Any], published: Any, classes: int) -> None:
    """Raises :class:`BadInput` where timm would put a last layer that nobody trained in the place of the published one."""
    overlay = knobs.get("pretrained_cfg_overlay")
    known = overlay.get("num_classes") if isinstance(overlay, dict) else None
    known = known if known is not None else getattr(published, "num_classes", None)
    if known is not None and known != classes:
        raise BadInput(
            f"teacher: the published weights of {model} know {known} classes and the data has {classes}, so its last layer "
            "would be a random one and its answers would mean nothing: give teacher.train, or data of those classes."
        )
