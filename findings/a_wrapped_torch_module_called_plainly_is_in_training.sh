#!/usr/bin/env bash
# Keras 3.15.1 (torch 2.15.0): a model around a TorchModuleWrapper that is called without `training` runs its torch module in
# training mode. So `model(x)` normalises by the batch, drops units, and moves the running statistics of batch norm for good.
#
# One would expect inference: that is what a call without `training` means for every layer of Keras' own, BatchNormalization
# and Dropout among them, and what `predict` does with the same model. The wrapper takes `training=None` for True.
#
# Who asks a wrapped model, a teacher say, should use `predict` or `model(x, training=False)`; keras.distillation.Distiller
# does the latter. A look at its answers by `model(x)` changes every answer after it.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 keras==3.15.1

KERAS_BACKEND=torch "$folder/venv/bin/python" -W ignore - << 'PYTHON'
import sys

import keras
import numpy as np
import torch
from torch import nn

images = np.random.default_rng(0).normal(2.0, 1.0, (32, 1, 8, 8)).astype("float32")
norm = nn.BatchNorm2d(1)
wrapped = keras.Sequential([keras.Input((1, 8, 8)), keras.layers.TorchModuleWrapper(norm, output_shape=(None, 1, 8, 8))])
own = keras.Sequential([keras.Input((1, 8, 8)), keras.layers.BatchNormalization(axis=1)])


def answer(model):
    return model.predict(images, verbose=0).mean()


print(f"keras {keras.__version__}, torch {torch.__version__}; 32 images of mean 2, statistics as initialised: mean 0, variance 1")
before = {name: (model(images).mean().item(), answer(model)) for name, model in (("Keras' own", own), ("wrapped", wrapped))}
after = {"Keras' own": answer(own), "wrapped": answer(wrapped)}
for name, (called, predicted) in before.items():
    print(f"{name}: model(x) has mean {called:.3f}, predict(x) {predicted:.3f}")
print(f"running mean of the wrapped module after that one call: {norm.running_mean.item():.3f}")
plain, predicted = before["wrapped"]
kept = abs(before["Keras' own"][0] - 2) < 0.1
sys.exit(0 if kept and abs(plain) < 0.01 and norm.running_mean.item() > 0.1 else "this finding is out of date")
PYTHON
