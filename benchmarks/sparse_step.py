"""What a distillation step from sparse targets costs, over the same step with cross-entropy alone.

    OMP_NUM_THREADS=1 python benchmarks/sparse_step.py
    python benchmarks/sparse_step.py --device cuda --batch 8 --length 512 --width 768 --layers 12 --steps 5

A decoder of a few transformer layers and a head of 50,000 words takes forward pass, loss, backward pass and update. In
every round each way takes so many steps, one way after the other (turned round every other time); ratios are of the same
round, by wall time and by CPU time of the process. Targets are those of a random teacher, encoded and decoded once by the
codecs: what looking them up costs is another benchmark's business.

- cross-entropy: the labels alone (ours, in chunks).
- sampled, top k: KD from 18 classes drawn, from the 8 largest logits and their rest, at T = 1; alone, and beside cross-entropy with
  weight 0.5.
- plain gather: log_softmax, gather, and F.cross_entropy, as one writes it by hand.

The goal: at most 1.10 times the step with cross-entropy alone. How much of a step is the head with its loss follows from the
model's size: it is printed below the table, and the smaller the body, the more the loss weighs. "Loss alone" is value and
gradient with respect to the logits. Peak memory is what a step, and the loss alone, hold beyond what was held before (`peak_bytes`
in common.py says how); model and optimizer are held before. About 3 minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from common import Timed, arguments, peak_bytes, print_conditions, print_table, seconds, spread
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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bfloat16", action="store_true", help="autocast the model")
    asked = parser.parse_args()
    began, device = time.monotonic(), torch.device(asked.device)
    torch.manual_seed(0)
    model = Decoder(asked.words, asked.width, asked.layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens_BL = torch.randint(asked.words, (asked.batch, asked.length), device=device)
    labels_BL = tokens_BL.roll(-1, 1)
    ids_B = torch.arange(asked.batch, device=device)
    batch = Batch(ids=ids_B, view=ids_B * 0, inputs=tokens_BL, labels=labels_BL)
    shape = asked.words, asked.batch, asked.length, asked.device
    sampled, largest = answers(SampleCodec(), *shape), answers(TopKCodec(8), *shape)
    assert isinstance(sampled, Sampled)
    both = KD(1.0) + 0.5 * CrossEntropy()
    ways: dict[str, Loss] = {
        "cross-entropy": of_objective(CrossEntropy(), Target(), batch),
        "sampled": of_objective(KD(1.0), Target((sampled,)), batch),
        "sampled + cross-entropy": of_objective(both, Target((sampled,)), batch),
        "top k": of_objective(KD(1.0), Target((largest,)), batch),
        "top k + cross-entropy": of_objective(both, Target((largest,)), batch),
        "plain gather + cross-entropy": plain_gather(sampled, labels_BL),
    }

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=asked.bfloat16)

    def step(loss: Loss) -> None:
        with autocast():
            logits_BLV = model(tokens_BL)
        loss(logits_BLV).backward()
        optimizer.step()
        optimizer.zero_grad()

    def steps(loss: Loss) -> None:
        for _ in range(asked.steps):
            step(loss)

    hidden_BLH = torch.randn(asked.batch, asked.length, asked.width, device=device).requires_grad_()

    def head(loss: Loss) -> None:
        """The part of a step that no body takes part in, but for the update."""
        with autocast():
            logits_BLV = model.head(hidden_BLH)
        loss(logits_BLV).backward()
        hidden_BLH.grad = None
        optimizer.zero_grad()

    with torch.no_grad(), autocast():
        logits_BLV = model.head(hidden_BLH)
    logits_BLV.requires_grad_()

    def alone(loss: Loss) -> None:
        loss(logits_BLV).backward()
        logits_BLV.grad = None

    for loss in ways.values():  # warm-up
        step(loss)
        alone(loss)
    taken: dict[str, list[Timed]] = {name: [] for name in ways}
    of_loss: dict[str, list[Timed]] = {name: [] for name in ways}
    of_head: list[Timed] = []
    for number in range(asked.rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            taken[name].append(seconds(partial(steps, ways[name]), device))
            of_loss[name].append(seconds(partial(alone, ways[name]), device))
        of_head.append(seconds(partial(head, ways["cross-entropy"]), device))
    base, size = taken["cross-entropy"], logits_BLV.numel() * logits_BLV.element_size()
    rows = []
    for name, loss in ways.items():
        wall, cpu = ([one[k] / other[k] for one, other in zip(taken[name], base, strict=True)] for k in (0, 1))
        times = (statistics.median(one[0] for one in found) * 1e3 for found in (taken[name], of_loss[name]))
        step_ms, loss_ms = next(times) / asked.steps, next(times)
        peak, peak_of_loss = peak_bytes(partial(step, loss), device), peak_bytes(partial(alone, loss), device)
        cells = [f"{step_ms:.0f}", spread(wall), spread(cpu), f"{peak / 2**20:.0f} MiB"]
        rows.append([name, *cells, f"{loss_ms:.0f}", f"{peak_of_loss / size:.2f}"])
    columns = ["way", "ms a step", "over cross-entropy by wall: min - median - max", "by CPU", "peak memory of a step"]
    print_table([*columns, "loss alone, ms", "its peak memory, of the logits' size"], rows)
    share = statistics.median(asked.steps * one[1] / whole[1] for one, whole in zip(of_head, base, strict=True))
    print(
        f"\n{asked.batch} x {asked.length} positions, {asked.words:,} words ({size / 2**20:.0f} MiB of logits), "
        f"width {asked.width}, {asked.layers} layers; {sum(p.numel() for p in model.parameters()):,} parameters. Head and loss, "
        f"forward and backward, are {share:.0%} of the step with cross-entropy alone."
    )
    print_conditions(f"0; {asked.rounds} rounds of {asked.steps} steps", began)


if __name__ == "__main__":
    main()
