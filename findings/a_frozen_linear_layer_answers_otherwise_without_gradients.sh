#!/usr/bin/env bash
# torch 2.15.0: within inference_mode, whether a weight requires a gradient decides by which kernel a linear layer multiplies a
# transposed input (batch, frames, channels), such as the maps of a convolution over time. Answers then differ in the last bits.
#
# One would expect `requires_grad_(False)` to change nothing of what is computed, least of all where no gradient can be asked for.
# ATen's matmul folds a batch into rows where the weight requires a gradient (should_fold), and multiplies batch by batch where
# it does not; it looks at the weight alone, and not at whether gradients are recorded.
#
# Whose answers are to be the same bits before and after a restart should not freeze a model on the way. A contiguous input is
# answered alike.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 numpy

"$folder/venv/bin/python" -W ignore - << 'PYTHON'
import sys

import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
layer = nn.Linear(32, 5)
maps_BHL = torch.randn(16, 32, 54)


@torch.inference_mode()
def answers():
    frames_BLH = maps_BHL.transpose(1, 2)
    return layer(frames_BLH), layer(frames_BLH.contiguous())


learning, learning_contiguous = answers()
layer.requires_grad_(False)
frozen, frozen_contiguous = answers()
apart = (learning - frozen).abs().max().item()
print(f"torch {torch.__version__}: frozen and not, an answer to a transposed input differs by up to {apart:.1e}")
alike = torch.equal(learning_contiguous, frozen_contiguous)
print(f"to a contiguous one it is {'the same' if alike else 'another'}")
sys.exit(0 if 0 < apart < 1e-4 and alike else "this finding is out of date")
PYTHON
