#!/usr/bin/env bash
# torch 2.15.0 (onnx 1.23.2, onnxscript 0.7.2): torch.onnx.export keeps parameters of equal values once. So the file of an
# untrained network is smaller than that of the same network after training, though no shape has changed.
#
# One would expect the size of a file to follow from the architecture: shapes and precision are the same. But whatever is
# initialised alike (the ones and zeros of normalisation layers, zero biases) is one initializer that all nodes share. Eight
# LayerNorms of 192 numbers make a file of some 12 KB with their first weights, and of twice as much once each has its own.
#
# Who measures size or memory before training, to see whether a design fits a device, should give every parameter values of
# its own first. Who reads such a file by the names of its initializers will miss the names that were merged away.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2

"$folder/venv/bin/python" -W ignore - "$folder" << 'PYTHON'
import pathlib
import sys

import onnx
import torch
from torch import nn

path = pathlib.Path(sys.argv[1]) / "model.onnx"
model = nn.Sequential(*(nn.LayerNorm(192) for _ in range(8))).eval()


def exported():
    torch.onnx.export(model, (torch.zeros(2, 192),), str(path), dynamo=True, external_data=False, verbose=False)
    kept = [one.name for one in onnx.load(path).graph.initializer]
    return path.stat().st_size, kept


names = {name for name, _ in model.named_parameters()}
size, kept = exported()
print(f"torch {torch.__version__}, onnx {onnx.__version__}; 8 LayerNorms of 192, {len(names)} parameters")
print(f"as initialised: {size:,} bytes, {len(names & set(kept))} of the {len(names)} parameters by name")
with torch.no_grad():
    for parameter in model.parameters():
        parameter += 0.01 * torch.randn_like(parameter)
after, kept_after = exported()
print(f"with other values: {after:,} bytes, {len(names & set(kept_after))} of the {len(names)} parameters by name")
same = len(names & set(kept)) < len(names) == len(names & set(kept_after)) and after > 1.5 * size
sys.exit(0 if same else "equal parameters are no longer kept once: this finding is out of date")
PYTHON
