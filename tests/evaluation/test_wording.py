"""Words of sentences about results."""

import math

import pytest

from limbeck.evaluation import classes
from limbeck.evaluation.wording import short_of

PARITY = {"agreement": 0.97, "n": 340, "nll": 1.2, "limits": {"agreement": 0.95, "nll": 1.25}, "passed": True}
FEW = "the answer is the trained student's on 88.2 % (at least 95 %)"
MUCH = "NLL is 1.3000 (at most 1.2500)"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ""),
        ({"passed": False, "agreement": 0.882}, f"on 340 validation images {FEW}"),
        ({"passed": False, "nll": 1.3}, f"on 340 validation images {MUCH}"),
        ({"passed": False, "agreement": 0.882, "nll": 1.3}, f"on 340 validation images {FEW} and {MUCH}"),
        ({"passed": False, "nll": math.nan, "n": 1}, "on 1 validation image NLL is nan (at most 1.2500)"),
    ],
)
def test_a_file_that_is_passed_over_names_the_limits_that_it_missed(found: dict, said: str) -> None:
    assert short_of(PARITY | found, classes.FIGURES, "image") == said
