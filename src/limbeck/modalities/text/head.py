"""The last layer of a sequence classifier, brought into the order and number of the data's classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...models.labels import same_name
from ...models.outputs import of_one_logit, of_two_classes


def reorder(model: Any, order: tuple[int, ...], role: str) -> None:
    """Puts the outputs of the last layer into ``order``. Raises :class:`BadInput` where there is no such layer."""
    if order == tuple(range(len(order))):
        return
    before_1C, last = _answer(model), _last(model, len(order))
    if last is not None:
        last.weight.data = last.weight.data[list(order)].clone()
        if last.bias is not None:
            last.bias.data = last.bias.data[list(order)].clone()
    if not torch.allclose(_answer(model), before_1C[:, list(order)], atol=1e-5):
        raise BadInput(
            f"the {role}'s labels stand in another order than the data's, and a {type(model).__name__}'s outputs "
            "cannot be put into order here: sort the data's labels as the model has them."
        )


def of_two_outputs(model: Any, classes: Sequence[str], role: str) -> str:
    """Makes a classifier with one output one of two, whose logits are (0, z) of its logit z; what it took for granted.

    z belongs to the class that the model names, or to the second.

    Raises:
        BadInput: nothing says that the output is a logit (what transformers calls regression has one output as well), or
            there is no last layer to be changed.
    """
    config = model.config
    if config.problem_type not in ("single_label_classification", "multi_label_classification"):
        raise BadInput(
            f"the {role} has one output, which its config.json calls "
            f"{config.problem_type or 'nothing (transformers takes that for regression)'}, and the data has two classes "
            f"('{classes[0]}', '{classes[1]}'). Where it is the logit of one of them, say so in config.json: "
            '"problem_type": "multi_label_classification", and that class in "id2label"; regression is not done yet.'
        )
    before_11, last, named = _answer(model), _last(model, 1), str(config.id2label[0])
    order = (1, 0) if same_name(named, classes[0]) else (0, 1)
    if last is not None:
        last.weight.data = _grown(last.weight.data, order)
        if last.bias is not None:
            last.bias.data = _grown(last.bias.data, order)
        last.out_features = config.num_labels = model.num_labels = 2
    config.problem_type = "single_label_classification"
    wanted_12 = of_two_classes(before_11)[:, list(order)]
    after = _answer(model)
    if after.shape != wanted_12.shape or not torch.allclose(after, wanted_12, atol=1e-5):
        raise BadInput(
            f"the {role} has one output for two classes, and a {type(model).__name__}'s cannot be made two here: give it a "
            "last layer of two, or teacher.train and its body alone."
        )
    return of_one_logit(role, tuple(classes[at] for at in order))


def _grown(values: Tensor, order: tuple[int, int]) -> Tensor:
    return torch.cat([torch.zeros_like(values), values])[list(order)].clone()


def _last(model: Any, outputs: int) -> nn.Linear | None:
    """The last linear layer with so many outputs outside of the body."""
    body = f"{model.base_model_prefix}."
    found = [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == outputs and not path.startswith(body)
    ]
    return found[-1] if found else None


@torch.no_grad()
def _answer(model: Any) -> Tensor:
    """Logits (1, C) of three tokens."""
    model.eval()
    ids_1L = torch.tensor([[model.config.pad_token_id or 0, 1, 2]])
    return model(input_ids=ids_1L, attention_mask=torch.ones_like(ids_1L)).logits
