"""Bytes and error of every codec: 10, 200 and 50,000 classes, next to float16 dense.

    OMP_NUM_THREADS=1 LIMBECK_DATA=... python benchmarks/codecs.py

For each data set a small teacher is trained for a few epochs (its worth does not matter here, the shape of its answers
does), its answers to some thousand examples are cast into a real store with each codec, and what the store gives back is
held against the answers, in float64:

- bytes: of one target, as the codec states them; and of all shards on the disk, headers and rounding included.
- KL: KL(teacher || kept) in nats at T = 1, mean and 99th percentile. Of top k, the mass of the rest is spread evenly over
  the other classes, so that what cannot be known counts; "as learnt from" is the KL over the k classes and the rest as one,
  which is what the objective sees. Of a sample there is none: a row of it is no distribution, but a noisy estimate of one.
- total variation: of a single row, which for a sample is its noise; and between the mean of all rows and the mean of the
  teacher's answers, which falls with the number of rows for what is unbiased, and stays for what is not.
- argmax: the share of rows whose likeliest class (the one drawn most often) is the teacher's.

The last line of each says what `auto` would take. Data: digits; Fashion-MNIST and Tiny-ImageNet-32 where $LIMBECK_DATA
holds `fashion_mnist` and `tiny_imagenet32`; a word-level language model of 50,000 words trained here on film reviews where
it holds `imdb`. Teachers are kept in the run folder; the language model is that of `calibration.py`. About 8 minutes on one
core of 2.5 GHz.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import arguments, print_conditions, print_table
from language import add_arguments, the_language
from torch import Tensor

from limbeck.interfaces import DenseLogits, Sampled, TopK
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.pipeline import stages
from limbeck.pipeline.job import open_job, use_threads
from limbeck.pipeline.targets import store_identity
from limbeck.pipeline.teacher import the_teacher
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Codec, Dense, Int8, Rows, SampleCodec, TopKCodec
from limbeck.targets.codecs.cheapest import candidates, choose
from limbeck.targets.store.as_logits import distribution
from limbeck.targets.store.manifest import StoreIdentity
from limbeck.targets.store.store import Store

TEACHERS: dict[str, dict[str, Any]] = {
    "digits": {
        "data": {"name": "digits"},
        "teacher": {"model": "wrn_10_2", "train": {"epochs": 10, "batch_size": 64}},
    },
    "fashion_mnist": {
        "data": {"name": "zalando-datasets/fashion_mnist", "limit": 10_000},
        "teacher": {"model": "convnet", "width": 16, "train": {"epochs": 5}},
    },
    "tiny_imagenet32": {
        "data": {"name": "tiny_imagenet32", "validation": "validation", "limit": 20_000},
        "teacher": {"model": "convnet", "width": 32, "train": {"epochs": 5}},
    },
}
AUTO = 1e-3  # the bound of `auto`, in nats
AT_ONCE = 64  # rows that are expanded to all classes in float64


class Asked(NamedTuple):
    """What a teacher said of some examples, and who it was."""

    title: str
    logits_NC: Tensor
    ids_N: Tensor
    identity: StoreIdentity


def codecs_for(classes: int) -> list[Codec]:
    """Those worth a row, float16 dense first."""
    top = [TopKCodec(k) for k in (1, 2, 4, 8, 32) if k < classes]
    drawn = [SampleCodec(width=width) for width in (9, 18, 72) if width < classes or width == 18]
    return [Dense(), Int8(), *top, *drawn, SampleCodec(proposal=2.0)]


def of_images(name: str, examples: int, out: Path) -> Asked:
    """Trains the teacher of a data set of images, and asks it about training images as they are."""
    recipe = ImageRecipe.model_validate({**TEACHERS[name], "student": {"model": "convnet"}})
    job = open_job(recipe, out=out / name, device="cpu")
    with stages.claimed(job.out):
        teacher = the_teacher(job)
    some = job.task.train.take(torch.arange(min(examples, len(job.task.train))))
    title = f"{name}, {recipe.teacher.title}"
    return Asked(title, job.task.logits(teacher.model, some), some.ids, store_identity(job, teacher, "float32"))


def of_words(asked: argparse.Namespace, examples: int, out: Path) -> Asked:
    """The same of the language model, about places in its text."""
    language = the_language(asked, out)
    ids_N = language.text.places(examples, 1)
    logits_NC = torch.cat([language.logits(ids_B) for ids_B in ids_N.split(256)])
    return Asked("imdb, language model", logits_NC, ids_N, language.identity)


def everyone(asked: argparse.Namespace, out: Path) -> Iterator[Asked]:
    """Each teacher whose data is here."""
    here = Path(os.environ.get("LIMBECK_DATA", ""))
    for name in asked.data:
        if name == "imdb" and (here / name).exists():
            yield of_words(asked, asked.rows_of_words, out)
        elif name == "digits" or (name in TEACHERS and (here / name).exists()):
            yield of_images(name, asked.rows, out)


def spread(answer: DenseLogits | TopK | Sampled, classes: int) -> tuple[Tensor, Tensor | None]:
    """The distribution that is kept, float64 (B, C), and, of top k, the classes kept one by one and the rest (B, k + 1)."""
    if isinstance(answer, Sampled):
        share = answer.counts.double() / answer.counts.sum(1, keepdim=True)
        share = share if answer.weights is None else share * answer.weights.double()
        return share.new_zeros(len(share), classes).scatter_add_(1, answer.ids.clamp(min=0), share), None
    named = distribution(answer, classes)
    every_BC, rest_B1 = named[:, :-1], named[:, -1:]
    if not isinstance(answer, TopK):
        return every_BC, None
    other_BC = torch.ones_like(every_BC).scatter_(1, answer.ids, 0)
    coarse = torch.cat([every_BC.gather(1, answer.ids), rest_B1], 1)
    return every_BC + rest_B1 * other_BC / other_BC.sum(1, keepdim=True), coarse


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of each row (B,); what p rules out adds nothing."""
    return torch.where(p > 0, p * (p.log() - q.log()), 0.0).sum(1).clamp(min=0)


def error(store: Store, asked: Asked) -> list[str]:
    """The columns of the table that hold what a store gives back against what the teacher said."""
    classes = asked.logits_NC.shape[1]
    kls, coarse_kls, total_variations, agreeing = [], [], [], []
    difference_C = torch.zeros(classes, dtype=torch.float64)
    for place_B in torch.arange(len(asked.ids_N)).split(AT_ONCE):
        answer = store.gather(asked.ids_N[place_B], torch.zeros_like(place_B))
        p_BC = asked.logits_NC[place_B].double().softmax(1)
        q_BC, coarse = spread(answer, classes)
        difference_C += (q_BC - p_BC).sum(0)
        total_variations.append((q_BC - p_BC).abs().sum(1) / 2)
        agreeing.append((q_BC.argmax(1) == p_BC.argmax(1)).double())
        if not isinstance(answer, Sampled):
            kls.append(kl(p_BC, q_BC))
        if isinstance(answer, TopK) and coarse is not None:
            kept = p_BC.gather(1, answer.ids)
            rest = p_BC.scatter(1, answer.ids, 0).sum(1, keepdim=True)
            coarse_kls.append(kl(torch.cat([kept, rest], 1), coarse))
    kl_N = torch.cat(kls) if kls else None
    learnt_N = torch.cat(coarse_kls) if coarse_kls else kl_N
    return [
        "–" if kl_N is None else f"{float(kl_N.mean()):.1e}",
        "–" if kl_N is None else f"{float(kl_N.quantile(0.99)):.1e}",
        "–" if learnt_N is None else f"{float(learnt_N.mean()):.1e}",
        f"{float(torch.cat(total_variations).mean()):.4f}",
        f"{float(difference_C.abs().sum()) / 2 / len(asked.ids_N):.4f}",
        f"{100 * float(torch.cat(agreeing).mean()):.1f}",
    ]


def named(codec: Codec) -> str:
    """A codec with what sets it apart."""
    if isinstance(codec, TopKCodec):
        return f"top {codec.k}"
    if isinstance(codec, SampleCodec):
        return f"sample of {codec.width}" + (f", proposal {codec.proposal:g}" if codec.proposal else "")
    return {"dense": "dense float16", "int8": "dense int8"}[codec.name]


def rows_of(asked: Asked, folder: Path) -> list[list[object]]:
    """A row of the table for each codec."""
    rows: list[list[object]] = []
    classes = asked.logits_NC.shape[1]
    for codec in codecs_for(classes):
        path = folder / f"{classes}-{len(rows)}"
        store = cast(path, asked.identity, asked.ids_N, 1, lambda index_B, view: asked.logits_NC[index_B], codec=codec)
        stated, taken = store.manifest["codec"]["bytes_per_target"], store.nbytes / store.manifest["targets"]
        share = stated / (2 * classes)
        rows.append([asked.title, named(codec), stated, f"{share:.2%}", f"{taken:.1f}", *error(store, asked)])
    return rows


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--data", nargs="+", choices=[*TEACHERS, "imdb"], default=[*TEACHERS, "imdb"])
    parser.add_argument("--rows", type=int, default=4000, help="answers of a teacher of images that are stored")
    parser.add_argument("--rows-of-words", type=int, default=2000, help="of the language model")
    parser.add_argument("--out", type=Path, default=Path("runs/codecs"), help="run folder, for the teachers")
    parser.add_argument("--threads", type=int, default=1)
    add_arguments(parser)
    asked = parser.parse_args()
    use_threads(asked.threads)
    began, rows, chosen = time.monotonic(), [], []
    for one in everyone(asked, asked.out):
        with tempfile.TemporaryDirectory() as folder:
            rows += rows_of(one, Path(folder))
        classes, about = one.logits_NC.shape[1], Rows(one.ids_N[:512], 0, torch.zeros_like(one.ids_N[:512]))
        codec, found = choose(candidates(classes), AUTO, one.logits_NC[:512], about)
        chosen.append(f"{one.title}: {named(codec)} ({found['mean_kl']:.1e})")
    columns = ["data, teacher", "codec", "bytes a target", "of float16 dense", "on the disk", "mean KL"]
    columns += ["99th percentile", "KL as learnt from", "total variation of a row", "of the mean", "argmax, %"]
    print_table(columns, rows)
    print(f"\n`auto` with a mean KL of at most {AUTO:g} would take: {'; '.join(chosen)}.")
    print_conditions(f"0; {asked.rows} answers, {asked.rows_of_words} of the language model, at most", began)


if __name__ == "__main__":
    main()
