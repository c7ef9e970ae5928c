"""Distillation with Keras' `Distiller` on its torch backend, around the same torch modules."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from given import Given, run
from torch.utils.data import DataLoader
from torchvision import transforms


def train(given: Given) -> torch.nn.Module:
    views = transforms.Compose(
        [
            transforms.RandomCrop(28, padding=2),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(given.mean, given.std),
        ]
    )
    loader = DataLoader(given.pictures(views), batch_size=128, shuffle=True)
    teacher, student = (
        keras.Sequential([keras.Input((1, 28, 28)), keras.layers.TorchModuleWrapper(net, output_shape=(None, 10))])
        for net in (given.teacher(), given.student())
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, (given.epochs - 1) * len(loader), warmup_target=0.2, warmup_steps=len(loader)
    )
    distiller = keras.distillation.Distiller(
        teacher, student, keras.distillation.LogitsDistillation(temperature=4.0), student_loss_weight=0.5
    )
    distiller.compile(
        # Keras takes the decay outside of the momentum, where torch's comes to ten times as much.
        optimizer=keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller.fit(loader, epochs=given.epochs, verbose=0)
    return student.layers[-1].module


if __name__ == "__main__":
    run(train)
