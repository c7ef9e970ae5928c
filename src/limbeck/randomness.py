"""Counter-based random numbers: everything random in Limbeck is a pure function from here.

A draw is a hash of (seed, example id, view, knob). There is no generator and no state, so the same question
gets the same answer whatever the batch it stands in, its order, the number of processes, or what was drawn
before. A *knob* names one quantity that is drawn once for each rendering of an example ("flip", "crop.x").

The hash is made of 64-bit integer operations alone (wrap-around multiplication, exclusive or, shifts), which
give the same bits on every device. Shapes: B examples, N examples of a whole data set.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

_WORD = (1 << 64) - 1


def bits(seed: int, ids_B: Tensor | int, view: Tensor | int, knob: str) -> Tensor:
    """63 random bits for each example: int64, never negative.

    ``ids_B`` and ``view`` are int64 tensors, or plain integers, that broadcast against one another; the
    answer has their common shape and lies on their device.
    """
    before, after = _keys(seed, knob)
    # Id and view go in one after the other, each through a full finaliser, so that neighbours in either, or
    # in both, have nothing in common.
    hashed_B = _finalise(_wrapped(ids_B) ^ before)
    hashed_B = _finalise(hashed_B + (_wrapped(view) * _GOLDEN + after))
    return _shift_right(hashed_B, 1)


def uniform(seed: int, ids_B: Tensor | int, view: Tensor | int, knob: str) -> Tensor:
    """A float32 in [0, 1) for each example: a multiple of 2⁻²⁴, so exact and the same on every device."""
    return (bits(seed, ids_B, view, knob) >> 39).to(torch.float32) * 2.0**-24


def integers(seed: int, ids_B: Tensor | int, view: Tensor | int, knob: str, high: int) -> Tensor:
    """An int64 in [0, ``high``) for each example; no value is favoured by more than ``high`` / 2³².

    Raises ``ValueError`` unless 1 <= ``high`` <= 2³¹.
    """
    if not 1 <= high <= 1 << 31:
        raise ValueError(f"high is {high}, and must be between 1 and 2**31")
    return ((bits(seed, ids_B, view, knob) >> 31) * high) >> 32


def order(seed: int, epoch: int, ids_N: Tensor) -> Tensor:
    """The epoch's order: int64 positions (N,) into ``ids_N``.

    ``ids_N[order(...)]`` depends on the set of ids alone, not on how they are stored: where two hashes tie,
    the smaller id comes first.
    """
    by_id_N = torch.argsort(ids_N, stable=True)
    by_hash_N = torch.argsort(bits(seed, ids_N[by_id_N], epoch, "order"), stable=True)
    return by_id_N[by_hash_N]


def torch_seed(*parts: int | str) -> int:
    """A 63-bit seed for ``torch.manual_seed``: a stable hash of the parts, their order and their types."""
    return stable_hash("\0".join(f"{'s' if isinstance(part, str) else 'i'}{part}" for part in parts))


def stable_hash(text: str) -> int:
    """63 bits that name ``text``, the same in every process (Python's ``hash`` is salted)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def _signed(word: int) -> int:
    """The 64-bit word as the int64 that holds the same bits."""
    word &= _WORD
    return word - (1 << 64) if word >> 63 else word


# Golden ratio: consecutive views land far apart. The other two are David Stafford's "Mix13", the finaliser of
# SplitMix64 (Steele, Lea and Flood, 2014).
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MULTIPLY_1 = _signed(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = _signed(0x94D049BB133111EB)


@lru_cache(maxsize=4096)
def _keys(seed: int, knob: str) -> tuple[int, int]:
    digest = hashlib.blake2b(f"{seed}\0{knob}".encode(), digest_size=16).digest()
    return tuple(_signed(int.from_bytes(digest[at : at + 8], "little")) for at in (0, 8))  # pyright: ignore


def _wrapped(value: Tensor | int) -> Tensor:
    return value.to(torch.int64) if isinstance(value, Tensor) else torch.tensor(_signed(value))


def _shift_right(word: Tensor, places: int) -> Tensor:
    """Logical shift: int64's own keeps the sign."""
    return (word >> places).bitwise_and_((1 << (64 - places)) - 1)


def _finalise(word: Tensor) -> Tensor:
    """A bijection of 64-bit words in which every input bit flips every output bit half of the time."""
    word = _shift_right(word, 30).bitwise_xor_(word).mul_(_MULTIPLY_1)
    word = _shift_right(word, 27).bitwise_xor_(word).mul_(_MULTIPLY_2)
    return _shift_right(word, 31).bitwise_xor_(word)
