"""The catalogue says what the classes, the functions and the recipe say."""

import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import limbeck
from limbeck.interfaces import DenseLogits, Features, Hypotheses, Values
from limbeck.objectives import functional, modules, stub
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.objectives.catalogue.entry import FEATURES, LABELS, LOGITS, SPREAD, TOKENS, VALUES
from limbeck.pipeline.objective import objective_of
from limbeck.recipe import objectives_reference
from limbeck.recipe.sentences import section_of
from limbeck.sections.objective import Objective

STUB = Path(modules.__file__).with_suffix(".pyi")
PAGE = Path(__file__).parents[2] / "docs" / "objectives.md"
MODULES = {entry.name: entry for entry in CATALOGUE.values() if entry.module is not None}
REQUIRED = {"student": "stages.1", "teacher": "stages.2", "heads": 2}
CHANGED = {
    "layer_map": "last", "match": "cosine", "embeddings": ("a", "b"), "layers": (2, 4), "parts": "qkv",
    "teacher_parts": "qkv", "relations": ("vv",), "heads": 4, "class_weights": (1.0, 2.0),
    "keep_blanks": 1,
}  # fmt: skip
# Where there are no templates, depths and maps of layers say nothing.
TEMPLATED = {"hidden_states": "layer.{}", "attention_maps": "layer.{}", "value_relations": "layer.{}"}

# Where the module itself takes the weight of the paper whose way of matching is taken.
LEFT_OPEN = {"hidden_states": {"weight": None}}


def made(entry, **settings):
    """The module, with what it requires."""
    given = {name: REQUIRED[name] for name in entry.required}
    if entry.name in TEMPLATED:
        given |= {"layers": (2, 2)}
    return getattr(modules, entry.module)(**{**given, **settings})


def own_settings(function):
    """Parameters by name, but for those that every function takes, and those that have no default."""
    parameters = inspect.signature(function).parameters.values()
    common = ("labels", "mask", "self")
    return {p.name: p.default for p in parameters if p.name not in common and p.default is not p.empty}


def test_every_module_and_no_other_is_listed():
    listed = sorted(entry.module for entry in MODULES.values())  # pyright: ignore[reportArgumentType]
    assert listed == sorted(set(modules.__all__) - {"Objective", "Sum"})
    assert {entry.name: key for key, entry in CATALOGUE.items()} == {key: key for key in CATALOGUE}


def test_what_editors_and_type_checkers_are_told_is_what_the_catalogue_says():
    command = "python -m limbeck.objectives.stub > src/limbeck/objectives/modules/__init__.pyi"
    assert STUB.read_text(encoding="utf-8") == stub.stub(), f"run: {command}"


def test_the_front_door_offers_every_objective_without_importing_torch_for_their_names():
    names = {entry.module for entry in MODULES.values()}
    assert names <= set(limbeck.__all__) & set(dir(limbeck))
    assert all(getattr(limbeck, name) is getattr(modules, name) for name in names)  # pyright: ignore[reportArgumentType]
    code = "import sys, limbeck; print('JSD' in dir(limbeck), 'KD' in limbeck.__all__, 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True True False\n"


def test_a_module_that_is_made_is_like_one_that_is_written():
    assert str(inspect.signature(modules.JSD)) == "(beta=0.5, temperature=1.0, weight=1.0)"
    assert repr(pickle.loads(pickle.dumps(modules.JSD(0.1, weight=2)))) == "JSD(beta=0.1, temperature=1.0, weight=2.0)"
    with pytest.raises(TypeError, match=r"^JSD: got an unexpected keyword argument 'gamma'$"):
        modules.JSD(gamma=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"^AttentionTransfer: missing a required argument: 'teacher'$"):
        modules.AttentionTransfer("a")  # pyright: ignore[reportCallIssue]

    class Mine(modules.JSD):
        def __init__(self, share):
            super().__init__(beta=share)

    assert (repr(Mine(0.25)), list(inspect.signature(Mine).parameters)) == (
        "Mine(beta=0.25, temperature=1.0, weight=1.0)", ["share"],
    )  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_defaults_are_the_real_ones(name):
    entry = CATALOGUE[name]
    if entry.function is not None:
        assert callable(getattr(functional, entry.function))
    if entry.module is None:
        assert own_settings(getattr(functional, entry.function)) == dict(entry.defaults)  # pyright: ignore[reportArgumentType]
        return
    parameters = inspect.signature(getattr(modules, entry.module)).parameters
    assert own_settings(getattr(modules, entry.module)) == entry.defaults | LEFT_OPEN.get(name, {})
    assert [key for key, value in parameters.items() if value.default is value.empty] == list(entry.required)


@pytest.mark.parametrize("name", MODULES)
def test_needs_and_relations_are_the_modules(name):
    entry = MODULES[name]
    module = made(entry)
    kinds = {LABELS: module.needs.labels, LOGITS: DenseLogits in module.needs.target}
    kinds |= {VALUES: Values in module.needs.target, SPREAD: module.needs.spread}
    kinds |= {FEATURES: Features in module.needs.target, TOKENS: Hypotheses in module.needs.target}
    assert [kind for kind, needed in kinds.items() if needed] == list(entry.needs)
    assert module.relational is entry.relational
    assert module.reads == entry.reads


@pytest.mark.parametrize(
    ("name", "setting"), [(entry.name, setting) for entry in MODULES.values() for setting in entry.defaults]
)
def test_a_setting_changes_the_name_of_the_stage_that_it_enters(name, setting):
    entry = MODULES[name]
    if setting in ("layers", "layer_map") and name in TEMPLATED:
        templates = {"student": TEMPLATED[name], "teacher": TEMPLATED[name]}
        one, other = made(entry, layers=(2, 4), **templates), made(entry, **{"layers": (1, 4), **templates})
        if setting == "layer_map":
            other = made(entry, layers=(2, 4), layer_map=[(0, 0)], **templates)
        assert repr(one) != repr(other)
        return
    default, other = entry.defaults[setting], CHANGED.get(setting)
    if name in TEMPLATED and setting in ("student", "teacher"):
        other = "other.{}"
    if name == "attention_maps" and setting == "match":
        other = "kl"
    if name == "minilm" and setting == "layer_map":
        other = "uniform"
    if isinstance(default, float | int):
        other = default / 2 if default else 0.5
        other = max(3, int(other)) if isinstance(default, int) else other
    if setting == "weight" and default is None:
        other = 3.0
    one, other = made(entry), made(entry, **{setting: other})
    assert (repr(one), one.needs) != (repr(other), other.needs)  # paths are named beside the objective


@pytest.mark.parametrize("name", Objective.model_fields)
def test_a_section_of_a_recipe_gives_the_module_with_the_same_defaults(name):
    entry = CATALOGUE[name]
    section = section_of(Objective.model_fields[name].annotation)
    assert section is not None
    assert section.__name__ == entry.module
    defaults = {key: field.default for key, field in section.model_fields.items() if not field.is_required()}
    assert defaults == entry.defaults
    assert [key for key, field in section.model_fields.items() if field.is_required()] == list(entry.required)
    given = {key: REQUIRED[key] for key in entry.required} | ({"layers": (2, 2)} if name in TEMPLATED else {})
    ((weight, module),) = objective_of(Objective(**{name: section(**given)})).weighted
    assert weight == entry.defaults["weight"]
    assert repr(module) == repr(made(entry, weight=1.0))


@pytest.mark.parametrize("name", Objective.model_fields)
def test_the_recipe_line_can_be_run_and_holds_what_the_text_advises(name):
    entry = CATALOGUE[name]
    facts = dict(objectives_reference._facts(entry))
    line = facts["recipe"].replace("...", "2" if "heads" in entry.required else "stages")
    (field, terms), *others = yaml.safe_load(line).items()
    assert (field, others) == ("objective", [])
    objective = Objective.model_validate(terms)
    objective_of(objective)
    assert next(iter(terms)) == name
    advised = re.search(
        r"[Cc]ross-entropy(?: of weight)? (\d(?:\.\d)?)", f"{entry.beware} {entry.when}".split("Give ")[-1]
    )
    if name != "cross_entropy" and "ross-entropy" in entry.when:
        assert objective.cross_entropy is not None
    if advised is not None and name != "cross_entropy":
        assert terms["cross_entropy"]["weight"] == float(advised[1])
    weights = [term.weight for term in objective.terms.values()]
    assert any(not isinstance(weight, float) for weight in weights) == ("warm" in entry.when)
    if entry.needs == (FEATURES,) and name != "simkd":  # nothing else would train the classifier
        assert objective.cross_entropy is not None


def test_hidden_states_at_the_first_position_have_the_weight_of_their_paper():
    def given(text):
        return Objective.model_validate_json(f'{{"hidden_states": {text}}}', strict=True).hidden_states

    cls = given('{"match": "cls", "student": ["a"], "teacher": ["b"]}')
    assert (cls.weight, given("{}").weight) == (500.0, 1.0)
    assert given('{"match": "cls", "weight": 2}').weight == 2.0
    alone = modules.HiddenStates(layers=(2, 2), match="cls")
    assert alone.weight == cls.weight


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_said_is_short_and_whole(name):
    entry = CATALOGUE[name]
    assert "\n" not in entry.formula
    assert 1900 < entry.year < 2100
    assert entry.when.endswith(".")
    assert entry.beware == "" or entry.beware.endswith(".")
    assert not entry.title.endswith(".")


def test_the_committed_page_is_what_the_catalogue_says():
    written = PAGE.read_text(encoding="utf-8")
    assert written == objectives_reference.page(), (
        "run: python -m limbeck.recipe.objectives_reference > docs/objectives.md"
    )
    assert all(f"\n### `{name}`\n" in written for name in CATALOGUE)
