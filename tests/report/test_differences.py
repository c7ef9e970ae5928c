"""The examples that a report shows: where the two differ most, and once each."""

import numpy as np

from limbeck.report.differences import most_different
from limbeck.report.shown import Text


def test_the_largest_differences_come_first_copies_once_and_what_is_alike_or_no_number_never():
    texts = ["same", "far", "far", "near", "middle", "no number"]
    found = most_different(np.array([0.0, 3.0, 3.0, 1.0, 2.0, np.nan]), lambda position: Text((texts[position],)))
    assert found == [(1, Text(("far",))), (4, Text(("middle",))), (3, Text(("near",)))]
    assert most_different(np.arange(9.0), None, shown=2) == [(8, None), (7, None)]
