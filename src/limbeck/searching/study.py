"""A study of Optuna that outlives being killed: one process owns it, asks what to try and tells what came of it.

Optuna keeps a study in a journal and leaves four things to its user. A line of the journal that was cut short is cut off
before anything is written behind it. A trial whose process was killed stays running for ever: it is told as failed, and the same values are put in
the queue. The sampler's generator is not kept: it is seeded anew for each question, by how many trials were begun before. And a trial without a constraint counts as
feasible: every trial gets all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from ..errors import BadInput
from ..randomness import stable_hash
from .journal import readable
from .trials import CANNOT_BE, FAILED, FINISHED, UNTRAINED, Trial, trials_of

Suggest = Callable[[optuna.Trial], Mapping[str, Any]]

# What a constraint says of a trial whose cost is not known: it is broken.
_UNKNOWN = 1.0


@dataclass(frozen=True)
class Asked:
    """Values to be tried; ``number`` is Optuna's, from 0, and counts trials that were killed."""

    number: int
    values: dict[str, Any]


class Study:
    """The trials of one arm, in a journal.

    Args:
        path: of the journal; begun where it is not there.
        arm: as :class:`limbeck.searching.trials.Trial` has it.
        about: names what is searched; a journal about something else is refused.
        directions: ``maximize`` or ``minimize`` of the quality, then of each cost.
        constraints: the names of all that a trial can violate.
        sampler: ``tpe`` or ``random``.
        seed: of the sampler.

    Raises :class:`limbeck.errors.BadInput` for a journal that cannot be read, or is about another search.
    """

    def __init__(
        self,
        path: Path,
        *,
        arm: str,
        about: str,
        directions: Sequence[Literal["maximize", "minimize"]],
        constraints: Sequence[str] = (),
        sampler: Literal["tpe", "random"] = "tpe",
        seed: int = 0,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.arm, self._constraints, self._sampler, self._seed = arm, tuple(constraints), sampler, seed
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_to_whole_lines(path)
        with readable(path):
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_Owned(str(path))))
            if not optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=arm, directions=[*directions])
            self._study = optuna.load_study(storage=storage, study_name=arm)
            known = self._study.user_attrs.get("about")
            _ = self.trials, self.seconds  # whatever of them cannot be read
        # noted before the first trial, so that a process killed between the two notes it the next time
        if known is None:
            self._study.set_user_attr("about", about)
        elif known != about:
            raise BadInput(
                f"{path.parent.parent} holds another search: of other data or models, with another profile, or begun by another version. "
                "Choose another folder with --out, or empty this one."
            )
        self._take_up()

    @property
    def trials(self) -> list[Trial]:
        """All whose fate is known, in the order in which they were begun."""
        return trials_of(self._study, self.arm)

    @property
    def begun(self) -> int:
        """How many trials have a fate or are at work."""
        return sum(_counts(one) for one in self._study.get_trials(deepcopy=False))

    @property
    def tried(self) -> int:
        """How many of them were trained, or are going to be."""
        found = self._study.get_trials(deepcopy=False)
        return sum(_counts(one) and one.user_attrs.get("fate") not in UNTRAINED for one in found)

    @property
    def seconds(self) -> float:
        """How long its trials took in all, from when each was begun."""
        times = [one.duration for one in self._study.get_trials(deepcopy=False) if "fate" in one.user_attrs]
        return sum(one.total_seconds() for one in times if one is not None)

    def begin_with(self, points: Iterable[Mapping[str, Any]]) -> None:
        """What to ask first, one after the other, where nothing was asked yet, as Optuna calls it; what is left out is drawn."""
        if not self._study.get_trials(deepcopy=False):
            for drawn in points:
                self._study.enqueue_trial(dict(drawn))

    def ask(self, suggest: Suggest) -> Asked:
        """What to try next; ``suggest`` draws the values from Optuna's trial, one by one as it will."""
        self._study.sampler = self._sampler_of(self.begun)
        trial = self._study.ask()
        values = dict(suggest(trial))
        trial.set_user_attr("values", values)
        return Asked(trial.number, values)

    def tell(
        self,
        asked: Asked,
        facts: Mapping[str, Any],
        *,
        objectives: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> Trial:
        """What came of it: ``facts`` by the names of :class:`limbeck.searching.trials.Trial`, ``fate`` among them.

        ``objectives`` are needed where the trial finished; ``violations`` are above 0 where a constraint is broken, and
        stand for broken ones where they are not given.
        """
        trial = self._trial(asked.number)
        for name, value in facts.items():
            if name != "fate":
                trial.set_user_attr(name, value)
        if objectives is not None:
            trial.set_user_attr("objectives", [float(one) for one in objectives])
        for name in self._constraints:
            trial.set_constraint(name, _UNKNOWN if violations is None else violations[name])
        trial.set_user_attr("fate", facts["fate"])  # last: from here on all that belongs to it is there
        self._conclude(asked.number)
        # with Optuna's numbers beside them: it counts trials that were killed
        numbers = [one.number for one in self._study.get_trials(deepcopy=False) if "fate" in one.user_attrs]
        return self.trials[numbers.index(asked.number)]

    def _conclude(self, number: int) -> None:
        facts = self._frozen(number).user_attrs
        if facts["fate"] == FINISHED:
            self._study.tell(number, facts["objectives"])
        elif facts["fate"] in (CANNOT_BE, FAILED):
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, state=TrialState.PRUNED)

    def _take_up(self) -> None:
        """Sees to the trials that a killed process left running."""
        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "fate" in left.user_attrs:
                self._conclude(left.number)
                continue
            # one that had been asked in part is asked anew: the same question gets the same answer
            drawn = left.params if "values" in left.user_attrs else left.system_attrs.get("fixed_params")
            waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if drawn is not None and all(drawn != one.system_attrs["fixed_params"] for one in waiting):
                self._study.enqueue_trial(drawn)
            self._study.tell(left.number, state=TrialState.FAIL)

    def _sampler_of(self, begun: int) -> BaseSampler:
        seed = stable_hash(f"{self._seed}\0{self.arm}\0{begun}") % 2**32
        return RandomSampler(seed) if self._sampler == "random" else TPESampler(seed=seed)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._frozen(number)._trial_id)


def _counts(trial: FrozenTrial) -> bool:
    return "fate" in trial.user_attrs or trial.state == TrialState.RUNNING


def cut_to_whole_lines(path: Path) -> None:
    """Cuts off a last line that was not written to its end, as a killed process or a lack of power leaves it."""
    if not path.exists():
        return
    with open(path, "r+b") as file:
        data = file.read()
        last = data.splitlines(keepends=True)[-1:]
        if last and not _whole(last[0]):
            file.truncate(len(data) - len(last[0]))
            os.fsync(file.fileno())


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")


class _Owned(JournalFileOpenLock):
    """No lock: the folder is claimed by one process, and a lock that a killed one leaves behind would hold up the next."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return
