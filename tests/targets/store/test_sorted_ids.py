"""Ids are found where they stand, however they are spread over the 64 bits."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from limbeck.targets.store.sorted_ids import Lookup

LOW, HIGH = -(1 << 63), (1 << 63) - 1
ANY = st.integers(LOW, HIGH)
NEAR = st.builds(
    lambda middle, beside: max(LOW, min(HIGH, middle + beside)),
    st.sampled_from([LOW, -7, 0, 1 << 40, HIGH]),
    st.integers(-40, 40),
)


@given(ids=st.sets(ANY | NEAR, min_size=1, max_size=60), asked=st.lists(ANY | NEAR, max_size=20), data=st.data())
@example(ids={LOW, HIGH}, asked=[0], data=None)
@example(ids=set(range(100)), asked=[-1], data=None)
@example(ids=set(range(100)), asked=[100], data=None)
@example(ids={5}, asked=[LOW], data=None)
def test_every_id_is_found_at_its_place_and_an_unknown_one_is_not(ids, asked, data):
    there = sorted(ids)
    lookup = Lookup(np.array(there, np.int64))
    assert lookup.places(np.array(there, np.int64)).tolist() == list(range(len(there)))
    if data is not None:
        drawn = data.draw(st.lists(st.sampled_from(there)))
        assert lookup.places(np.array(drawn, np.int64)).tolist() == [there.index(one) for one in drawn]
    found = lookup.places(np.array(there + asked, np.int64))
    if set(asked) <= ids:
        assert found.tolist() == [there.index(one) for one in there + asked]
    else:
        assert found is None
