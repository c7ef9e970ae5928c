"""The optimisers, in the fused form that can skip an update on the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from ..sections.train import Train


def optimizer_for(modules: Iterable[nn.Module], plan: Train) -> Optimizer:
    """SGD or AdamW over the modules' trainable parameters; vectors (biases, normalisation) are not decayed.

    A module that has ``paces`` (submodule to factor) has there what learns at so many times the rate: what was trained before
    beside what is fresh. Its groups say so by ``pace``.

    The fused kernels read ``found_inf`` on the device and leave everything untouched where it is 1: so a bad loss
    stops the updates without the host having to look.
    """
    modules = list(modules)
    pace_of = {
        parameter: pace
        for module in modules
        for name, pace in getattr(module, "paces", {}).items()
        for parameter in module.get_submodule(name).parameters()
    }
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for pace in (None, *sorted(set(pace_of.values()))):
        alike = [p for p in parameters if pace_of.get(p) == pace]
        said = {} if pace is None else {"pace": pace}
        groups += [
            {"params": [p for p in alike if p.dim() >= 2], "weight_decay": plan.weight_decay, **said},
            {"params": [p for p in alike if p.dim() < 2], "weight_decay": 0.0, **said},
        ]
    groups = [group for group in groups if group["params"]]
    if plan.optimizer == "sgd":
        return SGD(groups, lr=0.0, momentum=plan.momentum, nesterov=plan.nesterov and plan.momentum > 0, fused=True)
    return AdamW(groups, lr=0.0, betas=(plan.momentum, 0.999), fused=True)
