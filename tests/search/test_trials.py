"""Trials are read from a real study of Optuna, whatever its journal made of them."""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from limbeck.searching import trials
from limbeck.searching.trials import Trial, trials_of


def test_what_was_noted_is_read_back_and_a_killed_trial_is_not_counted(tmp_path: Path) -> None:
    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))

    study = optuna.create_study(storage=storage(), study_name="one", directions=["maximize", "minimize"])
    killed = study.ask()
    killed.set_user_attr("values", {"student.width": 4})
    study.tell(killed, state=TrialState.FAIL)
    facts = {
        "values": {"student.width": 4, "objective": "kd"},
        "rungs": {"1": 0.5, "2": 0.75},
        "quality": 0.875,
        "cost": {"latency_ms": 0.25},
        "seconds": 1.5,
        "fate": trials.FINISHED,
        "why": "trained in full.",
        "noted by another version": True,
    }
    whole = study.ask()
    for name, value in facts.items():
        whole.set_user_attr(name, value)
    study.tell(whole, [0.875, 0.25])

    read = trials_of(optuna.load_study(study_name="one", storage=storage()), "student")
    assert read == [
        Trial(
            number=1,
            arm="student",
            values={"student.width": 4, "objective": "kd"},
            fate="finished",
            why="trained in full.",
            rungs={1: 0.5, 2: 0.75},
            quality=0.875,
            cost={"latency_ms": 0.25},
            seconds=1.5,
        )
    ]
