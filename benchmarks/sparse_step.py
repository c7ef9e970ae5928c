"""What a distillation step from sparse targets costs, over the same step with cross-entropy alone.

    python benchmarks/sparse_step.py --device cuda
    OMP_NUM_THREADS=1 python benchmarks/sparse_step.py --batch 2 --length 128 --layers 2 --width 256

A decoder of a few transformer layers and a head of 50,000 words takes forward pass, loss, backward pass and update. In
every round each way takes so many steps, one way after the other (turned round every other time); ratios are of the same
round. Targets are those of a random teacher, encoded and decoded once by the codecs: what looking them up costs is another
benchmark's business.

- cross-entropy: the labels alone (ours, in chunks).
- sampled, top k: KD from 50 draws, from the 8 largest logits and their rest, at T = 1; beside cross-entropy with weight 0.5.
- sampled alone: KD and no labels.
- plain gather: log_softmax, gather, and F.cross_entropy, as one writes it by hand.

Peak memory is CUDA's, of one step; on a CPU it is left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from common import arguments, print_conditions, print_table
from torch import Tensor, nn

from limbeck.interfaces import Batch, Output, Sampled, Target
from limbeck.objectives.modules import KD, CrossEntropy, Objective
from limbeck.targets.codecs import Answer, Codec, Rows, SampleCodec, TopKCodec

Loss = Callable[[Tensor], Tensor]


class Decoder(nn.Module):
    """Tokens (B, L) to logits (B, L, V)."""

    def __init__(self, words: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        layer = nn.TransformerEncoderLayer(width, max(1, width // 64), 4 * width, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        mask_LL = nn.Transformer.generate_square_subsequent_mask(tokens_BL.shape[1], device=tokens_BL.device)
        return self.head(self.body(self.embed(tokens_BL), mask=mask_LL, is_causal=True))


def answers(codec: Codec, words: int, batch: int, length: int, device: str) -> Answer:
    """What a store gives of a teacher whose shares fall with the rank, each position in an order of its own."""
    number = batch * length
    rows = Rows(torch.arange(number), 0, torch.zeros(number, dtype=torch.int64))
    noise_NV = torch.randn(number, words, generator=torch.Generator().manual_seed(0))
    columns = codec.encode(noise_NV * 2.5, rows)
    flat = codec.decode({name: column.to(device) for name, column in columns.items()}, words)
    shaped = {
        name: part.reshape(batch, length, *part.shape[1:]) if isinstance(part, Tensor) else part
        for name, part in vars(flat).items()
    }
    return type(flat)(**shaped)


def of_objective(objective: Objective, target: Target, batch: Batch) -> Loss:
    """The loss as the loop puts it together."""

    def loss(logits_BLV: Tensor) -> Tensor:
        terms = objective(Output(logits=logits_BLV), target, batch)
        return torch.stack([term.total / batch.labels.numel() for term in terms.values()]).sum()  # type: ignore[union-attr]

    return loss


def plain_gather(answer: Sampled, labels_BL: Tensor) -> Loss:
    """By hand: the log-probabilities of all words, and of those the drawn ones."""
    share = answer.counts / answer.counts.sum(-1, keepdim=True)

    def loss(logits_BLV: Tensor) -> Tensor:
        log_q = logits_BLV.log_softmax(-1).gather(-1, answer.ids.clamp(min=0))
        labelled = F.cross_entropy(logits_BLV.flatten(0, 1), labels_BL.flatten())
        return 0.5 * labelled - (share * log_q).sum(-1).mean()

    return loss


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--bfloat16", action="store_true", help="autocast the model")
    asked = parser.parse_args()
    began_all, cuda = time.monotonic(), asked.device.startswith("cuda")
    torch.manual_seed(0)
    model = Decoder(asked.words, asked.width, asked.layers).to(asked.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=cuda)
    tokens_BL = torch.randint(asked.words, (asked.batch, asked.length), device=asked.device)
    labels_BL = tokens_BL.roll(-1, 1)
    ids_B = torch.arange(asked.batch, device=asked.device)
    batch = Batch(ids=ids_B, view=ids_B * 0, inputs=tokens_BL, labels=labels_BL)
    shape = asked.words, asked.batch, asked.length, asked.device
    sampled, largest = answers(SampleCodec(), *shape), answers(TopKCodec(8), *shape)
    assert isinstance(sampled, Sampled)
    ways: dict[str, Loss] = {
        "cross-entropy": of_objective(CrossEntropy(), Target(), batch),
        "sampled + cross-entropy": of_objective(KD(1.0) + 0.5 * CrossEntropy(), Target((sampled,)), batch),
        "top k + cross-entropy": of_objective(KD(1.0) + 0.5 * CrossEntropy(), Target((largest,)), batch),
        "sampled alone": of_objective(KD(1.0), Target((sampled,)), batch),
        "plain gather + cross-entropy": plain_gather(sampled, labels_BL),
    }

    def step(loss: Loss) -> None:
        with torch.autocast(asked.device.split(":")[0], torch.bfloat16, enabled=asked.bfloat16):
            logits_BLV = model(tokens_BL)
        loss(logits_BLV).backward()
        optimizer.step()
        optimizer.zero_grad()

    def timed(loss: Loss) -> float:
        if cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(asked.steps):
            step(loss)
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / asked.steps

    peaks: dict[str, float] = {}
    for name, loss in ways.items():
        step(loss)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            step(loss)
            peaks[name] = torch.cuda.max_memory_allocated() / 2**30
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(asked.rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            times[name].append(timed(ways[name]))
    rows = []
    for name, seconds in times.items():
        ratios = sorted(one / base for one, base in zip(seconds, times["cross-entropy"], strict=True))
        peak = f"{peaks[name]:.2f} GiB" if name in peaks else "–"
        spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        rows.append([name, f"{1e3 * statistics.median(seconds):.1f}", f"{statistics.median(ratios):.3f}", spread, peak])
    print_table(["way", "ms a step", "over cross-entropy", "range", "peak memory"], rows)
    print_conditions("0", began_all)


if __name__ == "__main__":
    main()
