"""How a recipe says that a model is trained. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from .section import Count, NotNegative, Positive, Section, Times

_PEAK = {"sgd": 0.1, "adamw": 0.002}


class Train(Section):
    """One training run; the same fields for teacher and student."""

    epochs: Times = 30
    """Passes over the training set."""
    batch_size: Count = 128
    """Examples in a step, over all processes and micro-batches."""
    micro_batches: Count = 1
    """Split each step's batch into so many parts and add up their gradients, to save memory."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW."""
    learning_rate: Positive | None = None
    """Peak learning rate; 0.1 for sgd and 0.002 for adamw where not given."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of sgd; beta1 of adamw."""
    nesterov: bool = True
    """Nesterov's form of the momentum."""
    weight_decay: NotNegative = 5e-4
    """Decay of weight matrices and kernels; biases and normalisation are never decayed."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """How the learning rate falls after warm-up: to zero along a cosine, at milestones, or not at all."""
    milestones: tuple[Times, ...] = ()
    """Epochs at which ``steps`` multiplies the rate by ``gamma``."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """The factor at each milestone."""
    warmup_epochs: NotNegative = 1.0
    """Epochs over which the rate rises from zero."""
    clip_norm: Positive | None = None
    """Clip the gradient's global norm."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is kept; 0: none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model's arithmetic; losses are float32 either way."""
    keep: Literal["last", "best"] = "last"
    """Keep the last epoch's weights, or those that are best on validation: by accuracy, or the error of a regression."""
    patience: Times | None = None
    """Stop when so many epochs have not bettered the validation loss; keeps the best."""
    compile: bool = False
    """Compile the step with torch.compile (pays on a GPU)."""

    @property
    def peak(self) -> float:
        """The peak learning rate: the one given, or the optimizer's."""
        return self.learning_rate or _PEAK[self.optimizer]

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if self.schedule == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' needs milestones, such as [150, 180, 210]")
        if self.schedule != "steps" and self.milestones:
            raise ValueError("milestones are for schedule 'steps'")
        if self.micro_batches > self.batch_size:
            raise ValueError("micro_batches cannot exceed batch_size")
        return self


def schedule_problems(where: str, train: Train | None) -> Iterator[str]:
    """What does not go together in the schedule of a ``train`` section at ``where``, as sentences."""
    if train is not None and train.warmup_epochs > train.epochs:
        yield (
            f"{where}.warmup_epochs: {train.warmup_epochs:g} was given; "
            f"it must be at most {where}.epochs ({train.epochs})"
        )
