"""A recipe's codec, from the teacher to a gradient."""

import pytest
import torch

from limbeck.errors import BadInput
from limbeck.interfaces import DenseLogits, Sampled, Target, TopK
from limbeck.objectives.modules import KD
from limbeck.pipeline import stages
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.sections import codec as recipe_codecs
from limbeck.targets.codecs import SampleCodec, TopKCodec, bytes_per_target
from limbeck.targets.store.store import Store
from tests.helpers.tiny import job as tiny_job

# ------------------------------------------------------------------------------------------------ in a run


KINDS = {
    "int8": DenseLogits,
    "{topk: {k: 3}}": TopK,
    "{sample: {draws: 40, temperature: 4}}": Sampled,
    "{auto: {mean_kl: 0.05}}": None,  # the teacher's answers decide
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The tiny job's folder with its teacher, the logits it gives, and a batch of what the student sees."""
    out = tmp_path_factory.mktemp("codecs")
    job = tiny_job(out)
    with stages.claimed(out):
        teacher = the_teacher(job)
        dense = the_targets(job, teacher)
    return out, dense


@pytest.mark.parametrize("codec", KINDS)
def test_from_a_teacher_to_a_gradient(taught, codec):
    out, dense = taught
    job = tiny_job(out, f"targets.codec={codec}")
    with stages.claimed(out):
        store = the_targets(job, the_teacher(job))
    assert isinstance(store, Store)
    assert store.path != dense.path
    assert Store.open(store.path, expect={"codec": {"name": store.codec.name, "settings": dict(store.codec.settings)}})
    with pytest.raises(BadInput, match="the codec"):
        Store.open(store.path, expect={"codec": {"name": "dense", "settings": {}}})
    task = job.task
    index_B = torch.arange(64)
    batch = task.batch(task.pool, index_B, index_B % 2, job.recipe.views)
    answer = store.gather(batch.ids, batch.view)
    kind = KINDS[codec] or store.codec.kind
    assert type(answer) is kind
    student = job.student(0)
    terms, gradients = [], []
    for target in (answer, dense.gather(batch.ids, batch.view)):
        student.zero_grad()
        term = KD(4.0)(task.forward(student.eval(), batch), Target((target,)), batch)["kd"]
        (term.total / term.count).backward()
        terms.append(term.total / term.count)
        gradients.append(
            torch.cat([weight.grad.flatten() for weight in student.parameters() if weight.grad is not None])
        )
    alike = torch.cosine_similarity(*gradients, dim=0)
    assert alike > {TopK: 0.5, Sampled: 0.9, DenseLogits: 0.98}[kind]
    if codec == "int8":
        torch.testing.assert_close(*terms, rtol=1e-2, atol=1e-4)
    elif kind is TopK:
        assert 0 < terms[0] <= terms[1] * 1.001  # coarser: it says less
    manifest = store.manifest["codec"]
    assert manifest["name"] == store.codec.name != "auto"
    assert manifest["bytes_per_target"] == bytes_per_target(store.codec, 10)
    if "auto" in codec:
        assert manifest["error"]["mean_kl"] <= 0.05
        assert the_targets(job, the_teacher(job)).path == store.path  # finished: it is not asked again


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["targets.codec={topk: {k: 11}}"], "targets.codec.topk: k is 11, and there are 10 classes"),
        (["targets.codec={sample: {temperature: 2}}"], "the draws hold at 2, and kd uses 4"),
        (["targets.codec={topk: {k: 2}}", "objective={dist: {}}"], "dist needs the logits of all classes"),
        (["targets.codec={topk: {k: 2}}", "targets.average=true"], "targets.average"),
        (["targets.codec=topk"], r"'topk' has settings: \{topk: \{k: 8\}\}"),
        (["targets.codec=int9"], "'int9' is not one of dense, int8.* Did you mean 'int8'"),
        (["targets.codec={topk: {kk: 2}}"], "targets.codec.topk.kk: no such field. Did you mean 'k'"),
        (["targets.codec={topk: {k: 2}, auto: {}}"], "one of topk, sample, hypotheses and auto"),
        (["targets.codec={sample: {proposal: 1, temperature: 4}}"], "Give a proposal above the temperature"),
        (["targets.codec={sample: {draws: 300}}"], "targets.codec.sample.draws: 300 was given; it must be at most 255"),
    ],
)
def test_a_codec_that_does_not_fit_is_refused_before_the_teacher_is_asked(tmp_path, overrides, words):
    with pytest.raises(BadInput, match=words):
        tiny_job(tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


def test_a_recipes_defaults_are_the_codecs():
    assert TopKCodec(**recipe_codecs.TopK().model_dump()) == TopKCodec(8)
    assert SampleCodec(**recipe_codecs.Sample().model_dump()) == SampleCodec()
