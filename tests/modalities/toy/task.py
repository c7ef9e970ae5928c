"""Points as examples, and as batches."""

from dataclasses import dataclass

import torch

from limbeck.data.epochs import EpochSource
from limbeck.data.examples import Identified
from limbeck.interfaces import Batch, Output, Task
from limbeck.models.inference import device_of
from limbeck.randomness import order, uniform

from .recipe import Jitter


@dataclass(frozen=True, eq=False)
class Points(Identified):
    """``points`` (N, 2), ``labels`` (N,) or (N, 2), ``ids`` (N,)."""

    points: torch.Tensor
    labels: torch.Tensor | None
    ids: torch.Tensor
    groups: None = None

    def take(self, index):
        return Points(self.points[index], None if self.labels is None else self.labels[index], self.ids[index])

    def to(self, device):
        labels = None if self.labels is None else self.labels.to(device)
        return Points(self.points.to(device), labels, self.ids.to(device))


class OfPoints(Task):
    """What a network takes is the point itself."""

    def __init__(self, name, splits, seed, device):
        self.name, self.answers, self.seed = name, splits.answers, seed
        self.train, self.held_out = splits.train.to(device), splits.validation.to(device)
        self.pool = self.train

    def probe(self, sees):
        return torch.tensor([[0.5, 0.5], [-1.0, 0.25]])

    def input_facts(self, sees):
        return {}

    def batch(self, examples, index_B, view_B, views):
        ids_B, points_B2 = examples.ids[index_B], examples.points[index_B]
        moved = [2 * uniform(self.seed, ids_B, view_B, f"jitter.{side}") - 1 for side in "xy"]
        points_B2 = points_B2 + views.width * (view_B > 0)[:, None] * torch.stack(moved, 1).float()
        labels = None if examples.labels is None else examples.labels[index_B]
        return Batch(ids=ids_B, view=view_B, inputs=points_B2, labels=labels)

    def order(self, examples, seed, epoch, batch_size):
        return order(seed, epoch, examples.ids)

    def source(self, examples, *, views, seed, batch_size, **more):
        return EpochSource(self, examples, views, seed, batch_size, **more)

    @torch.inference_mode()
    def answers_to(self, model, examples, *, as_teacher=False):
        was_training = model.training
        index_B = torch.arange(len(examples), device=examples.ids.device)
        batch = self.batch(examples, index_B, torch.zeros_like(index_B), Jitter())
        yield index_B, model.eval()(batch.inputs.to(device_of(model))).float().cpu()
        model.train(was_training)

    def forward(self, model, batch):
        answer = model(batch.inputs)
        return Output(values=answer) if self.answers.kind == "values" else Output(logits=answer)
