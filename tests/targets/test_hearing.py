"""What a CTC teacher heard: the search against all alignments, and transcripts kept, or found again in posteriors that were kept."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import Batch, DenseLogits, Hypotheses, Needs, RaggedLogits, TopK
from limbeck.objectives.modules import CTC, KD, CTCFrameKD, CTCSequenceKD
from limbeck.sections.targets import Targets
from limbeck.targets import hearing
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Dense, HypothesesCodec, SampleCodec, TopKCodec, codec_from
from limbeck.targets.codecs.fits_objective import misfit
from limbeck.targets.codecs.from_recipe import asked_codecs
from limbeck.targets.replay import replay
from limbeck.targets.stored_teacher import StoredTeacher
from tests.targets.store.test_ragged import IDENTITY

SYMBOLS, N = 4, 6
IDS_N = torch.tensor([70, 3, 41, 5, 900, 12])
LENGTHS = (5, 0, 7, 1, 4, 6)
BOTH = Needs(target=(DenseLogits, TopK, Hypotheses))


def logits_of(index_B):
    rows = [3 * torch.randn(LENGTHS[i], SYMBOLS, generator=torch.Generator().manual_seed(int(i))) for i in index_B]
    return RaggedLogits(torch.cat(rows), torch.tensor([len(row) for row in rows]))


def batch(index_B):
    lengths_B = torch.tensor([LENGTHS[i] for i in index_B])
    index_B = torch.tensor(index_B)
    mask = torch.arange(7) < lengths_B[:, None]
    return Batch(IDS_N[index_B], torch.zeros_like(index_B), None, None, mask)


def plain(heard, b):
    """Transcripts with weights, of one utterance."""
    rows = zip(heard.symbols[b].tolist(), heard.lengths[b].tolist(), heard.weights[b].tolist())
    return {tuple(symbols[:size]): weight for symbols, size, weight in rows if size >= 0}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 4), st.sampled_from([0.3, 3.0]))
def test_the_search_finds_the_most_probable_transcripts(seed, frames, best, scale):
    draw = torch.Generator().manual_seed(seed)
    chances = (scale * torch.randn(frames, 3, generator=draw, dtype=torch.float64)).softmax(-1).tolist()
    exact = {}
    for path in itertools.product(range(3), repeat=frames):
        said = tuple(one for one, _ in itertools.groupby(path) if one)
        exact[said] = exact.get(said, 0.0) + math.prod(row[one] for row, one in zip(chances, path))
    found = hearing.best_of(chances, best, beam=10_000, least=0.0)
    wanted = sorted(exact.items(), key=lambda one: -one[1])[:best]
    assert len(found) == len(wanted)
    largest = wanted[0][1]
    for heard, (_, chance) in zip(found, wanted):
        assert exact[heard.symbols] == pytest.approx(chance)
        assert heard.probability == pytest.approx(chance / largest)


def test_a_beam_is_narrow_and_a_long_recording_is_no_trouble():
    symbol, blank, either = [0.0005, 0.999, 0.0005], [0.999, 0.0005, 0.0005], [0.4, 0.6, 0.0]
    first, second = hearing.best_of([symbol, blank] * 500 + [either] * 1000, 2, beam=6)
    assert set(first.symbols) == set(second.symbols) == {1}
    assert first.probability == pytest.approx(1)  # of what is beyond any float: 0.6 ** 1000
    assert 0 < second.probability <= 1
    silent = hearing.hypotheses_of(RaggedLogits(torch.zeros(0, 3), torch.tensor([0])), 3, 4)
    assert (silent.lengths.tolist(), silent.weights.tolist()) == ([[0, -1, -1]], [[1, 0, 0]])


def test_transcripts_are_kept_and_read_again(tmp_path):
    codec = HypothesesCodec(best=3, longest=7, beam=8)

    def ask(index_B, view):
        return codec.flat(hearing.hypotheses_of(logits_of(index_B), codec.best, codec.beam), IDS_N[index_B])

    store = cast(
        tmp_path / "store", {**IDENTITY, "classes": SYMBOLS}, IDS_N, 1, ask, codec=codec, block_size=4, batch_size=2
    )
    assert store.codec == codec_from("hypotheses", codec.settings) == codec
    assert store.manifest["codec"]["bytes_per_target"] == 3 * (7 + 2 + 2)
    assert store.manifest["codec"]["error"]["n"] == 4  # the first block
    (kept,) = StoredTeacher(store)(batch([5, 1, 0]), CTCSequenceKD().needs).columns
    said = hearing.hypotheses_of(logits_of([5, 1, 0]), 3, 8)
    for b in range(3):
        assert plain(kept, b) == pytest.approx(plain(said, b), abs=1e-3)
    again = replay(store, ask, IDS_N, 6, 0)
    assert not len(again.differing)
    other = replay(store, lambda index_B, view: ask(index_B.flip(0), view), IDS_N, 6, 0)
    assert len(other.differing)
    with pytest.raises(
        BadInput, match=r"heard \d symbols in example id \d+, and the codec hypotheses keeps 2: give .*longest: \d"
    ):
        HypothesesCodec(best=1, longest=2).flat(said, IDS_N[[5, 1, 0]])


@pytest.mark.parametrize("codec", [Dense(), TopKCodec(3, (1.0,))])
def test_they_are_found_in_posteriors_that_were_kept(tmp_path, codec):
    store = cast(
        tmp_path / "store", {**IDENTITY, "classes": SYMBOLS}, IDS_N, 1, lambda index_B, view: logits_of(index_B),
        codec=codec, ragged=True, block_size=4, batch_size=2,
    )  # fmt: skip
    teacher = StoredTeacher(store)
    for index_B in ([5, 1, 0], [0, 2, 5]):  # what was searched before is not searched again
        posteriors, heard = teacher(batch(index_B), BOTH).columns
        said = hearing.hypotheses_of(logits_of(index_B), hearing.BEST, hearing.BEAM)
        for b in range(3):
            assert plain(heard, b) == pytest.approx(plain(said, b), abs=3e-2)
            assert posteriors.logits.shape[1] == 7
        alone = teacher(batch(index_B), CTCSequenceKD().needs)
        assert [type(column) for column in alone.columns] == [Hypotheses]


def test_what_is_kept_goes_by_what_is_learnt():
    def codec(objective, **targets):
        return asked_codecs(Targets(**targets), 29, 0, objective).codecs[0]

    assert codec(CTCSequenceKD() + CTC()) == HypothesesCodec()
    assert codec(CTCSequenceKD() + CTCFrameKD()) == codec(CTCFrameKD() + CTC()) == Dense()
    assert asked_codecs(Targets(), 300, 0, CTCSequenceKD()).codecs[0] == HypothesesCodec(wide=True)
    assert misfit(HypothesesCodec(), CTCFrameKD()) == (
        "targets.codec: ctc_frame_kd needs the logits of all classes, and the codec hypotheses does not keep them. Take the codec "
        "dense or int8, or one of the objectives that learn from hypotheses: ctc_sequence_kd."
    )
    assert "in which transcripts could be found" in str(misfit(SampleCodec(), CTCSequenceKD()))
    assert "its mean over views is no answer" in str(misfit(Dense(), CTCSequenceKD(), average=True))
    assert misfit(TopKCodec(4), CTCSequenceKD() + CTCFrameKD()) is None
    assert "kd and forward_kl" in str(misfit(SampleCodec(), KD(1.0) + CTCFrameKD()))
