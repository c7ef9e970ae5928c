"""What a page shows of transcripts, on a few that are written by hand."""

from __future__ import annotations

from pathlib import Path

import torch

from limbeck.evaluation import frames as by
from limbeck.evaluation.figure import plain
from limbeck.interfaces import IGNORED, RaggedLogits
from limbeck.modalities import outline_of
from limbeck.report import Evidence
from limbeck.report.kinds import frames
from limbeck.report.shown import Text
from tests.helpers.evidence import make_evidence
from tests.helpers.pages import Page, assert_harmless, written

NAMES = ("", " ", *"abc<")
SAID = ["ab c", "a <b", "", "cab"]
HEARD = {
    "teacher": ["ab c", "a b", "", "cab"],
    "student": ["ab a", "a <b", "a", "ccab"],
    "baseline": ["b", "a", "", "bab"],
}


def rows(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[NAMES.index(one) for one in text] + [IGNORED] * (4 - len(text)) for text in texts])


def answer(texts: list[str]) -> RaggedLogits:
    paths = [[symbol for one in text for symbol in (NAMES.index(one), 0)] + [0] for text in texts]
    lengths = torch.tensor([len(path) for path in paths])
    path_P = torch.tensor([one for path in paths for one in path])
    return RaggedLogits(6.0 * torch.nn.functional.one_hot(path_P, len(NAMES)), lengths)


def evidence_of(names: tuple[str, ...] = NAMES) -> Evidence:
    labels = rows(SAID)
    kept = {role: by.kept(answer(texts), labels, answer(HEARD["teacher"]), names) for role, texts in HEARD.items()}
    base = make_evidence(("a", "b"), 4)
    results = base.results | {
        "figures": plain(by.FIGURES),
        "fidelity_figures": plain(by.FIDELITY),
        "comparison": {"baseline": None, "smoothed": None},
        "fidelity": None,
        "fidelity_baseline": None,
        "smoothed": None,
        "losses": None,
    }
    for role, found in kept.items():
        metrics = by.figures(found)
        results[role] = {name: one for name, one in results[role].items() if name != "per_class"} | {
            "metrics": {name: {"mean": one, "sd": None, "n": 1} for name, one in metrics.items()},
            "runs": [run | {"metrics": metrics} for run in results[role]["runs"]],
        }
    return Evidence(
        results=results,
        outline=outline_of("text-classification"),
        headline="",
        kind="frames",
        names=names,
        labels=labels.numpy(),
        answers={},
        histories={},
        kept={role: {name: one.numpy() for name, one in found.items()} for role, found in kept.items()},
        show=lambda position: Text((f"clip {position}",)),
    )


def test_pieces_of_an_alignment() -> None:
    pairs = [(2, 2), (1, 1), (5, 2), (5, 3), (4, None), (None, 1), (3, 3)]
    found = frames.pieces(NAMES, pairs)
    assert [(one.kind, one.text, one.said) for one in found] == [
        ("same", "a ", ""), ("other", "<<", "ab"), ("more", "c", ""), ("less", "␣", ""), ("same", "b", ""),
    ]  # fmt: skip
    digits = ("", "one", "two")
    assert [(one.text, one.said) for one in frames.pieces(digits, [(1, 2), (2, 1), (2, 2)])] == [
        ("one two", "two one"),
        ("two", ""),
    ]


def test_what_is_taken_for_what_and_where() -> None:
    found = frames.sections(evidence_of())
    # c for a, a in silence, c twice; none is commoner than another
    assert sorted(found["confusions"]) == [("c", "a", (0, 1, 0)), ("·", "a", (0, 1, 0)), ("·", "c", (0, 1, 0))]
    lost, gave = found["groups"]
    assert [card.position for card in lost.cards] == [0, 2, 3]
    assert [card.position for card in gave.cards] == [1]
    assert [(role, errors) for role, errors, _ in lost.cards[0].heard] == [
        ("teacher", 0),
        ("student", 1),
        ("baseline", 3),
    ]


def test_the_page_shows_transcripts_and_escapes_them(tmp_path: Path) -> None:
    page = Page(written(evidence_of(), tmp_path))
    assert_harmless(page)
    for said in (
        "What is taken for what?",
        "What the student lost",
        "symbol error rate",
        "(silence)",
        "a <b",
        "1 error",
        "clip 2",
    ):
        assert said.lower() in page.text.lower(), said
    assert ("mark", {"title": "said: c"}) in page.elements
