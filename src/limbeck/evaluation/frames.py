"""Answers at every frame, with labels that stand at none of them: what CTC learns from (Graves et al. 2006).

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. Class 0 is the
blank; where a class is named " ", it parts words. No (N, L, V) is kept: of each example what was said, and a few sums, float64.
An example without labels is silence, and is told apart. Shapes: N examples, B batch, L frames, T labels, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import BadInput
from ..interfaces import IGNORED, DenseLogits, RaggedLogits
from ..objectives.catalogue.entry import SYMBOLS
from .alignment import Edits, aligned, edits, words
from .figure import Figure, share
from .keep import Kept
from .positions import alike_at_positions, divergence, known, labels_of, log_probabilities, per_example, per_position

FIGURES = (
    share("error_rate", "symbol error rate", "less"),
    Figure("nll", "NLL of a symbol", "less", unit="nats", digits=4),
    share("word_error_rate", "word error rate", "less"),
    share("insertions", "symbols inserted", "less"),
    share("deletions", "symbols deleted", "less"),
    share("substitutions", "symbols substituted", "less"),
    share("whole", "transcripts without an error"),
    share("silence_broken", "silence in which something was heard", "less"),
)
FIDELITY = (
    share("heard_otherwise", "symbols heard otherwise than by the teacher", "less"),
    share("agreement", "agreement with the teacher at a frame"),
    Figure("kl", "KL from the teacher at a frame", "less", unit="nats", digits=4),
)
PLAIN = "ctc"
READS = SYMBOLS
TARGET = DenseLogits
ROWS = "crowded"
WHOLE = False
BLANK = 0
SPACE = " "


def kept(
    answer: Tensor | RaggedLogits,
    labels: Tensor,
    teacher: Tensor | RaggedLogits | None = None,
    names: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Of each example ``symbols`` (how many labels), the edits from them to the best path, ``nll`` (of all of them together).

    The edits are ``insertions``, ``deletions`` and ``substitutions``, and ``errors``, their sum. Where ``names``, of the V, has a
    space, ``words`` and ``word_errors`` likewise. ``told`` (B, W) int16 is the best path's symbols, -100 beyond its own, and
    ``wanted`` the labels likewise. ``crowded`` is 1 where the frames are too few for the labels, else 0.

    With a teacher also ``theirs`` (how many symbols it heard), ``apart`` (edits from them), and, where it has as many frames,
    ``frames``, ``agree`` and ``kl``, sums over frames, else 0; (B,) each. ``labels`` are (B, T), IGNORED beyond an
    example's own; where its frames are too few for its labels, ``nll`` is that of the least probable float64. Answers of
    (B, L, V) are taken whole: those with padding come ragged.
    """
    rows, said, asked = [], [], []
    theirs = [None] * len(labels) if teacher is None else log_probabilities(teacher)
    for log_LV, teacher_LV, labels_T in zip(log_probabilities(answer), theirs, labels_of(labels), strict=True):
        wanted_T = labels_T[known(labels_T)]
        wanted, path = wanted_T.tolist(), best_path(log_LV)
        said.append(torch.tensor(path, dtype=torch.int16))
        asked.append(wanted_T.to(torch.int16))
        row = {"symbols": float(len(wanted)), **_counted(edits(path, wanted)), "nll": _nll(log_LV, wanted_T)}
        row["crowded"] = float(frames_for(wanted) > len(log_LV))
        if SPACE in names:
            between = list(names).index(SPACE)
            row["words"] = float(len(words(wanted, between)))
            row["word_errors"] = float(edits(words(path, between), words(wanted, between)).all)
        if teacher_LV is not None:
            heard = best_path(teacher_LV)
            row |= {"theirs": float(len(heard)), "apart": float(edits(path, heard).all)}
            row |= _frame_by_frame(log_LV, teacher_LV)
        rows.append(row)
    columns = per_example(rows)
    if said:
        columns["told"] = pad_sequence(said, batch_first=True, padding_value=IGNORED)
        columns["wanted"] = pad_sequence(asked, batch_first=True, padding_value=IGNORED)
    return columns


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """``error_rate`` (all edits over symbols, of all examples together), each kind of edit and ``nll`` likewise; ``word_error_rate``.

    They are over examples with labels. ``whole`` is the share of all examples without an error; where there is silence,
    ``silence_broken`` is the share of it in which anything was heard. ``BadInput`` where no example has a label.
    """
    count, spoken_N = _count(kept, "symbols"), _spoken(kept)
    sums = {name: kept[column][spoken_N].sum().item() for name, column in _SUMS.items() if column in kept}
    found = {name: value / count for name, value in sums.items() if name != "word_error_rate"}
    if "word_error_rate" in sums and (number := kept["words"].sum().item()):
        found["word_error_rate"] = sums["word_error_rate"] / number
    found["whole"] = (kept["errors"] == 0).double().mean().item()
    if not spoken_N.all():
        found["silence_broken"] = (kept["errors"][~spoken_N] > 0).double().mean().item()
    return {figure.name: found[figure.name] for figure in FIGURES if figure.name in found}


def fidelity(kept: Kept) -> dict[str, float | None]:
    """``heard_otherwise``: edits from the teacher's symbols, over their number; ``agreement`` and mean ``kl`` (teacher || student)
    over all frames. None where the teacher heard nothing, or where it has other frames.
    """

    def over(sums: str, number: str) -> float | None:
        count = kept[number].sum().item()
        return kept[sums].sum().item() / count if count else None

    return {
        "heard_otherwise": over("apart", "theirs"),
        "agreement": over("agree", "frames"),
        "kl": over("kl", "frames"),
    }


def compared(kept: Kept) -> tuple[str, ...]:
    """Both error rates, the NLL, and the share of examples without an error."""
    spaced = ("word_error_rate",) if "words" in kept and kept["words"].any() else ()
    return ("error_rate", "nll", *spaced, "whole")


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of ``whole``; (N, 2) of the others: what an example adds, and its symbols (or words)."""
    if figure == "whole":
        return (kept["errors"] == 0).double()
    of = kept["words" if figure == "word_error_rate" else "symbols"]
    return torch.stack([kept[_SUMS[figure]].where(_spoken(kept), 0.0), of], dim=1)


_SUMS = {
    "error_rate": "errors",
    "nll": "nll",
    "word_error_rate": "word_errors",
    **{name: name for name in Edits._fields},
}
SUMS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = dict.fromkeys(_SUMS, per_position)
alike = alike_at_positions


def commonest(labels: Tensor) -> float | None:
    """1: whoever says nothing misses every label."""
    return 1.0 if bool(known(labels).any()) else None


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """Of examples whose labels are more than the model's frames can say: ``position``, ``said`` and the frames that it ``needs``."""
    first = kepts[0]
    if "crowded" not in first:  # kept by an earlier version
        return []
    wanted = {at: first["wanted"][at] for at in first["crowded"].nonzero().flatten().tolist()}
    said = {at: row_T[known(row_T)].tolist() for at, row_T in wanted.items()}
    return [{"position": at, "said": _spelt(row, names), "needs": frames_for(row)} for at, row in said.items()]


def said(kept: Kept, names: Sequence[str]) -> list[list[tuple[str, bool]]] | None:
    """Of each example what is said in it, word by word (symbol by symbol where no space parts them), and whether it was heard.

    None where what was said was not kept, as versions before did not.
    """
    if "wanted" not in kept:
        return None
    between = list(names).index(SPACE) if SPACE in names else None

    def parted(row_T: Tensor) -> list[tuple[int, ...]]:
        symbols = row_T[known(row_T)].tolist()
        return [(one,) for one in symbols] if between is None else words(symbols, between)

    rows = zip(kept["told"].cpu(), kept["wanted"].cpu(), strict=True)
    pairs = [aligned(parted(told), parted(wanted)) for told, wanted in rows]
    return [[(_spelt(wanted, names), told == wanted) for told, wanted in of if wanted is not None] for of in pairs]


def frames_for(wanted: Sequence[int]) -> int:
    """The fewest frames that some alignment gives these labels at: one each, and a blank between equal neighbours."""
    return len(wanted) + sum(one == other for one, other in pairwise(wanted))


def right(kept: Kept) -> None:
    """Nothing: an example is right in part."""
    return


def sureness(kept: Kept) -> None:
    """Nothing: what is not right or wrong is not held to how sure it was."""
    return


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``positions``: of the test split, how many symbols there are; ``words`` likewise, and ``silent``, examples without any."""
    test = kepts["test"]
    found = {"positions": int(test["symbols"].sum()), "silent": int((~_spoken(test)).sum())}
    return found | ({"words": int(test["words"].sum())} if "words" in test else {})


def best_path(log_LV: Tensor) -> list[int]:
    """The likeliest symbol of each frame, repetitions and blanks left out (Graves et al. 2006, section 3.2)."""
    path_L = log_LV.argmax(-1).unique_consecutive()
    return path_L[path_L != BLANK].tolist()


def _frame_by_frame(log_LV: Tensor, teacher_LV: Tensor) -> dict[str, float]:
    if log_LV.shape != teacher_LV.shape:
        return {"frames": 0.0, "agree": 0.0, "kl": 0.0}
    alike = float((log_LV.argmax(1) == teacher_LV.argmax(1)).sum())
    return {"frames": float(len(log_LV)), "agree": alike, "kl": divergence(teacher_LV, log_LV).sum().item()}


def _counted(found: Edits) -> dict[str, float]:
    return {"errors": float(found.all), **{name: float(count) for name, count in found._asdict().items()}}


def _spelt(symbols: Sequence[int], names: Sequence[str]) -> str:
    return "".join([names[one] for one in symbols])


def _spoken(kept: Kept) -> Tensor:
    """(N,) bool: the examples in which something is to be heard."""
    return kept["symbols"] > 0


def _nll(log_LV: Tensor, wanted_T: Tensor) -> float:
    sizes = torch.tensor([len(log_LV)]), torch.tensor([len(wanted_T)])
    nll = F.ctc_loss(log_LV[:, None], wanted_T[None], *sizes, blank=BLANK, reduction="sum").item()
    if np.isnan(nll):
        raise BadInput("The model's outputs cannot be evaluated: there is NaN among its logits.")
    return min(nll, -float(np.log(np.finfo(np.float64).tiny)) * max(len(wanted_T), 1))


def _count(kept: Kept, name: str) -> float:
    count = kept[name].sum().item()
    if not count:
        raise BadInput(f"There is nothing to evaluate: the split has no {name}.")
    return count
