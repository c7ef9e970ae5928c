"""Budgets as they are given, and what is over them."""

from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from limbeck.errors import BadInput
from limbeck.searching.budget import budget_of, fits, nothing_fits, violations
from limbeck.sections.budget import Budget


def test_a_budget_is_a_name_and_a_number_each():
    assert budget_of(["latency_ms=0.05", "size_kb = 60", "macs=2e6", "size_kb=60.0"]) == {
        "latency_ms": 0.05,
        "size_kb": 60.0,
        "macs": 2e6,
    }
    assert budget_of([]) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["latency=0.05"], "no cost is called 'latency'. Did you mean 'latency_ms'?"),
        (["weight=3"], "Known: energy_mj, latency_ms, macs, memory_mb, parameters, size_kb."),
        (["latency_ms"], "such as latency_ms=0.05"),
        (["latency_ms=0.05ms"], "latency_ms counts ms): write the number alone"),
        (["size_kb=0"], "is no number above 0"),
        (["size_kb=nan"], "is no number above 0"),
        (["size_kb=-3"], "is no number above 0"),
        (["size_kb=inf"], "is no number above 0"),
        (["size_kb=60", "size_kb=50"], "--budget size_kb is given twice, as 60 and 50"),
    ],
)
def test_what_is_no_budget_is_refused_in_a_sentence(given, said):
    with pytest.raises(BadInput) as refused:
        budget_of(given)
    assert said in str(refused.value)


def test_the_recipes_field_knows_the_same_costs():
    field = TypeAdapter(Budget)
    assert field.validate_python({"macs": 3_000_000}) == {"macs": 3e6}
    with pytest.raises(ValidationError, match=r"no cost is called 'size'\. Did you mean 'size_kb'"):
        field.validate_python({"size": 3})
    with pytest.raises(ValidationError):
        field.validate_python({"size_kb": 0})


def test_a_violation_is_the_share_above_the_limit_and_what_is_not_known_does_not_fit():
    budget = {"latency_ms": 0.05, "size_kb": 60.0}
    assert violations({"latency_ms": 0.1, "size_kb": 30, "macs": 9}, budget) == {"latency_ms": 1.0, "size_kb": -0.5}
    assert fits({"latency_ms": 0.05, "size_kb": 60}, budget)  # the limit itself is allowed
    for unknown in ({}, {"latency_ms": None}, {"latency_ms": math.nan}):
        assert violations({"size_kb": 1} | unknown, budget)["latency_ms"] == math.inf
        assert not fits({"size_kb": 1} | unknown, budget)


def test_where_nothing_fits_the_smallest_is_named_and_whose_it_is():
    measured = [
        ("convnet, width 4", {"latency_ms": 0.081, "size_kb": 14.21}),
        ("convnet, width 8", {"latency_ms": 0.12, "size_kb": 41.0}),
        ("mobile, width 4", {"latency_ms": None, "size_kb": 1.0}),  # not measured in full: it says nothing
    ]
    said = nothing_fits({"latency_ms": 0.05, "size_kb": 60.0}, measured)
    assert said.startswith("nothing fits the budget of 0.05 ms and 60 KB: of 2 exports measured, ")
    assert (
        "the smallest latency_ms is 0.081 (convnet, width 4), the smallest size_kb is 14.2 (convnet, width 4)." in said
    )
    assert "nearest" not in said
    assert "not one candidate could be measured" in nothing_fits({"latency_ms": 0.05}, measured[2:])


def test_where_each_limit_is_met_by_some_and_all_by_none_the_nearest_is_named():
    measured = [
        ("a", {"latency_ms": 0.04, "parameters": 120_000}),
        ("b", {"latency_ms": 0.07, "parameters": 50_000}),
    ]
    said = nothing_fits({"latency_ms": 0.05, "parameters": 100_000.0}, measured)
    assert "nothing fits the budget of 0.05 ms and 100,000 parameters" in said
    assert "nearest comes a with 0.04 ms and 120,000 parameters" in said
