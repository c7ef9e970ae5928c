"""Connected digits: what a small CTC student learns from a teacher's frames, from its transcripts, and from sound without labels.

    LIMBECK_DATA=... python benchmarks/connected_digits.py                       # 3 seeds; three quarters of an hour on one core
    LIMBECK_DATA=... python benchmarks/connected_digits.py --seeds 1 --epochs 4 --teacher-epochs 4

Two to seven spoken digits of the Free Spoken Digit Dataset are joined with pauses, all of one speaker; one speaker of six is left out of
training and is the test. Each digit is a symbol, so that the symbol error rate is that of words. All students have the same network, epochs
and steps. In the rows of few labels the student has transcripts of some of the training sound alone: the baseline learns from that, the others
also from what the teacher, trained on all of them, says of the rest.

Then: what a teacher's answer to one recording takes, and what is lost, as each codec keeps it.
"""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from common import arguments, print_conditions, print_table

from limbeck.data.epochs import every_epoch_anew
from limbeck.data.places import folder_of
from limbeck.evaluation import frames
from limbeck.evaluation.intervals import mean_sd, sums_bootstrap
from limbeck.evaluation.keep import keep
from limbeck.interfaces import Hypotheses, RaggedLogits
from limbeck.modalities.speech import audio
from limbeck.modalities.speech.built import network
from limbeck.modalities.speech.data_sections import SoundViews, SpeechData
from limbeck.modalities.speech.load import load
from limbeck.modalities.speech.recipe_ctc import SpeechTrain
from limbeck.modalities.speech.task_ctc import SpeechRecognition
from limbeck.objectives.modules import CTC, CTCFrameKD, CTCSequenceKD, Objective
from limbeck.sections.teacher import Model
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Codec, Dense, HypothesesCodec, Int8, TopKCodec
from limbeck.targets.hearing import hypotheses_of
from limbeck.targets.stored_teacher import StoredTeacher
from limbeck.training.loop import Training, fit

TEACHER = {"model": "ds_ctc", "width": 96, "depth": 5}
STUDENT = {"model": "ds_ctc", "width": 40, "depth": 3}
VIEWS = SoundViews(speed=0.1, gain=6.0)
STORED = 2  # views
AT_ONCE = 16


class Row(NamedTuple):
    """What one kind of student learns from; ``few``: of some of the transcripts alone."""

    name: str
    objective: Objective
    few: bool = False


ROWS = (
    Row("labels alone", CTC()),
    Row("+ frames", CTC() + CTCFrameKD()),
    Row("+ frames near symbols", CTC() + CTCFrameKD(keep_blanks=2, weight=2.0)),
    Row("+ transcripts", CTC() + CTCSequenceKD()),
    Row("+ both", CTC() + CTCFrameKD() + CTCSequenceKD()),
    Row("few labels alone", CTC(), few=True),
    Row("few + frames", CTC() + CTCFrameKD(), few=True),
    Row("few + transcripts", CTC() + CTCSequenceKD(), few=True),
)


def write(folder: Path, speaker: str, counts: dict[str, int], few: int) -> None:
    """Tables of recordings, one a split, and of some transcripts of train and the other sounds of it; and the sounds."""
    found = folder_of("fsdd", None, "data.name")
    assert found is not None, "LIMBECK_DATA names no folder that holds fsdd"
    clips: dict[tuple[bool, str], list[tuple[int, np.ndarray]]] = {}
    for split in ("train", "test"):
        rows = datasets.load_dataset(str(found[0]), split=split).cast_column("audio", datasets.Audio(decode=False))
        for row in rows:
            heard = audio.read(row["audio"]["bytes"]).samples  # pyright: ignore[reportArgumentType, reportCallIssue]
            who = str(row["speaker"])  # pyright: ignore[reportArgumentType, reportCallIssue]
            held = split == "test" and who != speaker
            clips.setdefault((held, who), []).append((int(row["label"]), heard))  # pyright: ignore[reportArgumentType, reportCallIssue]
    others = sorted({who for _, who in clips} - {speaker})
    for split, count in counts.items():
        lines = []
        for number in range(count):
            draw = np.random.default_rng([("train", "validation", "test").index(split), number])
            who = speaker if split == "test" else others[number % len(others)]
            pool = clips[split == "validation", who]
            said = [pool[at] for at in draw.integers(len(pool), size=draw.integers(2, 8))]
            parts = [part for _, heard in said for part in (heard, np.zeros(draw.integers(400, 2400), np.float32))]
            path = folder / "sounds" / split / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(audio.as_wav(np.concatenate(parts), 8000))
            lines.append(json.dumps({"audio": str(path), "text": "".join(str(label) for label, _ in said)}))
        for name, part in (("all", lines), ("few", lines[:few]), ("rest", lines[few:])):
            part = part if split == "train" else lines
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{split}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")


def splits_of(folder: Path, few: bool) -> Any:
    """All of train, or some of it with the rest as a transfer set."""
    name, rest = (str(folder / part) for part in ("few" if few else "all", "rest"))
    section: dict[str, Any] = {"name": name, "validation": "validation", "alphabet": "0123456789"}
    return load(SpeechData.model_validate(section | ({"transfer": {"name": rest}} if few else {})))


def trained(
    task: SpeechRecognition,
    model: torch.nn.Module,
    objective: Objective,
    store: StoredTeacher | None,
    epochs: int,
    seed: int,
) -> float:
    """Trains a model in place; seconds. Without a store it learns from the labels alone, in as many steps."""
    examples = task.train if store is None else task.pool
    epochs = max(1, round(epochs * len(task.pool) / len(examples)))
    plan = SpeechTrain(epochs=epochs, learning_rate=0.003, clip_norm=5.0, warmup_epochs=min(1, epochs))
    view_of = every_epoch_anew if store is None else store.view_of
    source = task.learnt_by(model).source(examples, views=VIEWS, seed=seed, batch_size=plan.batch_size, view_of=view_of)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as checkpoints:
        run = Training("", model, task, source, objective, store, plan, seed, Path(checkpoints))
        fit(run, Accelerator(cpu=True))
    return time.process_time() - began


def stored(task: SpeechRecognition, teacher: torch.nn.Module, codec: Codec, views: int, path: Path) -> StoredTeacher:
    """The teacher asked once about all examples, as the codec keeps its answers."""
    pool = task.pool

    @torch.no_grad()
    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor | RaggedLogits:
        said = task.answer(teacher, task.batch(pool, index_B, torch.full_like(index_B, view), VIEWS))
        if not isinstance(codec, HypothesesCodec):
            return said
        return codec.flat(hypotheses_of(said, codec.best, codec.beam), pool.ids[index_B])

    identity: Any = {
        "classes": task.answers.width, "data": "", "teacher": {"weights": "", "probe": []}, "preprocess": None,
        "precision": "float32", "views": {}, "view_seed": 0,
    }  # fmt: skip
    ragged = not isinstance(codec, HypothesesCodec)
    return StoredTeacher(cast(path, identity, pool.ids, views, ask, codec=codec, ragged=ragged, batch_size=AT_ONCE))


def sizes(task: SpeechRecognition, teacher: torch.nn.Module, folder: Path) -> Iterator[Sequence[str]]:
    """What each codec takes of a recording, as it is and after zlib, and what it loses."""
    longest = max(int(heard_at(task, teacher, at).lengths.max()) for at in torch.arange(len(task.pool)).split(AT_ONCE))
    codecs: tuple[Codec, ...] = (
        Dense(), Int8(), TopKCodec(4, (1.0,)), TopKCodec(2, (1.0,)), TopKCodec(1, (1.0,)),
        HypothesesCodec(best=4, longest=longest), HypothesesCodec(best=1, longest=longest),
    )  # fmt: skip
    for number, codec in enumerate(codecs):
        store = stored(task, teacher, codec, 1, folder / f"codec-{number}").store
        rows = int(store.lengths(task.pool.ids, torch.zeros_like(task.pool.ids)).sum()) if store.ragged else len(store)
        error, each = store.manifest["codec"]["error"], store.manifest["codec"]["bytes_per_target"]
        lost = f"{error['mean_kl']:.1e}" if "mean_kl" in error else "no posteriors"
        settings = ", ".join(f"{name} {value}" for name, value in codec.settings.items() if name in ("k", "best"))
        packed = sum(len(zlib.compress(path.read_bytes())) for path in store.path.glob("*/view-*/*.arrow"))
        told = f"{each * rows / len(store):,.0f}", f"{packed / len(store):,.0f}"
        yield f"{codec.name} {settings}".strip(), str(each), *told, lost


def heard_at(task: SpeechRecognition, teacher: torch.nn.Module, index_B: torch.Tensor) -> Hypotheses:
    """The four best transcripts of these recordings, as they are."""
    with torch.no_grad():
        batch = task.batch(task.pool, index_B, torch.zeros_like(index_B), VIEWS)
        return hypotheses_of(task.answer(teacher, batch), 4, HypothesesCodec.beam)


def blank_share(task: SpeechRecognition, teacher: torch.nn.Module) -> float:
    """At how many of the frames of train the teacher takes the blank for likeliest."""
    said = [answer.logits.argmax(1) == frames.BLANK for _, answer in task.answers_to(teacher, task.train)]
    return float(torch.cat(said).double().mean())


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--teacher-epochs", type=int, default=14)
    parser.add_argument("--train", type=int, default=800, help="recordings to train on")
    parser.add_argument("--few", type=int, default=100, help="of them with transcripts, in the rows of few labels")
    parser.add_argument("--speaker", default="theo", help="who is left out")
    parser.add_argument("--rows", nargs="*", default=[row.name for row in ROWS])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, asked.speaker, {"train": asked.train, "validation": 100, "test": 200}, asked.few)
        splits = {few: splits_of(folder, few) for few in (False, True)}
        test = splits[False].test.open("the benchmark")
        labels = test.labels
        sections = [Model.model_validate(one) for one in (TEACHER, STUDENT)]
        teacher, student = (network(one, splits[False], trust_code=False, seed=0) for one in sections)
        tasks = {few: SpeechRecognition(one, view_seed=0).learnt_by(student) for few, one in splits.items()}

        def on_test(model: torch.nn.Module, beside: torch.nn.Module | None = None) -> dict[str, torch.Tensor]:
            task = tasks[False]
            theirs = None if beside is None else task.answers_to(beside, test)
            return keep(frames, task.answers_to(model, test), labels, theirs, task.answers.names)

        took = trained(tasks[False], teacher, CTC(), None, asked.teacher_epochs, 0)
        found, shown = frames.figures(on_test(teacher)), []
        count = sum(parameter.numel() for parameter in teacher.parameters())
        shown.append(
            ["teacher", f"{count:,}", f"{100 * found['error_rate']:.2f}", "", "", f"{found['nll']:.3f}", f"{took:.0f}"]
        )
        kinds = {few: stored(task, teacher, Dense(), STORED, folder / f"store-{few}") for few, task in tasks.items()}
        alone: dict[bool, np.ndarray] = {}
        for row in (row for row in ROWS if row.name in asked.rows):
            task, asks = tasks[row.few], bool(row.objective.needs.target)
            kepts, seconds = [], 0.0
            for seed in range(asked.seeds):
                model = network(sections[1], splits[False], trust_code=False, seed=seed)
                seconds += trained(task, model, row.objective, kinds[row.few] if asks else None, asked.epochs, seed)
                kepts.append(on_test(model))
            each = [frames.figures(kept) for kept in kepts]
            error, nll = (mean_sd([one[figure] for one in each]) for figure in ("error_rate", "nll"))
            scores = np.stack([frames.scores(kept, "error_rate").numpy() for kept in kepts])
            if not asks:
                alone[row.few] = scores
            beside = alone.get(row.few, scores)  # nothing is said where its row was left out
            apart = sums_bootstrap(scores, beside, frames.SUMS["error_rate"])
            gain = (
                ""
                if beside is scores
                else "{difference:+.2f} ({low:+.2f} to {high:+.2f})".format(
                    **{end: 100 * apart[end] for end in ("difference", "low", "high")}
                )
            )
            spread = "" if error["sd"] is None else f"{100 * error['sd']:.2f}"
            count = sum(parameter.numel() for parameter in student.parameters())
            shown.append(
                [
                    row.name,
                    f"{count:,}",
                    f"{100 * error['mean']:.2f}",
                    spread,
                    gain,
                    f"{nll['mean']:.3f}",
                    f"{seconds / asked.seeds:.0f}",
                ]
            )
            print(*shown[-1], flush=True)
        print_table(["learns from", "parameters", "error %", "sd", "less labels alone (95 %)", "NLL", "CPU s"], shown)
        print()
        print_table(
            ["codec", "bytes a frame, or all", "bytes a recording", "by zlib", "mean KL"],
            list(sizes(tasks[False], teacher, folder)),
        )
        recordings, share = len(tasks[False].pool), blank_share(tasks[False], teacher)
        print(f"\n{recordings} recordings at one view; the blank is likeliest at {100 * share:.1f} % of the frames.")

    print_conditions(f"0 to {asked.seeds - 1}", start)


if __name__ == "__main__":
    main()
