"""What real, tiny students cost: measured once, as they will be when they are trained, and held to a budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.deploy.latency import MOST_REPEATS
from limbeck.errors import BadInput
from limbeck.pipeline.job import Job
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.teacher import the_teacher
from limbeck.searching.budget import fits, nothing_fits
from limbeck.searching.costs import Costs, candidate_of, cost_of, exported, name_of, require_counters, rounded
from limbeck.searching.ledger import Key, Ledger
from tests.helpers import tiny

ALL = ("latency_ms", "size_kb", "memory_mb", "macs", "parameters")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> dict[int, Job]:
    out = tmp_path_factory.mktemp("costs")
    return {width: tiny.job(out / str(width), f"student.width={width}", "targets.live=true") for width in (4, 24)}


@pytest.fixture(scope="module")
def measured(jobs, tmp_path_factory) -> tuple[Path, dict[int, Costs]]:
    path = tmp_path_factory.mktemp("ledger") / "costs.jsonl"
    with Ledger(path) as ledger:
        return path, {width: cost_of(job, candidate_of(job), ledger, ALL) for width, job in jobs.items()}


def test_an_untrained_student_costs_what_the_trained_one_will(jobs, measured, tmp_path):
    job, (_, costs) = jobs[4], measured
    arms = the_arms(job, the_teacher(job), None)
    trained = train_member(job, arms["student"], job.recipe.seed)
    deployed = exported(job, trained.model, tmp_path)
    assert costs[4].cost["size_kb"] * 1000 == deployed.path.stat().st_size
    assert costs[4].cost["macs"] == deployed.facts["macs"]
    assert costs[4].cost["parameters"] == sum(one.numel() for one in trained.model.parameters())
    assert name_of(job, trained.model) == costs[4].architecture


def test_a_larger_student_costs_more(measured):
    small, large = (measured[1][width].cost for width in (4, 24))
    assert set(small) == set(ALL)
    for name in ("size_kb", "macs", "parameters"):  # of latencies a busy machine may turn the order round
        assert small[name] < large[name]
    assert (
        min(small["latency_ms"], large["latency_ms"]) > 0
    )  # of networks this small a busy machine may turn the order round
    assert measured[1][4].architecture != measured[1][24].architecture


def test_no_architecture_is_measured_twice_and_the_ledger_alone_decides(jobs, measured):
    path, costs = measured
    before = path.read_bytes()
    with Ledger(path) as ledger:
        again = {width: cost_of(job, candidate_of(job), ledger, ALL) for width, job in jobs.items()}
        part = cost_of(jobs[4], candidate_of(jobs[4]), ledger, ("size_kb",), {"size_kb": 1.0})
    assert again == costs
    assert part.cost == {"size_kb": costs[4].cost["size_kb"]}
    assert path.read_bytes() == before


def test_a_latency_that_scatters_round_its_limit_is_measured_again_until_it_is_known_or_for_so_many_times(
    jobs, tmp_path
):
    job = jobs[4]
    model = candidate_of(job)
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        far = cost_of(job, model, ledger, ("latency_ms",), {"latency_ms": 1000.0})
        assert (far.figures["latency_ms"]["repeats"], far.undecided) == (1, False)
        figure = far.figures["latency_ms"]
        # the limit in the middle of its interval: what is measured then is of more repeats, or decided
        close = cost_of(job, model, ledger, ("latency_ms",), {"latency_ms": figure["value"]}).figures["latency_ms"]
        assert close["limit"] == figure["value"]
        assert close["decided"] is (close["high"] <= close["limit"] or close["low"] > close["limit"])
        assert close["decided"] or close["repeats"] == MOST_REPEATS


def test_what_was_repeated_as_often_as_may_be_is_taken_as_it_is_and_says_so(jobs, measured, tmp_path):
    job, name = jobs[4], measured[1][4].architecture
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        key = replace(_key(measured[0]), architecture=name)
        figure = {"value": 0.05, "low": 0.045, "high": 0.055, "repeats": MOST_REPEATS, "decided": False}
        ledger.put(key, {"figures": {"latency_ms": figure}})
        found = cost_of(job, candidate_of(job), ledger, ("latency_ms",), {"latency_ms": 0.05})
        assert found.undecided
        assert found.cost == {"latency_ms": 0.05}
        assert fits(found.cost, {"latency_ms": 0.05})
        assert not cost_of(job, candidate_of(job), ledger, ("latency_ms",), {"latency_ms": 0.06}).undecided


def _key(path: Path) -> Key:
    return Key(**json.loads(path.read_text().splitlines()[0])["key"])


def test_what_cannot_be_exported_is_noted_and_not_tried_again(jobs, tmp_path):
    job = replace(
        jobs[4], recipe=tiny.recipe("student.width=4", "export.max_abs_difference=1e-12", "targets.live=true")
    )
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        found = cost_of(job, candidate_of(job), ledger, ("size_kb",))
        assert found.problem is not None
        assert "does not answer as the trained model does" in found.problem
        before = ledger.path.read_bytes()
        assert cost_of(job, candidate_of(job), ledger, ("size_kb", "parameters")) == found
        assert ledger.path.read_bytes() == before


class Greedy(nn.Module):
    """Needs more memory than there is, until it does not."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.needs = model, 2**60

    def forward(self, images: Tensor) -> Tensor:
        if self.needs and not torch.compiler.is_exporting():
            torch.empty(self.needs)
        return self.model(images)


def test_a_lack_of_memory_is_told_and_not_kept(jobs, tmp_path):
    job, model = jobs[4], Greedy(candidate_of(jobs[4]))
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        found = cost_of(job, model, ledger, ("macs",))
        assert found.problem is not None
        assert "memory" in found.problem
        assert ledger.path.read_bytes() == b""
        model.needs = 0
        assert cost_of(job, model, ledger, ("macs",)).problem is None


def test_what_another_version_could_not_export_is_tried_again_once(jobs, measured, tmp_path):
    job, costs = jobs[4], measured[1][4]
    key = _key(measured[0])
    for line in ({"problem": "it cannot be exported"}, {"problem": "it cannot be exported", "by": {"torch": "2.0"}}):
        path = tmp_path / f"{len(line)}.jsonl"
        with Ledger(path) as ledger:
            ledger.put(replace(key, architecture=costs.architecture), line)
            assert cost_of(job, candidate_of(job), ledger, ("macs",)).problem is None
        before = path.read_bytes()
        with Ledger(path) as ledger:
            again = cost_of(job, candidate_of(job), ledger, ("macs",))
            assert (again.problem, again.cost) == (None, {"macs": costs.cost["macs"]})
        assert path.read_bytes() == before


def test_an_estimate_of_energy_is_no_budget(jobs, tmp_path):
    if Path("/sys/class/powercap/intel-rapl:0/energy_uj").exists():
        pytest.skip("this machine measures energy")
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        with pytest.raises(BadInput, match="budget energy_mj: this machine cannot measure energy"):
            cost_of(jobs[4], candidate_of(jobs[4]), ledger, ("size_kb", "energy_mj"))
        with pytest.raises(BadInput, match="budget energy_mj"):
            require_counters(["energy_mj"])
        require_counters(["latency_ms"])


def test_where_nothing_fits_the_smallest_of_what_was_measured_is_named(measured):
    costs = [(f"convnet, width {width}", one.cost) for width, one in measured[1].items()]
    said = nothing_fits({"size_kb": 5.0, "latency_ms": 1e-6}, costs)
    for name in ("size_kb", "latency_ms"):
        which, cost = min(costs, key=lambda one, name=name: one[1][name])
        assert f"the smallest {name} is {cost[name]:.3g} ({which})" in said
    assert "of 2 exports measured, the smallest size_kb is" in said


def test_in_8_bits_it_costs_what_the_trained_file_will_and_the_ledger_keeps_both_apart(jobs, measured, tmp_path):
    job, (path, float32) = jobs[24], measured
    with Ledger(path) as ledger:
        small = cost_of(job, candidate_of(job), ledger, ("size_kb", "macs", "parameters"), format="onnx-int8")
        assert cost_of(job, candidate_of(job), ledger, ALL) == float32[24]
    assert (small.architecture, small.cost["macs"]) == (float32[24].architecture, float32[24].cost["macs"])
    assert small.cost["size_kb"] < 0.6 * float32[24].cost["size_kb"]
    arms = the_arms(job, the_teacher(job), None)
    trained = train_member(job, arms["student"], job.recipe.seed)
    file, _ = rounded(job, trained.model, tmp_path, "onnx-int8")
    assert file.stat().st_size == 1000 * small.cost["size_kb"]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["key"]["precision"] for line in lines] == ["float32"] * (len(lines) - 1) + ["onnx-int8"]
