"""How a recipe names and trains a network of sounds, whatever it answers. No torch."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from ...sections.section import Count
from ...sections.teacher import Model
from ...sections.train import Train
from .data_sections import SoundViews
from .families import elsewhere


class SoundTrain(Train):
    """One training run; the same fields for teacher and student."""

    batch_size: Count = 64
    """Examples in a step, over all processes and micro-batches."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW."""


class TeacherSection(Model):
    """The large model. Trained here with ``train``, or ready-made with ``weights``."""

    model: str
    """A family of ours (``speech_resnet``, ``ds_cnn``, ``ds_cnn_causal``), ``module:callable``, or a checkpoint of transformers that takes
    samples (wav2vec2, HuBERT, WavLM): a folder, ``package:NAME/FOLDER``, or a name on the Hugging Face hub, owner/name."""
    train: SoundTrain | None = None
    """Train it here (from ``weights``, where given)."""
    views: SoundViews | None = None
    """How its training examples are varied; the recipe's ``views`` where not given."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    @property
    def comes_from(self) -> str | None:
        """Where it was published: itself, or the folder of its weights; None where it is trained here from the start."""
        if elsewhere(self.model):
            return self.model
        return None if self.weights is None else str(PurePath(self.weights).parent)

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.model

    @property
    def opaque(self) -> str | None:
        """None: its inner modules can be looked at."""
        return None
