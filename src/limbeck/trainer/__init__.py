"""Distillation in Hugging Face's own Trainer: a person's own script, a few lines changed."""

from .trainer import EXAMPLE_ID, DistillationTrainer, ask

__all__ = ["EXAMPLE_ID", "DistillationTrainer", "ask"]
