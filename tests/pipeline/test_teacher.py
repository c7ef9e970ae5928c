"""The order of a teacher's classes is doubted where the examples speak against it; and soft targets that were given."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from torch import Tensor, nn

from limbeck.evaluation.doubts import at_chance, confused, taken_for
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.modalities.image.teachers import build_teachers
from limbeck.pipeline import casting
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.stages import claimed
from limbeck.pipeline.targets import learnt_from, the_targets
from limbeck.pipeline.teacher import beware, the_teacher
from limbeck.vision.convnet import ConvNet
from tests.helpers.given_teachers import Sigmoid, SigmoidConfig, pictures, splits_of
from tests.helpers.tiny import folder_of, job, recipe

transformers.AutoConfig.register("bert_of_probabilities", SigmoidConfig)


transformers.AutoModelForSequenceClassification.register(SigmoidConfig, Sigmoid)


# --- the order of the classes


def test_classes_known_by_position_only_are_noted(tmp_path: Path) -> None:
    state = ConvNet(3, 1, 3, width=4).state_dict()
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    section = f"teacher={{model: convnet, width: 4, weights: {tmp_path / 'w.safetensors'}}}"
    one = recipe(section)
    assert isinstance(one, ImageRecipe)
    (note,) = build_teachers(one, splits_of(), trust_code=False).notes
    assert "which class each output of convnet stands for: they are taken to be 'ant', 'bee', 'cat'" in note
    trained = recipe(section.replace("}", ", train: {}}"))
    assert isinstance(trained, ImageRecipe)
    assert build_teachers(trained, splits_of(), trust_code=False).notes == ()
    numbered = from_arrays(pictures(240), pictures(60, seed=1), pictures(30, seed=2))
    assert build_teachers(one, numbered, trust_code=False).notes == ()


def answers_of(pairs: dict[int, int], counts: list[int]) -> tuple[Tensor, Tensor]:
    """Logits that answer each class with its pair, else with itself."""
    labels_N = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    answers = torch.tensor([pairs.get(label, label) for label in labels_N.tolist()])
    return nn.functional.one_hot(answers, len(counts)).float(), labels_N


def test_a_swapped_or_rolled_order_is_named_and_nothing_else_is() -> None:
    names = [f"c{k}" for k in range(10)]
    said = confused(taken_for(*answers_of({3: 5, 5: 3}, [20] * 10)), names)
    assert said is not None
    assert "'c3' as 'c5' (20 of 20), 'c5' as 'c3' (20 of 20): its classes seem to stand in another order" in said
    rolled = confused(taken_for(*answers_of({k: (k + 1) % 10 for k in range(10)}, [20] * 10)), names)
    assert rolled is not None
    assert "and 5 more" in rolled
    assert confused(taken_for(*answers_of({}, [20] * 10)), names) is None
    # six examples are too few to say so, and one answer for all is no order
    assert confused(taken_for(*answers_of({0: 1, 1: 0}, [6] * 10)), names) is None
    assert confused(taken_for(*answers_of(dict.fromkeys(range(10), 7), [20] * 10)), names) is None
    lost = confused(taken_for(*answers_of({2: 4}, [20] * 10)), names)
    assert lost is not None
    assert "'c2' as 'c4' (20 of 20): look whether it knows that class" in lost


def test_being_at_chance_is_claimed_only_where_the_examples_show_it() -> None:
    assert at_chance(0.1, 0.1, 512)
    assert at_chance(0.0, 0.1, 20)
    assert at_chance(0.5, 0.5, 200)
    assert not at_chance(0.3, 0.25, 512)  # little, and more than chance
    assert not at_chance(0.9, 0.9, 20)  # of 20, 18 right: as good as the commonest, and may be better
    assert not at_chance(0.5, 0.5, 6)
    # of a teacher that is right on 80 % of two classes, a set of 10 is never enough to cry wolf by more than 1 in 100
    right = sum(
        torch.distributions.Binomial(10, torch.tensor(0.8)).log_prob(torch.tensor(float(k))).exp().item()
        for k in range(11)
        if at_chance(k / 10, 0.5, 10)
    )
    assert right < 0.01


DATA = ("data.limit=400", "targets.views=2", "train={epochs: 1, batch_size: 50}", "baseline.label_smoothing=0")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a trained teacher and its soft targets."""
    one = job(tmp_path_factory.mktemp("taught") / "run", *DATA, "teacher.train={epochs: 25, batch_size: 25}")
    with claimed(one.out):
        the_targets(one, the_teacher(one))
    return one.out


def weights_in(folder: Path, run: Path, order: list[int]) -> Path:
    """The run's teacher with its outputs in another order."""
    state = safetensors.torch.load_file(folder_of(run, "teacher") / "model.safetensors")
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][order].clone()
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(state, folder / "w.safetensors")
    return folder / "w.safetensors"


ROLLED, SWAPPED, RIGHT = [*range(1, 10), 0], [0, 1, 2, 5, 4, 3, 6, 7, 8, 9], list(range(10))


@pytest.mark.parametrize("order", [ROLLED, SWAPPED, RIGHT])
def test_cast_and_run_voice_the_same_doubts_before_the_teachers_pass(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], order: list[int]
) -> None:
    weights = weights_in(tmp_path / "w", taught, order)
    ready = (*DATA, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    casting.cast_recipe(recipe(*ready), tmp_path / "cast", threads=1)
    cast = " ".join(capsys.readouterr().err.split())
    one = job(tmp_path / "run", *ready)
    with claimed(one.out):
        said = beware(one, the_teacher(one))
    run = " ".join(capsys.readouterr().err.split())
    for words in (cast, run):
        assert "The teacher is right on" in words
        assert ("Look first at teacher.preprocess" in words) == (order is ROLLED)
        assert ("stand in another order than the data's, so bring" in words) == (order is not RIGHT)
        assert ("'3' as '5'" in words) == (order is SWAPPED)
    assert bool(said) == (order is not RIGHT)


# --- soft targets that were given


def test_with_given_soft_targets_nothing_is_said_of_a_teacher_that_was_not_asked(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*DATA, f"targets={{store: {folder_of(taught, 'targets') / 'store'}}}")
    weights = folder_of(taught, "teacher") / "model.safetensors"
    same = job(tmp_path / "same", *given, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    with claimed(same.out):
        teacher = the_teacher(same)
        assert learnt_from(same, the_targets(same, teacher), teacher.identity)
    # another teacher, which is trained and not asked
    other = pipeline.run(recipe(*given), out=tmp_path / "other", threads=1)
    assert "soft targets: 2 views of 400 examples, as given" in capsys.readouterr().err
    assert other["learnt_from_teacher"] is False
    assert other["ratios"]["accuracy_kept"] is None
    assert other["student_over_teacher_seconds"] is None
    assert "targets" not in other["timings"]
    page = (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert "learnt from soft targets that were given, which nothing says are the teacher" in page
    assert "of the teacher's accuracy" not in page
    assert "counted in" not in page


def test_given_soft_targets_in_another_order_are_doubted(taught: Path, tmp_path: Path) -> None:
    weights = weights_in(tmp_path / "w", taught, ROLLED)
    ready = (*DATA, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    one = job(tmp_path / "rolled", *ready)
    with claimed(one.out):
        store = the_targets(one, the_teacher(one))
    assert store is not None
    told = job(tmp_path / "run", *DATA, f"targets={{store: {store.path}}}")
    with claimed(told.out):
        said = beware(told, the_teacher(told))
    assert "targets.store: the teacher is no better on training examples" in said[0]
    assert "another order" in said[1]
    right = job(tmp_path / "fine", *DATA, f"targets={{store: {folder_of(taught, 'targets') / 'store'}}}")
    with claimed(right.out):
        assert beware(right, the_teacher(right)) == ()
