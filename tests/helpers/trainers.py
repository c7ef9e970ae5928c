"""A classifier of a few texts, and a Trainer that distils it."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch
import transformers

from limbeck.trainer.cast_dataset import ask
from limbeck.trainer.trainer import DistillationTrainer
from tests.helpers.tiny_text import TEXTS, tiny_classifier, tiny_tokenizer

ROOT = Path(__file__).parents[2]


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


LABELS = [0, 1, 2, 0, 1, 2, 0, 1]


def rows(labels=LABELS, texts=TEXTS) -> datasets.Dataset:
    tokenizer = tiny_tokenizer()
    tokens = [tokenizer(text)["input_ids"] for text in texts]
    masks = [[1] * len(one) for one in tokens]
    return datasets.Dataset.from_dict({"text": texts, "input_ids": tokens, "attention_mask": masks, "labels": labels})


def plan(out, batch=8, accumulate=1, **changes) -> transformers.TrainingArguments:
    common = {
        "max_steps": 1,
        "learning_rate": 0.1,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    batches = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulate}
    return transformers.TrainingArguments(str(out), **{**common, **batches, **changes})


def student(**changes):
    return tiny_classifier(seed=1, num_hidden_layers=2, **{**NO_DROPOUT, **changes})


def trainer(out, teacher, objective=None, *, model=None, data=None, **changes) -> DistillationTrainer:
    return DistillationTrainer(
        model=model if model is not None else student(),
        args=plan(out, **changes),
        train_dataset=data if data is not None else rows(),
        processing_class=tiny_tokenizer(),
        teacher=teacher,
        objective=objective,
    )


def weights(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.fixture(scope="module")
def teacher():
    return tiny_classifier(seed=0)


@pytest.fixture(scope="module")
def stored(teacher, tmp_path_factory):
    """The rows with their ids, and the store."""
    return ask(teacher, rows(), tmp_path_factory.mktemp("targets") / "store", tiny_tokenizer())
