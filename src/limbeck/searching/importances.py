"""Which settings mattered for quality, and how sure that is. No torch.

Optuna's PED-ANOVA (Watanabe et al. 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces"; with settings that others bring along, as its sequel has them) asks by which settings the best third differs from
all. Of a few dozen trials any such figure is uncertain: it is given with its interval over trials drawn again, and beside what
the same settings would come to had quality nothing to do with them.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .precision import FURTHER, PREFER
from .trials import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LEVEL = 0.8
LEAST = 12  # trials; of fewer, the best third is no group
LEAST_WITH = 10  # that have a setting, which others bring along: of two or three anything can be said
_BEST = 1 / 3
_DRAWS = 40
_SURE = 0.9  # of as many settings as vary, one in ten is beyond chance by chance
_WIDE = 10.0  # a setting above 0 that spans a greater factor is taken by its logarithm


def importances_of(trials: Sequence[Trial], better: int = 1, seed: int = 0) -> dict[str, Any]:
    """What ``search.json`` says of what mattered.

    Quality is that at the first rung, which every student that was trained has reached, so that those that stopped count
    as well, and where all are in float32 yet; without rungs, that at the end. A setting that fewer than :data:`LEAST_WITH` trials had is left out. ``better`` is 1 where more of it is better. Deterministic in ``seed``.
    """
    at, measured = _measured(trials)
    unseen = (PREFER, FURTHER) if at == "rung 1" else ()  # it is looked at before it is rounded
    names = sorted({name for one, _ in measured for name in one.values} - {*unseen})
    tried = {name: {_text(one.values[name]) for one, _ in measured if name in one.values} for name in names}
    had = Counter(name for one, _ in measured for name in one.values)
    varied = [name for name in names if len(tried[name]) > 1 and had[name] >= LEAST_WITH]
    if len(measured) < LEAST or len(varied) < 2:
        few = f"{len(measured)} students were trained, and it takes at least {LEAST}"
        why = few if len(measured) < LEAST else "fewer than two settings varied among those that were trained"
        return {
            "at": at,
            "trials": len(measured),
            "why_none": f"Nothing is said of what mattered: {why}.",
            "settings": [],
        }
    generator = np.random.default_rng(seed)
    badness_N = np.array([-better * quality for _, quality in measured])
    made = _as_optuna([one for one, _ in measured], varied)
    count = len(made)
    with _quiet():
        found = _differences(made, badness_N, varied)
        drawn, by_chance = [], []
        for _ in range(_DRAWS):
            index_N = generator.integers(0, count, count)
            drawn.append(_shares(_differences([made[k] for k in index_N], badness_N[index_N], varied)))
            by_chance.append(_differences(made, generator.permutation(badness_N), varied))
    shares, total = _shares(found), sum(found.values()) or 1.0
    settings = []
    for name in sorted(varied, key=lambda name: (-found[name], name)):
        low, high = np.quantile([one[name] for one in drawn], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        chance = float(np.quantile([one[name] for one in by_chance], _SURE))
        settings.append(
            {
                "setting": name,
                "importance": shares[name],
                "low": float(low),
                "high": float(high),
                "chance": chance / total,
                "beyond_chance": found[name] > chance,
            }
        )
    return {"at": at, "trials": count, "why_none": None, "level": LEVEL, "settings": settings}


def _measured(trials: Sequence[Trial]) -> tuple[str, list[tuple[Trial, float]]]:
    """Where quality is looked at, and the trials that have one there."""
    if any(one.rungs for one in trials):
        found = [(one, one.rungs[1]) for one in trials if 1 in one.rungs]
        return "rung 1", [pair for pair in found if math.isfinite(pair[1])]
    found = [(one, one.quality) for one in trials if one.quality is not None]
    return "the end", [(one, quality) for one, quality in found if math.isfinite(quality)]


def _as_optuna(trials: Sequence[Trial], names: Sequence[str]) -> list[FrozenTrial]:
    """The trials as Optuna has them, each setting with one distribution over all that was tried of it."""
    from optuna.trial import create_trial

    spread = {name: _distribution([one.values[name] for one in trials if name in one.values]) for name in names}
    made = []
    for one in trials:
        there = [name for name in names if name in one.values]
        params = {
            name: one.values[name] if numeric else _text(one.values[name])
            for name in there
            for numeric in [spread[name][1]]
        }
        made.append(create_trial(params=params, distributions={name: spread[name][0] for name in there}, value=0.0))
    return made


def _distribution(values: Sequence[Any]) -> tuple[BaseDistribution, bool]:
    """The distribution of a setting, and whether it is one of numbers."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high > _WIDE * low), True
    return CategoricalDistribution(tuple(sorted({_text(one) for one in values}))), False


def _differences(trials: Sequence[FrozenTrial], badness_N: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """By how much the best third differs from all in each setting (a divergence, 0 where not at all)."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(
        optuna.trial.create_trial(params=one.params, distributions=one.distributions, value=float(badness))
        for one, badness in zip(trials, badness_N, strict=True)
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BEST)
    there = [name for name in names if any(name in one.params for one in trials)]  # what few have, a draw may lack
    found = evaluator.evaluate(study, params=there)
    return {name: float(found.get(name, 0.0)) for name in names}


def _shares(differences: dict[str, float]) -> dict[str, float]:
    total = sum(differences.values()) or 1.0
    return {name: one / total for name, one in differences.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says a line for every study that is made, and warns of small groups, of which the interval tells."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
