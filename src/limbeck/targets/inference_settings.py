"""How a teacher is asked about many examples: how many at a time, in which precision, compiled or not."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import progress
from ..errors import BadInput
from ..evaluation import values
from ..evaluation.kinds import KINDS
from ..interfaces import Values
from ..models.inference import Inputs, answered, ask, device_of, examples_in, moved, parts_of

# glibc's <malloc.h>; the second is the most that it takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, FROM_HEAP_BYTES = 512 << 20, 32 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Has this process keep up to 512 MB of what it frees for what it asks for next; whether that could be set.

    By default glibc gives blocks of some megabytes, which is what activations on a CPU are, back to the system at once, and
    each page of them costs a fault the next time: up to a quarter of the time of a small network's forward pass
    (``benchmarks/casting.py``).
    Elsewhere than with glibc nothing is done.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    wanted = ((_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_MMAP_THRESHOLD, FROM_HEAP_BYTES))
    return all(mallopt(option, value) == 1 for option, value in wanted)


AUTO_BOUND = 1e-4
"""Mean KL to the float32 answers, in nats at temperature 1, below which ``auto`` takes a narrower precision: a hundredth
of what the best students are away from their teacher, and below what storing answers as int8 costs."""
AUTO_AGREEMENT = 0.998  # share of the sample that must say the same; of 512 images one may change

SAMPLE = 512
"""Images that a precision is measured on, at most."""

# Bytes between two layers: what a core keeps near, and what fills a GPU while leaving room for the rest.
CPU_BYTES, ACCELERATOR_BYTES = 8 << 20, 1 << 30
CPU_BATCH, ACCELERATOR_BATCH = (16, 512), (64, 4096)
OPAQUE_WIDTH = 64  # where no inner module can be seen, the widest layer is taken to be so many times the image

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Manner:
    """How a teacher is asked; plain values, kept beside the store so that a cast goes on as it began."""

    batch_size: int
    precision: str  # "float32", "bfloat16" or "float16"
    compile: bool = False
    error: Mapping[str, float | int] | None = None  # of the precision, against float32; None: not measured

    def facts(self) -> dict[str, Any]:
        """As JSON says it."""
        return asdict(self)


def manner_of(
    model: nn.Module, sample: Inputs, *, precision: str = "float32", compile: bool = False, kind: str = "classes"
) -> Manner:
    """How to ask ``model``, which is on the device where it will answer, about examples like these.

    ``precision`` may be ``auto``: the first of the device's fast precisions (none on a CPU without instructions for
    it) whose answers of this ``kind`` to the sample are within :data:`AUTO_BOUND` and :data:`AUTO_AGREEMENT` of float32's. Where a
    narrower one was asked for by name, it is measured all the same, and taken.
    """
    batch_size = examples_at_a_time(model, sample)
    wanted = fast_precisions(device_of(model)) if precision == "auto" else [precision]
    exact_BC = None
    for name in wanted:
        if name == "float32":
            break
        if exact_BC is None:
            exact_BC = answered(Asked(model, Manner(batch_size, "float32")), sample)
        other_BC = answered(Asked(model, Manner(batch_size, name)), sample)
        if KINDS[kind].TARGET is Values:
            error = numbers_error(exact_BC, other_BC)
            good = error["agreement"] >= AUTO_AGREEMENT
        else:
            error = answers_error(exact_BC, other_BC)
            good = error["mean_kl"] < AUTO_BOUND and error["argmax_agreement"] >= AUTO_AGREEMENT
        if precision != "auto" or good:
            return Manner(batch_size, name, compile, error)
    return Manner(batch_size, "float32", compile)


def examples_at_a_time(model: nn.Module, sample: Inputs) -> int:
    """The largest power of two of examples whose widest step between two layers fits; a function of shapes alone."""
    width = bytes_at_widest(model, next(parts_of(sample, 1)))
    if device_of(model).type == "cpu":
        room, (least, most) = CPU_BYTES * torch.get_num_threads(), CPU_BATCH
    else:
        room, (least, most) = ACCELERATOR_BYTES, ACCELERATOR_BATCH
    fitting = max(1, room // width)
    return min(max(1 << (fitting.bit_length() - 1), least), most)


def bytes_at_widest(model: nn.Module, one: Inputs) -> int:
    """Bytes that one example takes before and after that of the inner modules where it takes most; leaves it untouched."""
    tensors = [one] if isinstance(one, Tensor) else list(one.values())
    most = OPAQUE_WIDTH * sum(value.numel() * value.element_size() for value in tensors)
    seen: list[int] = []

    def note(module: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
        seen.append(sum(one.numel() * one.element_size() for one in (*given, answer) if isinstance(one, Tensor)))

    inner = [module for module in model.modules() if not list(module.children()) and module is not model]
    hooks = [module.register_forward_hook(note) for module in inner]
    try:
        ask(model, one)
    finally:
        for hook in hooks:
            hook.remove()
    return max(seen, default=0) or most


def fast_precisions(device: torch.device) -> list[str]:
    """Precisions that the device has instructions for, the more exact first."""
    if device.type == "cuda":
        return ["float16", "bfloat16"] if torch.cuda.is_bf16_supported() else ["float16"]
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        fp16, bf16 = bool(can.get("amx_fp16")), bool(can.get("amx_bf16") or can.get("avx512_bf16"))
        return [name for name, there in (("float16", fp16), ("bfloat16", bf16)) if there]
    return []


def answers_error(exact_BC: Tensor, other_BC: Tensor) -> dict[str, float | int]:
    """``mean_kl`` and ``max_kl`` of KL(exact || other) in nats at temperature 1, ``argmax_agreement``, and ``n``, of all positions.

    An answer that is not finite is infinitely far away.
    """
    log_p_BC, log_q_BC = (logits.double().cpu().flatten(0, -2).log_softmax(1) for logits in (exact_BC, other_BC))
    p_BC = log_p_BC.exp()
    kl_B = torch.where(p_BC > 0, p_BC * (log_p_BC - log_q_BC), 0.0).sum(1).clamp(min=0)
    kl_B = kl_B.nan_to_num(nan=float("inf"))
    same_B = exact_BC.argmax(-1).cpu() == other_BC.argmax(-1).cpu()
    # JSON has no infinity
    largest = torch.finfo(torch.float64).max
    return {
        "mean_kl": min(float(kl_B.mean()), largest),
        "max_kl": min(float(kl_B.max()), largest),
        "argmax_agreement": float(same_B.double().mean()),
        "n": len(kl_B),
    }


def numbers_error(exact_BD: Tensor, other_BD: Tensor) -> dict[str, float | int]:
    """``max_difference`` of a number as a share of its standard deviation, ``agreement`` within a hundredth of it, and ``n``."""
    worst, same = values.alike(exact_BD.cpu(), other_BD.cpu())
    return {"max_difference": min(worst, torch.finfo(torch.float64).max), "agreement": same, "n": len(exact_BD)}


class Asked(nn.Module):
    """``model`` in evaluation mode, asked in a manner: any number of examples in, their logits (B, C) out, float32."""

    def __init__(self, model: nn.Module, manner: Manner) -> None:
        super().__init__()
        self.model, self.manner = model.eval(), manner
        self._at_a_time = manner.batch_size
        if device_of(model).type == "cpu":
            keep_freed_memory()
        # Only for full batches, of one shape: another number of images would be compiled anew.
        self._compiled = torch.compile(model, dynamic=False) if manner.compile else None

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor | None = None, **named: Tensor) -> Tensor:
        inputs = moved(named if images_BCHW is None else images_BCHW, device_of(self.model))
        while True:
            try:
                parts = [self._pass(part) for part in parts_of(inputs, self._at_a_time)]
                return parts[0] if len(parts) == 1 else torch.cat(parts)
            except torch.OutOfMemoryError as error:
                if self._at_a_time == 1:
                    raise BadInput(
                        "the teacher does not fit into the device's memory, not even with one example: "
                        "ask it on the CPU (--device cpu), or in targets.precision: bfloat16."
                    ) from error
            # outside the handler, whose traceback holds on to the tensors of the failed pass
            self._at_a_time = max(1, self._at_a_time // 2)
            torch.cuda.empty_cache()

    def _pass(self, inputs: Inputs) -> Tensor:
        dtype = DTYPES[self.manner.precision]
        with torch.autocast(device_of(self.model).type, dtype, enabled=dtype != torch.float32):
            if self._compiled is not None and examples_in(inputs) == self.manner.batch_size:
                try:
                    return answered(self._compiled, inputs).float()
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:  # no compiler here, or a model that it cannot take
                    self._compiled = None
                    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                    progress.note(f"The teacher is asked without torch.compile, which failed: {said}")
            return answered(self.model, inputs).float()
