"""Views of texts are functions of (seed, id, view, place), and touch what they should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.modalities.text.recipe import WordViews
from limbeck.modalities.text.views import Substitutes, vary
from limbeck.nlp.tokens import TextExamples, Vocabulary
from tests.helpers.textual import VOCABULARY, examples

TEXTS = examples(40)
BY = Substitutes.of(TEXTS, VOCABULARY)
rates = st.sampled_from([0.0, 0.1, 0.5, 0.9])
knobs = st.builds(WordViews, replace=rates, mask=rates, drop=rates)


def varied(views: WordViews, index: torch.Tensor, view, extra: int = 0, seed: int = 7) -> list[list[int]]:
    """The tokens of these texts in a view, as lists, from a batch padded by ``extra`` more positions."""
    tokens, there = TEXTS.padded(index, VOCABULARY.pad)
    tokens = torch.nn.functional.pad(tokens, (0, extra), value=VOCABULARY.pad)
    there = torch.nn.functional.pad(there, (0, extra), value=False)
    view_B = torch.as_tensor(view).expand(index.shape)
    tokens, there, _ = vary(views, seed, tokens, there, TEXTS.ids[index], view_B, BY)
    assert (tokens[~there] == VOCABULARY.pad).all()
    assert (there[:, 1:] <= there[:, :-1]).all()  # padded on the right alone
    assert there.any(0).all() or not views.drop or extra
    return [row[mask].tolist() for row, mask in zip(tokens, there, strict=True)]


@settings(max_examples=60, deadline=None)
@given(knobs, st.permutations(range(40)), st.integers(1, 40), st.integers(0, 5), st.integers(0, 9))
def test_a_view_does_not_depend_on_its_batch(views, order, count, view, extra):
    index = torch.tensor(order[:count])
    alone = {row: varied(views, torch.tensor([row]), view)[0] for row in order[: min(count, 3)]}
    together = varied(views, index, view, extra)
    for place, row in enumerate(order[: min(count, 3)]):
        assert together[place] == alone[row]


@settings(max_examples=40, deadline=None)
@given(knobs, st.integers(0, 5))
def test_special_tokens_stay_and_something_is_left(views, view):
    plain = varied(WordViews(), torch.arange(40), view)
    for before, after in zip(plain, varied(views, torch.arange(40), view), strict=True):
        assert (after[0], after[-1]) == (1, 2)
        assert set(after[1:-1]) <= ({*TEXTS.tokens.tolist()} - {1, 2}) | ({3} if views.mask else set())
        assert 3 <= len(after) <= len(before)
        if not views.drop:
            assert len(after) == len(before)


def test_view_0_is_the_text_as_it_is_and_others_differ():
    views, index = WordViews(replace=0.5, mask=0.2, drop=0.2), torch.arange(40)
    plain = [TEXTS.tokens[TEXTS.offsets[row] : TEXTS.offsets[row + 1]].tolist() for row in range(40)]
    assert varied(views, index, 0) == plain == varied(WordViews(), index, 3)
    assert varied(views, index, 1) == varied(views, index, 1)
    assert varied(views, index, 1) != varied(views, index, 2)
    assert varied(views, index, 1) != varied(views, index, 1, seed=8)


def test_a_knob_leaves_the_draws_of_the_others_alone():
    replaced = varied(WordViews(replace=0.5), torch.arange(40), 1)
    masked = varied(WordViews(replace=0.5, mask=0.3), torch.arange(40), 1)
    pairs = [pair for one, two in zip(replaced, masked, strict=True) for pair in zip(one, two, strict=True)]
    assert all(two in (one, 3) for one, two in pairs)
    assert any(two == 3 for _, two in pairs)


def test_rates_and_substitutes_are_those_of_the_data():
    """4,000 texts of 50 tokens: 200,000 draws; 5 standard deviations of slack."""
    count, length = 4000, 50
    counts = torch.tensor([0, 0, 0, 0, 0, 6, 3, 1])  # tokens 5, 6, 7 as 6 : 3 : 1
    tokens = torch.repeat_interleave(torch.arange(8), counts)
    ids = torch.arange(1)
    source = TextExamples(tokens.int(), torch.tensor([0, 10]), torch.zeros(1, dtype=torch.int64), ids, ("ten words",))
    by = Substitutes.of(source, Vocabulary(size=8, pad=0, special=frozenset({0, 1, 2, 3}), mask=3))
    plain = torch.full((count, length), 4)  # a token that the data does not hold
    there = torch.ones_like(plain, dtype=torch.bool)
    after, *_ = vary(WordViews(replace=0.2), 0, plain, there, torch.arange(count), torch.ones(count).long(), by)
    changed = after[after != 4]
    total = count * length
    assert abs(len(changed) / total - 0.2) < 5 * (0.2 * 0.8 / total) ** 0.5
    shares = torch.bincount(changed, minlength=8)[5:] / len(changed)
    assert torch.allclose(shares, torch.tensor([0.6, 0.3, 0.1]), atol=5 * (0.25 / len(changed)) ** 0.5)
    per_place = (after != 4).float().mean(0)  # no place is favoured
    assert (per_place - 0.2).abs().max() < 5 * (0.2 * 0.8 / count) ** 0.5
    _, kept, _ = vary(WordViews(drop=0.3), 0, plain, there, torch.arange(count), torch.ones(count).long(), by)
    assert abs(kept.sum() / total - 0.7) < 5 * (0.3 * 0.7 / total) ** 0.5


def test_a_tokenizer_without_a_mask_token_cannot_mask():
    tokens, there = TEXTS.padded(torch.arange(2), 0)
    by = Substitutes.of(TEXTS, Vocabulary(size=60, pad=0, special=frozenset({0, 1, 2})))
    with pytest.raises(BadInput, match="no mask token"):
        vary(WordViews(mask=0.1), 0, tokens, there, TEXTS.ids[:2], torch.ones(2).long(), by)
