"""What objectives are called: their names are part of those of finished stages, so each of these must stay to the letter."""

import json

import pytest

from limbeck.objectives import modules, schedules
from limbeck.pipeline.objective import objective_of
from limbeck.sections.objective import Objective

MODULES = {
    "KD()": "KD(temperature=4.0, weight=1.0)",
    "KD(temperature=2, weight=0.5)": "KD(temperature=2.0, weight=0.5)",
    "KD(temperature=Cosine(8, 2), weight=Step(1, 0, epochs=2))": "KD(temperature=Cosine(start=8, end=2, epochs=None), weight=Step(start=1, end=0, epochs=2))",
    "CrossEntropy()": "CrossEntropy(weight=1.0, label_smoothing=0.0)",
    "CrossEntropy(weight=2, label_smoothing=0.1, class_weights=(1, 2.5))": "CrossEntropy(weight=2.0, label_smoothing=0.1, class_weights=(1, 2.5))",
    "BinaryKD()": "BinaryKD(temperature=1.0, weight=1.0)",
    "BinaryKD(temperature=3, weight=2)": "BinaryKD(temperature=3.0, weight=2.0)",
    "BinaryCrossEntropy()": "BinaryCrossEntropy(weight=1.0, label_smoothing=0.0)",
    "BinaryCrossEntropy(label_smoothing=0.05, class_weights=(1, 1 / 3))": "BinaryCrossEntropy(weight=1.0, label_smoothing=0.05, class_weights=(1, 0.333333))",
    "DKD()": "DKD(alpha=1.0, beta=8.0, temperature=4.0, weight=1.0)",
    "DKD(alpha=2, beta=Linear(0, 8, epochs=20), temperature=1, weight=0.25)": "DKD(alpha=2.0, beta=Linear(start=0, end=8, epochs=20), temperature=1.0, weight=0.25)",
    "NKD()": "NKD(gamma=1.5, temperature=1.0, weight=1.0)",
    "NKD(gamma=2, temperature=3, weight=Linear(0, 1))": "NKD(gamma=2.0, temperature=3.0, weight=Linear(start=0, end=1, epochs=None))",
    "DIST()": "DIST(beta=1.0, gamma=1.0, temperature=4.0, weight=2.0)",
    "DIST(beta=2, gamma=0, temperature=1, weight=1)": "DIST(beta=2.0, gamma=0.0, temperature=1.0, weight=1.0)",
    "StandardizedKD()": "StandardizedKD(temperature=2.0, weight=9.0)",
    "StandardizedKD(temperature=3, weight=1)": "StandardizedKD(temperature=3.0, weight=1.0)",
    "TTM()": "TTM(gamma=0.1, weight=45.0)",
    "TTM(gamma=0.5, weight=1)": "TTM(gamma=0.5, weight=1.0)",
    "WTTM()": "WTTM(gamma=0.1, weight=45.0)",
    "WTTM(gamma=1, weight=Cosine(1, 0, epochs=3))": "WTTM(gamma=1.0, weight=Cosine(start=1, end=0, epochs=3))",
    "MSELogits()": "MSELogits(weight=1.0)",
    "MSELogits(weight=3)": "MSELogits(weight=3.0)",
    "PolicyKL()": "PolicyKL(teacher_temperature=0.01, temperature=1.0, weight=1.0)",
    "PolicyKL(teacher_temperature=1, temperature=2, weight=0.5)": "PolicyKL(teacher_temperature=1.0, temperature=2.0, weight=0.5)",
    "ForwardKL()": "ForwardKL(temperature=1.0, weight=1.0)",
    "ForwardKL(temperature=2, weight=3)": "ForwardKL(temperature=2.0, weight=3.0)",
    "ReverseKL()": "ReverseKL(temperature=1.0, weight=1.0)",
    "ReverseKL(temperature=2, weight=3)": "ReverseKL(temperature=2.0, weight=3.0)",
    "JSD()": "JSD(beta=0.5, temperature=1.0, weight=1.0)",
    "JSD(beta=0.1, temperature=2, weight=3)": "JSD(beta=0.1, temperature=2.0, weight=3.0)",
    "JSD(0.1, 2, 3)": "JSD(beta=0.1, temperature=2.0, weight=3.0)",
    "SkewForwardKL()": "SkewForwardKL(skew=0.1, temperature=1.0, weight=1.0)",
    "SkewForwardKL(skew=0.5, temperature=2, weight=3)": "SkewForwardKL(skew=0.5, temperature=2.0, weight=3.0)",
    "SkewReverseKL()": "SkewReverseKL(skew=0.1, temperature=1.0, weight=1.0)",
    "SkewReverseKL(skew=0.5, temperature=2, weight=3)": "SkewReverseKL(skew=0.5, temperature=2.0, weight=3.0)",
    "AlphaBeta()": "AlphaBeta(alpha=0.8, beta=0.3, temperature=4.0, weight=32.0)",
    "AlphaBeta(alpha=1, beta=0, temperature=1, weight=1)": "AlphaBeta(alpha=1.0, beta=0.0, temperature=1.0, weight=1.0)",
    "AdaptiveKL()": "AdaptiveKL(mu=0.5, temperature=1.0, weight=1.0)",
    "AdaptiveKL(mu=0.25, temperature=2, weight=3)": "AdaptiveKL(mu=0.25, temperature=2.0, weight=3.0)",
    "TotalVariation()": "TotalVariation(temperature=1.0, weight=1.0)",
    "TotalVariation(temperature=2, weight=3)": "TotalVariation(temperature=2.0, weight=3.0)",
    "TAID()": "TAID(\n  temperature=1.0, weight=1.0\n  (schedule): TAIDSchedule(t0=0.4, t1=1.0, alpha=0.0005, momentum=0.99)\n)",
    "TAID(t0=0.2, t1=0.8, alpha=1e-3, momentum=0.9, temperature=2, weight=3)": "TAID(\n  temperature=2.0, weight=3.0\n  (schedule): TAIDSchedule(t0=0.2, t1=0.8, alpha=0.001, momentum=0.9)\n)",
    "ULD()": "ULD(temperature=1.0, weight=1.0)",
    "ULD(temperature=2, weight=3)": "ULD(temperature=2.0, weight=3.0)",
    'FitNets("a", "b")': "FitNets(\n  student=('a',), teacher=('b',), weight=100.0, kernel=1\n  (regressors): ModuleList()\n)",
    'FitNets(["a", "b"], ["c", "d"], weight=1, kernel=3)': "FitNets(\n  student=('a', 'b'), teacher=('c', 'd'), weight=1.0, kernel=3\n  (regressors): ModuleList()\n)",
    'AttentionTransfer("a", "b")': "AttentionTransfer(student=('a',), teacher=('b',), weight=1000.0, power=2.0)",
    'AttentionTransfer(["a", "b"], ("c", "d"), weight=1, power=3)': "AttentionTransfer(student=('a', 'b'), teacher=('c', 'd'), weight=1.0, power=3.0)",
    'SimilarityPreserving("a", "b")': "SimilarityPreserving(student=('a',), teacher=('b',), weight=3000.0)",
    'SimilarityPreserving(["a"], ["b"], weight=Linear(0, 3000, epochs=5))': "SimilarityPreserving(student=('a',), teacher=('b',), weight=Linear(start=0, end=3000, epochs=5))",
    'RKD("a", "b")': "RKD(student=('a',), teacher=('b',), weight=1.0, rkd_distance=25.0, rkd_angle=50.0)",
    'RKD("a", "b", weight=2, distance=1, angle=0)': "RKD(student=('a',), teacher=('b',), weight=2.0, rkd_distance=1.0)",
    'CRD("a", "b")': "CRD(\n  student=('a',), teacher=('b',), weight=0.8, negatives=16384, temperature=0.07, momentum=0.5, dim=128\n  (embed): ModuleList()\n)",
    'CRD("a", "b", weight=1, negatives=4, temperature=0.1, momentum=0.9, dim=8)': "CRD(\n  student=('a',), teacher=('b',), weight=1.0, negatives=4, temperature=0.1, momentum=0.9, dim=8\n  (embed): ModuleList()\n)",
    'ReviewKD("a", "b")': "ReviewKD(\n  student=('a',), teacher=('b',), weight=5.0\n  (fusions): ModuleList()\n)",
    'ReviewKD(["a", "b"], ["c", "d"], weight=1)': "ReviewKD(\n  student=('a', 'b'), teacher=('c', 'd'), weight=1.0\n  (fusions): ModuleList()\n)",
    'SimKD("a", "b")': "SimKD(\n  student=('a',), teacher=('b',), weight=1.0, factor=2\n  (projector): Sequential()\n)",
    'SimKD("a", "b", weight=2, factor=4)': "SimKD(\n  student=('a',), teacher=('b',), weight=2.0, factor=4\n  (projector): Sequential()\n)",
    "HiddenStates(layers=(2, 4))": "HiddenStates(\n  match=mse, pairs=(('encoder.layer.0', 'encoder.layer.1'), ('encoder.layer.1', 'encoder.layer.3')), embeddings=None, weight=1.0\n  (maps): ModuleDict()\n)",
    'HiddenStates("blocks.{}", "layer.{}", layers=(2, 4), layer_map="last", match="cls", embeddings=("e", "f"))': "HiddenStates(\n  match=cls, pairs=(('blocks.1', 'layer.3'),), embeddings=('e', 'f'), weight=500.0\n  (maps): ModuleDict()\n)",
    'HiddenStates(layers=(2, 4), match="cosine", weight=3)': "HiddenStates(\n  match=cosine, pairs=(('encoder.layer.0', 'encoder.layer.1'), ('encoder.layer.1', 'encoder.layer.3')), embeddings=None, weight=3.0\n  (maps): ModuleDict()\n)",
    "AttentionMaps(heads=2, layers=(2, 4))": "AttentionMaps(match=mse, terms=('attention_maps',), heads=2, pairs=(('encoder.layer.0.attention.self', 'encoder.layer.1.attention.self'), ('encoder.layer.1.attention.self', 'encoder.layer.3.attention.self')), weight=1.0)",
    'AttentionMaps("a.{}", "b.{}", heads=4, layers=(2, 4), layer_map=[(0, 1)], match="kl", parts="qkv", teacher_parts=("q", "k", "v"), weight=2)': "AttentionMaps(match=kl, terms=('attention_maps',), heads=4, pairs=(('a.0', 'b.1'),), weight=2.0)",
    "ValueRelations(heads=2, layers=(2, 4))": "ValueRelations(terms=('relation_qq', 'relation_kk', 'relation_vv'), heads=2, pairs=(('encoder.layer.1.attention.self', 'encoder.layer.3.attention.self'),), weight=1.0)",
    'ValueRelations("a.{}", "b.{}", heads=4, layers=(2, 4), layer_map="uniform", relations=("qk", "vv"), parts="qkv", teacher_parts=("q", "k", "v"), weight=2)': "ValueRelations(terms=('relation_qk', 'relation_vv'), heads=4, pairs=(('a.0', 'b.1'), ('a.1', 'b.3')), weight=2.0)",
    "TinyBERT()": "TinyBERT(layer_map=uniform, weight=1.0)",
    'TinyBERT(layer_map="last", weight=2)': "TinyBERT(layer_map=last, weight=2.0)",
    "PKD()": "PKD(layer_map=uniform, weight=500.0)",
    "PKD(layer_map=[(0, 1)], weight=Linear(0, 500))": "PKD(layer_map=((0, 1),), weight=Linear(start=0, end=500, epochs=None))",
    "MiniLM()": "MiniLM(relations=('qq', 'kk', 'vv'), heads=None, layer_map=last, weight=1.0)",
    'MiniLM(relations=("qk",), heads=12, layer_map="uniform", weight=2)': "MiniLM(relations=('qk',), heads=12, layer_map=uniform, weight=2.0)",
    "0.9 * KD(temperature=4) + 0.1 * CrossEntropy()": "Sum(\n  weights=(0.9, 0.1)\n  (parts): ModuleList(\n    (0): KD(temperature=4.0, weight=1.0)\n    (1): CrossEntropy(weight=1.0, label_smoothing=0.0)\n  )\n)",
}

# what a recipe says, as JSON; the whole name, a line for each part
RECIPES = {
    '{"kd": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): KD(temperature=4.0, weight=1.0)\n  )\n)",
    '{"cross_entropy": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): CrossEntropy(weight=1.0, label_smoothing=0.0)\n  )\n)",
    '{"binary_kd": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): BinaryKD(temperature=1.0, weight=1.0)\n  )\n)",
    '{"binary_cross_entropy": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): BinaryCrossEntropy(weight=1.0, label_smoothing=0.0)\n  )\n)",
    '{"dkd": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): DKD(alpha=1.0, beta=8.0, temperature=4.0, weight=1.0)\n  )\n)",
    '{"nkd": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): NKD(gamma=1.5, temperature=1.0, weight=1.0)\n  )\n)",
    '{"dist": {}}': "Sum(\n  weights=(2.0,)\n  (parts): ModuleList(\n    (0): DIST(beta=1.0, gamma=1.0, temperature=4.0, weight=1.0)\n  )\n)",
    '{"standardized_kd": {}}': "Sum(\n  weights=(9.0,)\n  (parts): ModuleList(\n    (0): StandardizedKD(temperature=2.0, weight=1.0)\n  )\n)",
    '{"ttm": {}}': "Sum(\n  weights=(45.0,)\n  (parts): ModuleList(\n    (0): TTM(gamma=0.1, weight=1.0)\n  )\n)",
    '{"wttm": {}}': "Sum(\n  weights=(45.0,)\n  (parts): ModuleList(\n    (0): WTTM(gamma=0.1, weight=1.0)\n  )\n)",
    '{"mse_logits": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): MSELogits(weight=1.0)\n  )\n)",
    '{"forward_kl": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): ForwardKL(temperature=1.0, weight=1.0)\n  )\n)",
    '{"reverse_kl": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): ReverseKL(temperature=1.0, weight=1.0)\n  )\n)",
    '{"jsd": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): JSD(beta=0.5, temperature=1.0, weight=1.0)\n  )\n)",
    '{"skew_forward_kl": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): SkewForwardKL(skew=0.1, temperature=1.0, weight=1.0)\n  )\n)",
    '{"skew_reverse_kl": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): SkewReverseKL(skew=0.1, temperature=1.0, weight=1.0)\n  )\n)",
    '{"alpha_beta": {}}': "Sum(\n  weights=(32.0,)\n  (parts): ModuleList(\n    (0): AlphaBeta(alpha=0.8, beta=0.3, temperature=4.0, weight=1.0)\n  )\n)",
    '{"adaptive_kl": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): AdaptiveKL(mu=0.5, temperature=1.0, weight=1.0)\n  )\n)",
    '{"total_variation": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): TotalVariation(temperature=1.0, weight=1.0)\n  )\n)",
    '{"taid": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): TAID(\n      temperature=1.0, weight=1.0\n      (schedule): TAIDSchedule(t0=0.4, t1=1.0, alpha=0.0005, momentum=0.99)\n    )\n  )\n)",
    '{"fitnets": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(100.0,)\n  (parts): ModuleList(\n    (0): FitNets(\n      student=('a',), teacher=('b',), weight=1.0, kernel=1\n      (regressors): ModuleList()\n    )\n  )\n)",
    '{"attention_transfer": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(1000.0,)\n  (parts): ModuleList(\n    (0): AttentionTransfer(student=('a',), teacher=('b',), weight=1.0, power=2.0)\n  )\n)",
    '{"similarity_preserving": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(3000.0,)\n  (parts): ModuleList(\n    (0): SimilarityPreserving(student=('a',), teacher=('b',), weight=1.0)\n  )\n)",
    '{"rkd": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): RKD(student=('a',), teacher=('b',), weight=1.0, rkd_distance=25.0, rkd_angle=50.0)\n  )\n)",
    '{"crd": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(0.8,)\n  (parts): ModuleList(\n    (0): CRD(\n      student=('a',), teacher=('b',), weight=1.0, negatives=16384, temperature=0.07, momentum=0.5, dim=128\n      (embed): ModuleList()\n    )\n  )\n)",
    '{"reviewkd": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(5.0,)\n  (parts): ModuleList(\n    (0): ReviewKD(\n      student=('a',), teacher=('b',), weight=1.0\n      (fusions): ModuleList()\n    )\n  )\n)",
    '{"simkd": {"student": "a", "teacher": "b"}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): SimKD(\n      student=('a',), teacher=('b',), weight=1.0, factor=2\n      (projector): Sequential()\n    )\n  )\n)",
    '{"hidden_states": {"layers": [2, 4]}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): HiddenStates(\n      match=mse, pairs=(('encoder.layer.0', 'encoder.layer.1'), ('encoder.layer.1', 'encoder.layer.3')), embeddings=None, weight=1.0\n      (maps): ModuleDict()\n    )\n  )\n)",
    '{"attention_maps": {"heads": 2, "layers": [2, 4]}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): AttentionMaps(match=mse, terms=('attention_maps',), heads=2, pairs=(('encoder.layer.0.attention.self', 'encoder.layer.1.attention.self'), ('encoder.layer.1.attention.self', 'encoder.layer.3.attention.self')), weight=1.0)\n  )\n)",
    '{"value_relations": {"heads": 2, "layers": [2, 4]}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): ValueRelations(terms=('relation_qq', 'relation_kk', 'relation_vv'), heads=2, pairs=(('encoder.layer.1.attention.self', 'encoder.layer.3.attention.self'),), weight=1.0)\n  )\n)",
    '{"tiny_bert": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): TinyBERT(layer_map=uniform, weight=1.0)\n  )\n)",
    '{"pkd": {}}': "Sum(\n  weights=(500.0,)\n  (parts): ModuleList(\n    (0): PKD(layer_map=uniform, weight=1.0)\n  )\n)",
    '{"minilm": {}}': "Sum(\n  weights=(1.0,)\n  (parts): ModuleList(\n    (0): MiniLM(relations=('qq', 'kk', 'vv'), heads=None, layer_map=last, weight=1.0)\n  )\n)",
    '{"hidden_states": {"layers": [2, 4], "match": "cls"}}': "Sum(\n  weights=(500.0,)\n  (parts): ModuleList(\n    (0): HiddenStates(\n      match=cls, pairs=(('encoder.layer.0', 'encoder.layer.1'), ('encoder.layer.1', 'encoder.layer.3')), embeddings=None, weight=1.0\n      (maps): ModuleDict()\n    )\n  )\n)",
    '{"cross_entropy": {"weight": 0.1}, "dkd": {"weight": {"linear": {"start": 0, "end": 1, "epochs": 20}}}, "kd": {"temperature": {"cosine": {"start": 8, "end": 2}}, "weight": 0.9}}': "Sum(\n  weights=(0.9, 0.1, 1.0)\n  (parts): ModuleList(\n    (0): KD(temperature=Cosine(start=8.0, end=2.0, epochs=None), weight=1.0)\n    (1): CrossEntropy(weight=1.0, label_smoothing=0.0)\n    (2): DKD(alpha=1.0, beta=8.0, temperature=4.0, weight=Linear(start=0.0, end=1.0, epochs=20.0))\n  )\n)",
    '{"minilm": {}, "crd": {"student": "a", "teacher": "b", "dim": 8}, "taid": {"t0": 0.1}, "jsd": {"beta": 1, "weight": 2}, "alpha_beta": {"alpha": -1}}': "Sum(\n  weights=(2.0, 32.0, 1.0, 0.8, 1.0)\n  (parts): ModuleList(\n    (0): JSD(beta=1.0, temperature=1.0, weight=1.0)\n    (1): AlphaBeta(alpha=-1.0, beta=0.3, temperature=4.0, weight=1.0)\n    (2): TAID(\n      temperature=1.0, weight=1.0\n      (schedule): TAIDSchedule(t0=0.1, t1=1.0, alpha=0.0005, momentum=0.99)\n    )\n    (3): CRD(\n      student=('a',), teacher=('b',), weight=1.0, negatives=16384, temperature=0.07, momentum=0.5, dim=8\n      (embed): ModuleList()\n    )\n    (4): MiniLM(relations=('qq', 'kk', 'vv'), heads=None, layer_map=last, weight=1.0)\n  )\n)",
}


@pytest.mark.parametrize("call", MODULES)
def test_a_module_is_called_as_it_always_was(call):
    made = eval(call, {**vars(schedules), **{name: getattr(modules, name) for name in modules.__all__}})
    assert repr(made) == MODULES[call]


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_asks_for_is_called_as_it_always_was(recipe):
    assert repr(objective_of(Objective.model_validate(json.loads(recipe)))) == RECIPES[recipe]
