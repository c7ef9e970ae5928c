#!/usr/bin/env bash
# ExecuTorch 1.5.1 (torch 2.15.0): a network with convolutions that is exported for batches of 1 to 256, and shown two examples,
# gives a file that takes 15 at most.
#
# One would expect the bound that torch.export.Dim was told, and the exported program has it. But where XNNPACK's partitioner
# lowers it, the convolution is traced once more on channels-last tensors; torch then asks whether the batch is smaller than 16
# to choose an algorithm, answers by the example of two, and the range of the symbol is narrowed to 2..15. Memory is planned for
# the upper end of it. Nothing is said: a batch of 16 fails on the device with error 0x10.
#
# Who exports a dynamic batch should show examples of as many as the bound (16 at least), and read the sizes that were planned from
# the method's metadata before the file is shipped.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 executorch==1.5.1

"$folder/venv/bin/python" -W ignore - 2> /dev/null << 'PYTHON'
import sys

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import nn

model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()).eval()


def planned(examples):
    batch = torch.export.Dim("batch", min=1, max=256)
    program = torch.export.export(model, (torch.zeros(examples, 1, 8, 8),), dynamic_shapes=({0: batch},))
    made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    method = Runtime.get().load_program(made.buffer).load_method("forward")
    size = method.metadata.input_tensor_meta(0).sizes()[0]
    try:
        method.execute([torch.zeros(16, 1, 8, 8)])
        answered = "is answered"
    except RuntimeError as error:
        answered = f"fails: {error}"
    print(f"exported for 1 to 256 and shown {examples}: planned for {size}; a batch of 16 {answered}")
    return size


print(f"torch {torch.__version__}")
sys.exit(0 if (planned(2), planned(256)) == (15, 256) else 1)
PYTHON
