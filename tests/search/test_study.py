"""A study that is cut off anywhere goes on as if it had not been."""

from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from limbeck.errors import BadInput
from limbeck.searching import trials
from limbeck.searching.study import Study
from limbeck.searching.trials import Trial

COUNT = 16  # TPE draws its first ten at random


def opened(path: Path, sampler: Any = "tpe", about: str = "this") -> Study:
    directions: Any = ("maximize", "minimize")
    return Study(path, arm="student", about=about, directions=directions, constraints=["cost"], sampler=sampler, seed=3)


def suggested(trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    found = {"kind": kind, "width": trial.suggest_int("width", 3, 256, log=True)}
    return found | ({"depth": trial.suggest_float("depth", 0, 1)} if kind == "b" else {})


def worth(values: dict[str, Any]) -> tuple[float, float]:
    """A quality that grows with the width, and a cost that does so faster."""
    width = values["width"]
    return 1 - 1 / width + values.get("depth", 0) / 100, width**1.5


def begin_and_end(study: Study) -> None:
    asked = study.ask(suggested)
    quality, cost = worth(asked.values)
    facts = {"why": "by its numbers.", "cost": {"cost": cost}, "rungs": {"1": quality}, "seconds": 0.5}
    over = {"cost": cost / 200 - 1}
    if over["cost"] > 0:
        study.tell(asked, {**facts, "fate": trials.OVER_BUDGET}, violations=over)
    elif asked.values["width"] == 4:
        study.tell(asked, {**facts, "fate": trials.CANNOT_BE})
    elif quality < 0.7:
        study.tell(asked, {**facts, "fate": trials.stopped_at(1)}, violations=over)
    else:
        study.tell(
            asked, {**facts, "fate": trials.FINISHED, "quality": quality}, objectives=(quality, cost), violations=over
        )


def to_the_end(path: Path, sampler: Any = "tpe") -> list[Trial]:
    study = opened(path, sampler)
    while study.begun < COUNT:
        begin_and_end(study)
    return study.trials


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_cut_off_at_any_byte(sampler: Any, tmp_path: Path) -> None:
    """One process writes, and only at the end: what a kill leaves is the journal's beginning, up to any byte."""
    whole = to_the_end(tmp_path / "journal.log", sampler)
    assert [one.number for one in whole] == [*range(1, COUNT + 1)]
    assert {one.fate for one in whole} >= {"finished", "over budget"}
    assert len({str(one.values) for one in whole}) > COUNT // 2  # no question is asked over and over
    data = (tmp_path / "journal.log").read_bytes()
    random = Random(5)
    for cut in sorted(random.sample(range(len(data) // 8, len(data)), 24)):
        path = tmp_path / f"{cut}.log"
        path.write_bytes(data[:cut])
        again = opened(path, sampler)
        assert again.trials == whole[: len(again.trials)]  # what had a fate has it still
        # and killed once more, as soon as it had gone on
        begun = path.read_bytes()
        begin_and_end(again)
        grown = path.read_bytes()
        path.write_bytes(grown[: random.randrange(len(begun), len(grown) + 1)])
        assert to_the_end(path, sampler) == whole


def test_a_trial_whose_process_was_killed_is_tried_again_with_the_same_values(tmp_path: Path) -> None:
    study = opened(tmp_path / "journal.log")
    begin_and_end(study)
    side_by_side = [study.ask(suggested) for _ in range(3)]
    assert len({str(one.values) for one in side_by_side}) == 3  # the same would be no use
    assert study.begun == 4
    again = opened(tmp_path / "journal.log")
    assert again.begun == 1
    again = opened(tmp_path / "journal.log")  # nor is one put in the queue twice
    assert [again.ask(suggested).values for _ in side_by_side] == [one.values for one in side_by_side]
    fourth = again.ask(suggested)
    assert fourth.values not in [one.values for one in side_by_side]


def test_every_trial_has_every_constraint(tmp_path: Path) -> None:
    """A trial without one would count as feasible."""
    found = to_the_end(tmp_path / "journal.log")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.load_study(study_name="student", storage=storage)
    for one, ours in zip(study.trials, found, strict=True):
        assert one.constraints.keys() == {"cost"}
        allowed = ours.fate not in (trials.OVER_BUDGET, trials.CANNOT_BE)
        assert (one.constraints["cost"] <= 0) == allowed
    assert study.best_trials
    assert all(worth(one.params)[1] <= 200 for one in study.best_trials)


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "search" / "journal.log")
    with pytest.raises(BadInput, match=r"holds another search.*--out"):
        opened(tmp_path / "search" / "journal.log", about="that")


def test_a_file_that_is_no_journal_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("not a journal\nat all\n")
    with pytest.raises(BadInput, match="cannot be read as a study"):
        opened(tmp_path / "journal.log")


@pytest.mark.parametrize("line", [b"3\n", b"{}\n", b"\0\0\n", b"\xff\n"])
def test_a_line_that_was_damaged_or_is_gone_gives_a_sentence(tmp_path: Path, line: bytes) -> None:
    """Wherever it stands; or the journal says the same without it."""
    to_the_end(tmp_path / "journal.log")
    lines = (tmp_path / "journal.log").read_bytes().splitlines(keepends=True)
    for place in range(2, len(lines), 3):
        for found in (line, b""):
            path = tmp_path / f"{place}.log"
            path.write_bytes(b"".join([*lines[:place], found, *lines[place + 1 :]]))
            with suppress(BadInput):  # and nothing else
                opened(path)


def test_a_last_line_that_is_none_is_cut_off(tmp_path: Path) -> None:
    whole = to_the_end(tmp_path / "journal.log")
    with open(tmp_path / "journal.log", "ab") as file:
        file.write(b"\0" * 20 + b"\n")
    study = opened(tmp_path / "journal.log")
    assert study.trials == whole
    begin_and_end(study)
    assert len(opened(tmp_path / "journal.log").trials) == COUNT + 1
