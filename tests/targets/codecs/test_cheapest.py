"""What a codec costs is measured, and the cheapest that is exact enough is taken."""

import json
import math

import pytest

from limbeck.errors import BadInput
from limbeck.interfaces import TopK
from limbeck.objectives.modules import DIST, KD
from limbeck.targets.codecs import Dense, Int8, SampleCodec, TopKCodec, bytes_per_target, codec_error
from limbeck.targets.codecs.cheapest import candidates, choose
from tests.helpers.codec_rows import kept, normal, rows_of, zipf
from tests.helpers.codecs_of_all_kinds import coarse

# ------------------------------------------------------------------------------------------------ what it costs


def test_the_measured_error_is_the_divergence_it_says():
    logits_NC = normal(70, 20, scale=2)
    rows = rows_of(70)
    p = logits_NC.log_softmax(1)
    q = kept(Int8(), logits_NC).logits.double().log_softmax(1)
    kl = (p.exp() * (p - q)).sum(1)
    error = codec_error(Int8(), logits_NC, rows)
    assert error["mean_kl"] == pytest.approx(float(kl.mean()), rel=1e-9)
    assert error["p99_kl"] == pytest.approx(float(kl.quantile(0.99)), rel=1e-9)
    assert (error["n"], error["temperature"]) == (70, 1.0)

    error, ids = codec_error(TopKCodec(3), logits_NC, rows), logits_NC.topk(3, dim=1).indices
    rest = coarse(logits_NC, ids, 1.0)[:, -1]
    spread = (rest[:, None] - math.log(17)).expand(-1, 20).scatter(1, ids, p.gather(1, ids))
    assert error["mean_kl"] == pytest.approx(float((p.exp() * (p - spread)).sum(1).mean()), rel=0.02)
    assert error["mean_rest"] == pytest.approx(float(rest.exp().mean()), rel=1e-9)
    assert error["mean_coarse_kl"] < 1e-6 < 0.01 < error["mean_kl"]
    assert error["argmax_agreement"] == 1.0
    assert codec_error(TopKCodec(20), logits_NC, rows)["mean_kl"] < 1e-6
    assert codec_error(TopKCodec(3, (2.0, 4.0)), logits_NC, rows)["temperature"] == 2.0

    few, many = (codec_error(SampleCodec(draws, width=20), logits_NC, rows) for draws in (20, 200))
    assert few["mean_total_variation"] > 3 * many["mean_total_variation"] > 3 * many["bias"]
    narrow = codec_error(SampleCodec(width=4), logits_NC, rows)
    assert narrow["mean_total_variation"] > many["mean_total_variation"]
    assert narrow["mean_classes"] <= 4 < many["mean_classes"]
    assert "mean_kl" not in few
    for each in (error, few):
        json.dumps(each, allow_nan=False)


def test_auto_takes_the_cheapest_that_is_exact_enough():
    logits_NC = zipf(2000, power=2.5).repeat(40, 1) + normal(40, 2000, scale=0.1)
    among = candidates(2000)
    sizes = [bytes_per_target(codec, 2000) for codec in among]
    assert sizes == sorted(sizes)
    assert among[-1] == Dense()
    errors = {codec: codec_error(codec, logits_NC, rows_of(40))["mean_kl"] for codec in among}
    for bound in (1.0, 0.1, 1e-2, 2e-4, 1e-5):
        codec, error = choose(among, bound, logits_NC, rows_of(40))
        assert error["mean_kl"] == errors[codec] <= bound
        assert all(errors[cheaper] > bound for cheaper in among[: among.index(codec)])
    assert choose(among, 1.0, logits_NC, rows_of(40))[0].kind is TopK
    with pytest.raises(BadInput, match=r"no codec keeps the mean KL at 1e-12 or less; dense, the most exact, has"):
        choose(among, 1e-12, logits_NC, rows_of(40))
    for codecs in (candidates(2000, DIST()), candidates(2000, KD(0.5)), candidates(2000, average=True)):
        assert codecs == (Int8(), Dense())
