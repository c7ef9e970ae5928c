"""Calibration of students from few bytes a position: sampled, top k with its rest, top k made to sum to 1, dense, live.

    OMP_NUM_THREADS=1 LIMBECK_DATA=... python benchmarks/calibration.py

Teacher and students predict the next word, of 50,000, in film reviews (`language.py`; it needs $LIMBECK_DATA/imdb). In every
way a student of width 24 sees the same positions, once each, in an order of its seed, and learns from the teacher alone, by
KD at T = 1; its first weights are those of its seed too. Ways differ in what they are told of the teacher's 50,000 numbers:

- live: all of them, asked at every step.
- dense: all of them, float16, from a store; 100,000 bytes a position.
- sample: as many words drawn at T = 1 from the teacher's distribution as 40 bytes hold: 18 of 50,000, 24 of 2,000.
- top k: as many of the largest, with the mass of the others at T = 1, as 40 bytes hold: 9 or 11. Not renormalised.
- top k, renormalised: the same, made to sum to 1 as if there were no others. This is the warning: many caches do it, the
  product refuses to, and so it is written here.

Measured are NLL, ECE (15 bins) and accuracy on positions of held-out reviews, mean ± sd over the seeds, and the difference to
live, whose ± is over the seeds too, of the same seed each time. A way is within the noise of live where the two means differ
by less than the half-width of the 95 % interval of such a difference (Student's t, from the spread over seeds of both).
One store of each kind serves all seeds, so that the noise of the draws is in the
difference and not in the spread.

The teacher is kept in the run folder, and is that of `codecs.py`; the stores are not kept, and the dense one takes 3 GB on
the disk meanwhile. About 15 minutes on one core of 2.5 GHz, and 3 more where the teacher is not there yet; with `--device
cuda` models, codecs and losses are computed there, and more steps can be had.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, mean_sd, print_conditions, print_table
from language import Language, NextWord, add_arguments, the_language
from scipy.stats import t as students_t
from torch import Tensor

from limbeck import progress, randomness
from limbeck.evaluation.classes import reliability
from limbeck.interfaces import Batch, DenseLogits, Output, Target, TopK
from limbeck.objectives.modules import KD
from limbeck.pipeline.job import use_threads
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Codec, Dense, SampleCodec, TopKCodec, bytes_per_target
from limbeck.targets.store.store import Store

RENORMALISED = "top k, renormalised"
STORED = ("dense", "sample", "top k")
WAYS = ("live", "dense", "sample", "top k", RENORMALISED)
AT_ONCE = 256
SHOWN = (("NLL", 4, 1.0), ("ECE", 2, 100.0), ("accuracy", 2, 100.0))  # figure, digits, factor
Tell = Callable[[Tensor], Target]  # what the teacher said of places (B,)
Figures = dict[str, float]


def codec_of(name: str, words: int, most: int) -> Codec:
    """How a way keeps the teacher's answers, in so many bytes at most, but for `dense`."""
    if name == "dense":
        return Dense()
    some = [TopKCodec(n, (1.0,)) if name == "top k" else SampleCodec(width=n) for n in range(1, most + 1)]
    return [one for one in some if bytes_per_target(one, words) <= most][-1]


def renormalised(target: Target) -> Target:
    """Top k without its rest: the k made to sum to 1."""
    kept = target.get(TopK)
    return Target((replace(kept, log_rest=torch.full_like(kept.log_rest, -math.inf)),))


def the_ways(language: Language, stores: dict[str, Store], wanted: list[str], device: str) -> dict[str, Tell]:
    """What each way tells of some places."""

    def live(place_B: Tensor) -> Target:
        return Target((DenseLogits(language.logits(place_B, device)),))

    def stored(store: Store) -> Tell:
        return lambda place_B: Target((store.gather(place_B, torch.zeros_like(place_B)),))

    tells = {"live": live, **{name: stored(store) for name, store in stores.items()}}
    if "top k" in stores:
        tells[RENORMALISED] = lambda place_B: renormalised(tells["top k"](place_B))
    return {name: tells[name] for name in wanted}


def the_stores(
    language: Language, place_N: Tensor, wanted: list[str], most: int, folder: Path, device: str
) -> dict[str, Store]:
    """A store of each codec that is needed, of the teacher's answers about these places."""
    names = {"top k" if name == RENORMALISED else name for name in wanted} - {"live"}
    stores = {}
    for name in [name for name in STORED if name in names]:
        with progress.bar(len(place_N), f"soft targets, {name}") as advance:
            stores[name] = cast(
                folder / name.replace(" ", "_"),
                language.identity,
                place_N,
                1,
                lambda index_B, view: language.logits(place_N[index_B], device),
                codec=codec_of(name, language.identity["classes"], most),
                batch_size=AT_ONCE,
                progress=advance,
            ).to(device)
    return stores


def trained(
    language: Language, tell: Tell, place_SB: Tensor, width: int, rate: float, seed: int, device: str
) -> NextWord:
    """A student of a seed, at the end of so many steps of so many places."""
    torch.manual_seed(randomness.torch_seed("student", seed))
    student = NextWord(language.text.counts_V, width).to(device)
    optimizer = torch.optim.Adam(student.parameters(), lr=rate, fused=True)
    objective, steps = KD(1.0), len(place_SB)
    for step, place_B in enumerate(place_SB):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10) * (1 - step / steps)
        target = tell(place_B)
        words_BL = language.text.asked(place_B)[0].to(device)
        batch = Batch(ids=place_B.to(device), view=torch.zeros_like(place_B, device=device), inputs=words_BL)
        (term,) = objective(Output(logits=student(words_BL)), target, batch).values()
        (term.total / term.count).backward()
        optimizer.step()
        optimizer.zero_grad()
    return student.eval()


@torch.no_grad()
def measured(model: NextWord, language: Language, place_N: Tensor, device: str) -> Figures:
    """NLL, ECE and accuracy on held-out places."""
    bins: list[list[float]] = [[0.0, 0.0, 0.0] for _ in range(15)]  # count; sums of confidence and of hits
    nll = 0.0
    for place_B in place_N.split(AT_ONCE):
        words_BL, next_B = language.text.asked(place_B, held_out=True)
        logits_BV = model(words_BL.to(device)).float()
        nll += F.cross_entropy(logits_BV, next_B.to(device), reduction="sum").item()
        for kept, found in zip(bins, reliability(logits_BV, next_B.to(device)), strict=True):
            if found["count"]:
                kept[0] += found["count"]
                kept[1] += found["count"] * found["confidence"]
                kept[2] += found["count"] * found["accuracy"]
    number = len(place_N)
    return {
        "NLL": nll / number,
        "ECE": sum(abs(confidence - hits) for _, confidence, hits in bins) / number,
        "accuracy": sum(hits for _, _, hits in bins) / number,
    }


def noise(one: list[float], other: list[float]) -> float:
    """Half of the width of the 95 % interval of the difference of two means over seeds, two or more."""
    seeds = len(one)
    spread = (statistics.variance(one) + statistics.variance(other)) / seeds
    return float(students_t.ppf(0.975, 2 * seeds - 2)) * math.sqrt(spread)


def is_within(one: list[float], other: list[float]) -> bool:
    """Whether two means over seeds differ by no more than the noise."""
    return abs(statistics.fmean(one) - statistics.fmean(other)) <= noise(one, other)


def beside_live(found: list[Figures], live: list[Figures]) -> list[str]:
    """For each figure its difference to live, and whether that is within the noise."""
    cells = []
    for name, digits, scale in SHOWN:
        ours, theirs = [one[name] for one in found], [one[name] for one in live]
        each = [one - other for one, other in zip(ours, theirs, strict=True)]
        cell = mean_sd(each, digits, scale)
        if len(each) > 1:
            within = "within" if is_within(ours, theirs) else "outside"
            cell += f" ({within} the noise, {scale * noise(ours, theirs):.{digits}f})"
        cells.append(cell)
    return cells


def verdict_on(name: str, found: list[Figures], live: list[Figures]) -> str:
    """A sentence: whether a way is within the noise of live in every figure."""
    outside = [key for key, _, _ in SHOWN if not is_within([one[key] for one in found], [one[key] for one in live])]
    if not outside:
        return f"`{name}` is within the noise of live in NLL, ECE and accuracy."
    return f"`{name}` is outside the noise of live in {' and '.join(outside)}."


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    add_arguments(parser)
    parser.add_argument("--bytes", type=int, default=40, help="of a position, at most; `dense` takes what it takes")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch", type=int, default=256, help="positions in a step")
    parser.add_argument("--width", type=int, default=24, help="of the student")
    parser.add_argument("--rate", type=float, default=0.01, help="Adam's, falling to nothing")
    parser.add_argument("--held-out", type=int, default=4096, help="positions to measure on")
    parser.add_argument("--out", type=Path, default=Path("runs/codecs"), help="run folder, for teacher and stores")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    if asked.bytes < 8:
        parser.error("--bytes must be at least 8, which one word of a top k takes with the rest")
    use_threads(asked.threads)
    began = time.monotonic()
    language = the_language(asked, asked.out)
    language.teacher.to(asked.device)
    place_N = language.text.places(asked.steps * asked.batch, 1)
    held_out_N = language.text.places(asked.held_out, 2, held_out=True)
    found: dict[str, list[Figures]] = {name: [] for name in asked.ways}
    with tempfile.TemporaryDirectory(dir=asked.out) as folder:
        stores = the_stores(language, place_N, asked.ways, asked.bytes, Path(folder), asked.device)
        ways = the_ways(language, stores, asked.ways, asked.device)
        of_bytes = {name: store.manifest["codec"]["bytes_per_target"] for name, store in stores.items()}
        with progress.bar(asked.seeds * len(ways), "students") as advance:
            for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
                place_SB = place_N[randomness.order(seed, 1, place_N)].view(asked.steps, asked.batch)
                for name, tell in ways.items():
                    student = trained(language, tell, place_SB, asked.width, asked.rate, seed, asked.device)
                    found[name].append(measured(student, language, held_out_N, asked.device))
                    advance()
    rows = []
    for name, ones in found.items():
        cells = [of_bytes.get("top k" if name == RENORMALISED else name, "–")]
        cells += [mean_sd([one[key] for one in ones], digits, scale) for key, digits, scale in SHOWN]
        alone = name == "live" or "live" not in found
        rows.append([name, *cells, *(["–"] * 3 if alone else beside_live(ones, found["live"]))])
    by_teacher = measured(language.teacher, language, held_out_N, asked.device)
    said = [f"{scale * by_teacher[key]:.{digits}f}" for key, digits, scale in SHOWN]
    rows.append(["the teacher", "–", *said, *["–"] * 3])
    columns = ["students from", "bytes a position", "NLL", "ECE, %", "accuracy, %"]
    print_table([*columns, "NLL beside live", "ECE beside live, points", "accuracy beside live, points"], rows)
    if asked.seeds > 1 and {"live", "sample"} <= set(found):
        print(f"\n{verdict_on('sample', found['sample'], found['live'])}")
    print(
        f"\n{asked.words:,} words; teacher of {asked.teacher_steps} steps of 512 words; students of width {asked.width}, "
        f"{asked.steps} steps of {asked.batch}, Adam at {asked.rate:g}; {asked.held_out:,} held-out positions."
    )
    print_conditions(f"{asked.first_seed} to {asked.first_seed + asked.seeds - 1}", began)


if __name__ == "__main__":
    main()
