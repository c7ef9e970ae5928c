"""From a recipe's section to the objective, and what tells one objective from another."""

import json
import math

import pytest

from limbeck.errors import BadInput
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.objectives.catalogue.entry import FEATURES, LABELS, ONE_CLASS
from limbeck.objectives.modules import CRD, DKD, KD, CrossEntropy
from limbeck.objectives.schedules import Cosine, Linear, Step
from limbeck.pipeline.objective import objective_of, temperature_of
from limbeck.sections.objective import Objective
from tests.helpers.tiny import folder_of, job, train


def objective(**terms):
    """As a recipe would say it."""
    return objective_of(Objective.model_validate(terms))


def test_terms_keep_their_order_and_their_weights():
    one = objective(cross_entropy={"weight": 0.1}, dkd={}, kd={"temperature": 2, "weight": 0.9})
    assert [weight for weight, _ in one.weighted] == [0.9, 0.1, 1.0]
    assert [repr(part) for _, part in one.weighted] == [repr(KD(2.0)), repr(CrossEntropy()), repr(DKD())]


def test_schedules_are_the_objectives_own():
    warm = {"linear": {"start": 0, "end": 8, "epochs": 20}}
    cooling = {"cosine": {"start": 8, "end": 2}}
    ((factor, part),) = objective(dkd={"weight": warm, "temperature": cooling}).weighted
    assert factor == 1.0
    assert part.weight == Linear(0, 8, epochs=20)
    ((_, stepping),) = objective(kd={"weight": {"step": {"start": 1, "end": 0, "epochs": 2}}}).weighted
    assert stepping.weight == Step(1, 0, epochs=2)
    assert part.temperature == Cosine(8, 2)


def test_paths_and_settings_reach_the_module():
    terms = {
        "reviewkd": {"student": ["a", "b"], "teacher": ["c", "d"]},
        "crd": {"student": "a", "teacher": "b", "dim": 8},
    }
    one = objective(**terms)
    assert one.needs.features == ("a", "b")
    assert one.needs.teacher_features == ("b", "c", "d")
    assert one.relational
    (crd,) = (part for _, part in one.weighted if isinstance(part, CRD))
    assert (crd.dim, crd.negatives) == (8, 16384)


def test_what_an_objective_refuses_is_said_with_the_field():
    with pytest.raises(BadInput, match=r"^objective.fitnets: kernel must be odd"):
        objective(fitnets={"student": "a", "teacher": "b", "kernel": 2})
    with pytest.raises(BadInput, match=r"^objective.taid: t0 and t1"):
        objective(taid={"t0": 0.9, "t1": 0.5})


def test_another_weight_is_another_objective():
    told = [
        repr(one)
        for one in (
            objective(kd={"weight": 0.9}, cross_entropy={"weight": 0.1}),
            objective(kd={"weight": 0.8}, cross_entropy={"weight": 0.1}),
            objective(kd={"weight": {"linear": {"start": 0, "end": 0.9}}}, cross_entropy={"weight": 0.1}),
            0.5 * KD() + CrossEntropy(),
            KD() + CrossEntropy(),
            KD(),
        )
    ]
    assert len(set(told)) == len(told)
    again = objective(kd={"weight": 0.9}, cross_entropy={"weight": 0.1})
    assert repr(again) == told[0] == repr(0.9 * KD(4) + 0.1 * CrossEntropy())


def test_the_temperature_is_that_of_the_softened_logits():
    assert temperature_of(objective(cross_entropy={})) is None
    assert temperature_of(objective(dkd={}, kd={"temperature": 3})) == 3.0
    assert temperature_of(objective(dkd={"temperature": {"linear": {"start": 4, "end": 2}}})) == 2.0
    assert temperature_of(objective(mse_logits={}, dist={"temperature": 5})) == 5.0
    assert temperature_of(objective(crd={"student": "a", "teacher": "b"}, cross_entropy={})) is None
    assert temperature_of(KD(temperature=7)) == 7.0


PATHS = {
    "fitnets": {"student": ["stages.0", "fc:in"], "teacher": ["stages.0", "fc:in"]},
    "attention_transfer": {"student": ["stages.0", "stages.1"], "teacher": ["stages.0", "stages.1"]},
    "rkd": {"student": "fc:in", "teacher": "fc:in"},
    "crd": {"student": "fc:in", "teacher": "fc:in"},
    "reviewkd": {"student": ["stages.0", "stages.1"], "teacher": ["stages.0", "stages.1"]},
    "simkd": {"student": "stages", "teacher": "stages"},
    "hidden_states": {"student": ["blocks.0"], "teacher": ["blocks.1"]},
    "attention_maps": {"student": "blocks.{}.attn", "teacher": "blocks.{}.attn", "layers": [1, 2], "parts": "qkv", "heads": 2},
    "value_relations": {"student": ["blocks.0.attn"], "teacher": ["blocks.1.attn"], "parts": "qkv", "heads": 4},
}  # fmt: skip
VIT = {"model": "timm/vit_tiny_patch16_224", "img_size": 8, "patch_size": 4, "num_heads": 2}
TRANSFORMERS = [
    f"student={json.dumps(VIT | {'depth': 1, 'embed_dim': 8})}",
    f"teacher={json.dumps(VIT | {'depth': 2, 'embed_dim': 16, 'train': {'epochs': 1}})}",
]


OF_TEXT_MODELS = ("tiny_bert", "pkd", "minilm")  # which tests/objectives/test_transformer_methods.py holds to real ones
OF_IMAGES = [name for name in Objective.model_fields if CATALOGUE[name].reads in (None, ONE_CLASS)]


@pytest.mark.parametrize("name", [name for name in OF_IMAGES if name not in OF_TEXT_MODELS])
def test_every_objective_of_a_recipe_fits_a_real_teacher_and_student(name, tmp_path):
    # a job tries its objective on two examples before anything is trained
    entry = CATALOGUE[name]
    settings = PATHS.get(name, dict.fromkeys(entry.required, "stages"))
    models = TRANSFORMERS if "blocks" in str(settings) else ["teacher.width=6"]
    one = job(tmp_path, f"objective={json.dumps({name: settings})}", *models)
    ((_, part),) = one.objective().weighted
    assert type(part).__name__ == entry.module
    assert one.live is (FEATURES in entry.needs)
    assert one.asks_teacher is (entry.needs != (LABELS,))


def test_a_run_learns_by_a_sum_of_answers_and_features_with_a_warm_up(tmp_path):
    terms = {
        "taid": {"weight": {"linear": {"start": 0, "end": 1, "epochs": 1}}},
        "fitnets": {"student": "stages.0", "teacher": "stages.0", "weight": {"cosine": {"start": 1, "end": 0}}},
        "dist": {},
    }
    _, store, students = train(job(tmp_path, f"objective={json.dumps(terms)}"))
    assert store is None  # features are not stored
    losses = [record["train_loss"] for record in students["student"].history]
    assert all(math.isfinite(loss) for loss in losses)
    weights = students["student"].model.state_dict()
    assert weights.keys() == students["baseline"].model.state_dict().keys()  # nothing of the regressor is left
    ingredients = json.loads((folder_of(tmp_path, "student") / "ingredients.json").read_text())
    assert "TAIDSchedule(t0=0.4" in ingredients["objective"]
