"""Claims about what is carved off: by draws alone where that represents every class, within classes where it does not."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.carving import BEYOND_CHANCE, carving_of, units_of
from limbeck.data.ids import carve, carving_draws

HASHES = st.integers(0, 2**63 - 1)


def hashes(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2**63 - 1, count))


def carved(alike, labels, fraction=0.1, groups=None, classes=None):
    classes = classes or int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]
    return carving_of(units_of(alike, groups), labels, classes, fraction, "test", steady=groups is not None)


def test_draws_alone_decide_where_they_represent_every_class():
    for seed in range(20):
        alike, labels = hashes(3000, seed), torch.arange(3000) % 10
        carving = carved(alike, labels)
        assert torch.equal(carving.chosen, carve(alike, 0.1, "test"))
        assert not carving.within
        assert carving.left_out == carving.misjudged == ()


@settings(deadline=None)
@given(st.data())
def test_within_classes_each_gives_its_share_smallest_draws_first(data):
    counts = data.draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    alike = torch.tensor(data.draw(st.lists(HASHES, min_size=len(labels), max_size=len(labels), unique=True)))
    fraction = data.draw(st.sampled_from([0.05, 0.1, 0.2, 0.5]))
    carving = carved(alike, labels, fraction)
    plain, draw = carve(alike, fraction, "test"), carving_draws(alike, "test")
    naive, left_out = torch.zeros_like(plain), []
    for label, count in enumerate(counts):
        members = (labels == label).nonzero().flatten()
        members = members[draw[members].argsort()]
        taken = int(plain[members].sum())
        if (count >= 2 and taken == 0) or taken == count:
            left_out.append(label)
        if count >= 2:
            wanted = math.ceil(fraction * count - 0.5)  # the nearest whole number
            naive[members[: min(max(wanted, 1), count - 1)]] = True
    off = [
        label
        for label, count in enumerate(counts)
        if count >= 2
        and abs(int(plain[labels == label].sum()) - fraction * count)
        > BEYOND_CHANCE * math.sqrt(count * fraction * (1 - fraction))
    ]
    assert (carving.left_out, carving.misjudged) == (tuple(left_out), tuple(off))
    if not left_out and not off:
        assert torch.equal(carving.chosen, plain)
    elif carving.within:
        assert torch.equal(carving.chosen, naive)
    else:  # one of each would be too much: the draws, less one example of a class that train would lack
        assert carving.crowded
        assert naive.sum() / len(labels) > max(0.25, 2 * fraction)
        put_back = [max((labels == label).nonzero().flatten(), key=lambda row: draw[row]) for label in left_out]
        back = [row for row in put_back if plain[row]]
        plain[torch.tensor(back, dtype=torch.int64)] = False
        assert torch.equal(carving.chosen, plain)
    assert all((~carving.chosen[labels == label]).any() for label in range(len(counts)))


@settings(deadline=None)
@given(st.data())
def test_units_stay_whole_and_the_order_of_rows_changes_nothing(data):
    count = data.draw(st.integers(2, 60))
    several = data.draw(st.booleans())
    content, group = (data.draw(st.lists(st.integers(0, 25), min_size=count, max_size=count)) for _ in range(2))
    groups = torch.tensor(group) * 11 + 5 if data.draw(st.booleans()) else None
    alike = torch.tensor(content) * 7 + 3
    shape = (count, 3) if several else (count,)
    labels = torch.from_numpy(np.random.default_rng(count).integers(0, 2 if several else 3, shape))
    labels = labels.float() if several else labels
    fraction = data.draw(st.sampled_from([0.1, 0.3]))
    chosen = carved(alike, labels, fraction, groups, classes=3).chosen

    # a naive closure of what must stay together
    unit = list(range(count))
    for _ in range(count):
        for a in range(count):
            for b in range(a):
                if content[a] == content[b] or (groups is not None and group[a] == group[b]):
                    unit[a] = unit[b] = min(unit[a], unit[b])
    for a in range(count):
        for b in range(a):
            if unit[a] == unit[b]:
                assert chosen[a] == chosen[b]
    # what a class has on one side it also has on the other, where it has units for both, unless one of each is too much
    held = [(labels[:, label] > 0) if several else labels == label for label in range(3)]
    for of_class in held:
        assert not of_class.any() or (~chosen[of_class]).any()

    order = torch.from_numpy(np.random.default_rng(7).permutation(count))
    again = carved(alike[order], labels[order], fraction, None if groups is None else groups[order], classes=3).chosen
    assert torch.equal(again, chosen[order])


def test_a_rare_class_is_on_every_side_that_it_has_examples_for():
    alike = hashes(1000, 3)
    labels = torch.zeros(1000, dtype=torch.int64)
    labels[:3], labels[3:5], labels[5] = 1, 2, 3
    alone = carve(alike, 0.1, "test")
    assert not alone[:5].any()  # seed 3 leaves both rare classes out
    carving = carved(alike, labels)
    assert carving.within
    assert carving.left_out == (1, 2)
    taken = [int(carving.chosen[labels == label].sum()) for label in range(4)]
    assert taken == [99, 1, 1, 0]  # 99.4 of 994; the single example of the last stays in train


def test_several_labels_are_kept_in_their_proportions():
    generator = np.random.default_rng(0)
    labels = torch.from_numpy((generator.random((2000, 4)) < [0.5, 0.1, 0.02, 0.003]).astype(np.float32))
    alike = hashes(2000, 1)
    carving = carved(alike, labels, 0.1)
    assert carving.within  # six examples of the last class, and no draw among them
    share = labels[carving.chosen].sum(0) / labels.sum(0)
    assert float(share[:3].sub(0.1).abs().max()) < 0.03
    assert 0 < float(share[3]) < 1
    unlabelled = labels.sum(1) == 0
    assert abs(float(carving.chosen[unlabelled].float().mean()) - 0.1) < 0.01


def test_most_classes_too_rare_for_one_of_each_leaves_the_draws():
    alike, labels = hashes(300, 5), torch.arange(300) // 3
    plain = carve(alike, 0.1, "test")
    carving = carved(alike, labels)
    assert carving.crowded
    assert len(carving.left_out) > 50
    whole = [label for label in range(100) if plain[labels == label].all()]
    assert int(plain.sum()) - int(carving.chosen.sum()) == len(whole)


def test_few_large_groups_come_as_near_to_the_share_as_they_can():
    sizes = [500, 300, 100, 60, 40]
    groups = torch.repeat_interleave(hashes(5, 2), torch.tensor(sizes))
    labels = torch.arange(1000) % 2
    carving = carved(hashes(1000, 4), labels, 0.1, groups)
    assert 40 <= int(carving.chosen.sum()) <= 160
    three = torch.repeat_interleave(hashes(3, 2), 10)
    assert int(carved(hashes(30, 4), torch.arange(30) % 2, 0.1, three).chosen.sum()) == 10
