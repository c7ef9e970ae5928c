"""What every task is held to, whoever wrote its modality: written to be derived from.

A class of tests that derives from :class:`Battery`, with ``task`` and a fixture ``recipe`` (of a small data set and models that
cost nothing to speak of, at their defaults otherwise), proves a modality whole: its folder, its recipe, its task, its models.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from limbeck.deploy import metadata
from limbeck.deploy.export import Exporter
from limbeck.deploy.formats import FORMATS
from limbeck.deploy.graphs import of_module
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.deploy.standalone import write_standalone
from limbeck.errors import BadInput
from limbeck.evaluation.kinds import KINDS
from limbeck.interfaces import RaggedLogits
from limbeck.interfaces.modality import Modality
from limbeck.interfaces.task import Task
from limbeck.modalities import TASKS, modality_of, outline_of, part_of, recipe_class
from limbeck.models.identity import identity
from limbeck.pipeline.formats import captured
from limbeck.recipe import read as recipe_file
from limbeck.report.shown import Shown
from limbeck.sections.recipe import Recipe
from limbeck.training.loop import on_validation

LITERT = {"ai_edge_litert"}  # which is imported where a file of that format is asked
# What a script that stands alone may import beside Python's own.
ALONE = {"numpy", "onnxruntime", "PIL", "tokenizers"} | LITERT
SERVED = {"driving", "image", "speech", "text"}


class Battery:
    """The claims."""

    task: str

    @pytest.fixture(scope="class")
    def recipe(self, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
        """A small recipe of the task."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    def opened(self, recipe: Recipe) -> Opened:
        """Its data, models and task."""
        return Opened(recipe)

    # --- the folder, without torch

    def test_the_outline_says_everything_and_its_smallest_recipe_is_right(self) -> None:
        outline = outline_of(self.task)
        said = (outline.title, outline.about, outline.article, outline.example, outline.examples, outline.look_first)
        assert all(said)
        assert outline.about.endswith(".")
        assert not Path(outline.student_file).is_absolute()
        read = recipe_file.from_dict({"task": self.task, **outline.smallest})
        assert type(read) is recipe_class(self.task)
        assert read.task == self.task
        if outline.students:
            assert read.student.model in outline.students

    def test_what_the_pipeline_reads_of_any_recipe_is_there(self, recipe: Recipe) -> None:
        for field in ("name", "config", "train", "validation", "test", "group", "transfer"):
            assert hasattr(recipe.data, field), field
        assert type(recipe.views)() == type(recipe).model_fields["views"].default, "nothing said is nothing varied"
        assert isinstance(recipe.views.mixes, tuple)
        assert isinstance(recipe.teacher.title, str)
        assert recipe.teacher.opaque is None or isinstance(recipe.teacher.opaque, str)
        assert isinstance(recipe.student.knobs, dict)
        again = recipe_file.from_dict(recipe.model_dump(mode="json"))
        assert again == recipe

    def test_its_modules_have_the_functions_that_are_called(self) -> None:
        wanted = {
            "contradictions": {"contradictions": ["recipe"], "look_for": ["recipe"]},
            "knobs": {"knobs": ["recipe"]},
            "draft": {"plainly": ["teacher", "data"], "draft": ["task", "teacher", "data", "student", "given"]},
            "modality": {
                name: [one for one in inspect.signature(function).parameters if one != "self"]
                for name, function in vars(Modality).items()
                if inspect.isfunction(function) and not name.startswith("_")
            },
        }
        for part, functions in wanted.items():
            module = part_of(self.task, part)
            for name, parameters in functions.items():
                assert list(inspect.signature(getattr(module, name)).parameters) == parameters, f"{part}.{name}"

    def test_whatever_a_knob_may_be_is_right_in_the_recipe(self, recipe: Recipe) -> None:
        knobs = part_of(self.task, "knobs").knobs(recipe)
        assert any(path.startswith("student.") for path in knobs), "a search has students to choose among"
        for path, knob in knobs.items():
            for value in knob.choices or (knob.low, knob.high):
                assert knob.holds(value)
                values = recipe_file.apply_overrides(recipe.model_dump(mode="json"), [f"{path}={json.dumps(value)}"])
                read = recipe_file.from_dict(values)
                found = read.model_dump(mode="json")
                for part in path.split("."):
                    found = found[part]
                assert found == json.loads(json.dumps(value)), path

    def test_nothing_is_plainly_of_two_modalities(self) -> None:
        smallest = outline_of(self.task).smallest
        teacher = str(smallest["teacher"].get("model"))
        plainly = {TASKS[one]: part_of(one, "draft").plainly(teacher, smallest["data"]["name"]) for one in TASKS}
        assert [folder for folder, said in plainly.items() if said] == [TASKS[self.task]]

    def test_predict_stands_alone(self, tmp_path: Path) -> None:
        module = part_of(self.task, "predict")
        assert (module.METADATA_KEY, module.SCHEMA_VERSION) == (metadata.METADATA_KEY, metadata.SCHEMA_VERSION)
        assert isinstance(module.FILES, bool)
        for name, least in (("predict", 3), ("table", 1), ("plain", 1)):
            assert len(inspect.signature(getattr(module, name)).parameters) >= least
        assert imported(module, tmp_path) <= ALONE

    def test_what_a_server_asks_of_it_stands_alone(self, tmp_path: Path) -> None:
        if TASKS[self.task] not in SERVED:
            pytest.skip("it is not served")
        module = part_of(self.task, "serve")
        assert (isinstance(module.FILES, bool), issubclass(module.TooLarge, ValueError)) == (True, True)
        assert all(isinstance(word, str) for word in (module.EXAMPLE, module.MEASURE, *module.NEEDS))
        for name, takes in (("opened", 2), ("beside", 1), ("read", 3), ("ask", 2), ("told", 3), ("sureness", 2)):
            assert len(inspect.signature(getattr(module, name)).parameters) == takes
        assert imported(module, tmp_path) - LITERT == {{"pillow": "PIL"}.get(one, one) for one in module.NEEDS}

    # --- data and task

    def test_the_splits_are_whole_and_the_test_split_shut(self, opened: Opened) -> None:
        splits = opened.splits
        assert not splits.test.opened
        answers = splits.answers
        assert answers.kind in KINDS
        assert answers.width == len(answers.names) > 0
        assert splits.fingerprint
        assert splits.labelled
        assert not torch.isin(splits.train.ids, splits.validation.ids).any()
        assert len(modality_of(opened.recipe).load(opened.recipe).train) == len(splits.train)
        for columns in opened.modality.origins(opened.recipe, splits).values():
            assert len({len(column) for column in columns.values()}) == 1
        facts = json.loads(json.dumps(opened.modality.data_facts(splits, opened.task)))
        assert isinstance(facts["about"], str)

    def test_the_task_has_all_that_is_asked_of_one(self, opened: Opened) -> None:
        for name in (*Task.__annotations__, *(name for name in vars(Task) if not name.startswith("_"))):
            assert hasattr(opened.task, name), name
        assert opened.task.name == self.task
        assert opened.task.answers == opened.splits.answers
        assert len(opened.task.pool) >= len(opened.task.train) == len(opened.splits.train)
        for sees in (None, opened.task.teacher_sees):
            assert json.loads(json.dumps(opened.task.input_facts(sees))) is not None

    def test_a_batch_is_a_pure_function_of_its_examples_and_views(self, opened: Opened) -> None:
        task, views = opened.task, opened.recipe.views
        index_B, view_B = torch.tensor([3, 0, 5, 1]), torch.tensor([0, 2, 1, 2])
        batch = task.batch(task.pool, index_B, view_B, views)
        assert torch.equal(batch.ids, task.pool.ids[index_B])
        assert torch.equal(batch.view, view_B)
        same(task.batch(task.pool, index_B, view_B, views), batch)
        # in other company, an example is what it was
        answer_B, alone_B = (
            opened.answer(task.batch(task.pool, index_B[rows], view_B[rows], views))
            for rows in (slice(None), slice(2, 3))
        )
        torch.testing.assert_close(answer_B[2], alone_B[0], atol=1e-4, rtol=1e-4)

    def test_an_epoch_is_every_example_once_and_its_parts_are_its_batches(self, opened: Opened) -> None:
        task = opened.task
        source = task.source(task.train, views=opened.recipe.views, seed=1, batch_size=max(1, len(task.train) // 3))
        steps = source.steps_per_epoch()
        batches = [source.next(step, opened.student) for step in range(steps, 2 * steps)]
        assert torch.cat([one.ids for one in batches]).sort().values.equal(task.train.ids.sort().values)
        parts = [source.next(steps, opened.student, part, 2) for part in (0, 1)]
        assert torch.equal(torch.cat([one.ids for one in parts]), batches[0].ids)
        assert all((one.view == 1).all() for one in batches)

    def test_answers_are_those_of_the_batch_each_once_and_leave_the_model_as_it_was(self, opened: Opened) -> None:
        task, model = opened.task, opened.student.train()
        some = task.held_out.take(torch.arange(7))
        parts = list(task.answers_to(model, some))
        assert all(module.training for module in model.modules())
        places = torch.cat([index_B for index_B, _ in parts])
        assert places.sort().values.tolist() == list(range(7))
        answers = in_order(places, [answer for _, answer in parts])
        assert all(answer.dtype == torch.float32 for answer in answers)
        assert all(answer.shape[-1] == task.answers.width for answer in answers)
        assert {answer.ndim for answer in answers} == {2 if task.answers.ragged else 1}
        figures = on_validation(task, model)
        assert list(figures) == [one.name for one in KINDS[task.answers.kind].FIGURES[:2]]
        assert all(map(math.isfinite, figures.values()))

    # --- models

    def test_students_are_made_by_their_seed_and_told_from_their_teacher(self, opened: Opened) -> None:
        first, again = opened.make(0), opened.make(0)
        probe = opened.task.probe(None)
        assert identity(first, probe) == identity(again, probe) != identity(opened.make(1), probe)
        assert identity(opened.teachers.model, opened.task.probe(opened.teachers.sees)) != identity(first, probe)
        opened.modality.check(first, opened.splits, "student")

    def test_a_model_that_does_not_answer_such_data_is_refused(self, opened: Opened) -> None:
        with pytest.raises(BadInput, match="student"):
            opened.modality.check(nn.Linear(7, 5), opened.splits, "student")
        with pytest.raises(BadInput, match="objective: pkd"):
            opened.modality.layers(nn.Linear(7, 5), "objective: pkd", "student")

    def test_a_teacher_stays_as_it_was(self, opened: Opened) -> None:
        before = copy.deepcopy(opened.teachers.model.state_dict())
        list(opened.task.answers_to(opened.teachers.model, opened.task.held_out.take(torch.arange(3)), as_teacher=True))
        opened.make(0)
        after = opened.teachers.model.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        assert all(isinstance(note, str) for note in opened.modality.notes_on(opened.student, opened.splits))

    def test_a_student_is_exported_and_its_file_says_what_it_takes(self, opened: Opened, tmp_path: Path) -> None:
        model, task, modality = opened.make(0).eval(), opened.task, opened.modality
        examples = opened.splits.validation
        exporter = Exporter(
            modality, task, outline_of(self.task), run="x", examples=examples, limits=opened.recipe.export
        )
        exported = exporter.export(model, "student", tmp_path)
        there = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
        assert set(exported.files) == there
        assert exported.facts["parity"]["n"] == len(modality.sample(examples))
        assert exported.facts["macs"] > 0
        for path in (exported.path, *exported.variants.values()):
            session, said = open_session(path), metadata.said_by(path)
            assert (said["name"], said["task"]) == ("x student", self.task)
            assert list(said["inputs"]) == [given.name for given in session.get_inputs()]
            for name, made in example_inputs(session, 3, 5).items():
                one = said["inputs"][name]
                assert str(made.dtype) == one["dtype"]
                assert list(made.shape) == [{"batch": 3, "length": 5}.get(side, side) for side in one["shape"]]
                if one["range"] != "normal":
                    assert one["range"][0] <= made.min() <= made.max() < one["range"][1]
            # a file that does not say it is measured all the same
            graph = onnx.load(path)
            del graph.metadata_props[:]
            silent = open_session(graph.SerializeToString())
            assert len(np.asarray(silent.run(None, example_inputs(silent, 3, 5))[0])) == 3
        # an exported model is asked in the examples' order, as it is where nothing was exported
        whole = modality.answered(
            {name: of_module(graph) for name, graph in modality.exportables(model, task, "student").items()},
            model,
            task,
            "student",
            examples,
        )
        places, answers = zip(*task.answers_to(model, examples), strict=True)
        expected = in_order(torch.cat(places), answers)
        torch.testing.assert_close(each(whole)[: len(expected)], expected, atol=1e-4, rtol=1e-4)
        assert all(map(math.isfinite, modality.measured(model, task, opened.splits).values()))

    def test_a_student_in_8_bits_answers_nearly_as_it_does(self, opened: Opened, tmp_path: Path) -> None:
        model, task, modality, small = opened.make(0).eval(), opened.task, opened.modality, FORMATS["onnx-int8"]
        graphs = modality.exportables(model, task, "student")
        calibration = captured(cast(Any, opened), graphs, model)
        asks = {}
        for name, graph in graphs.items():
            path = tmp_path / f"{name}{small.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            small.write(graph, path, calibration[name])
            asks[name] = small.ask(path)
        exact, ours = (
            modality.answered(one, model, task, "student", opened.splits.validation)
            for one in ({name: of_module(graph) for name, graph in graphs.items()}, asks)
        )
        exact, ours = (one if isinstance(one, Tensor) else one.logits for one in (exact, ours))
        assert ours.shape == exact.shape
        assert 0 < float((ours - exact).abs().max()) < 0.1 * float(exact.max() - exact.min())

    def test_an_example_can_be_shown_on_a_page(self, opened: Opened) -> None:
        assert isinstance(opened.modality.show(opened.splits.validation)(2), get_args(Shown))


class Opened:
    """A recipe's data, models and task, on the CPU."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.modality = recipe, modality_of(recipe)
        self.splits: Any = self.modality.load(recipe)
        self.teachers = self.modality.teachers_of(recipe, self.splits, trust_code=False)
        self.make = self.modality.student_of(recipe, self.splits, self.teachers, trust_code=False)
        self.student = self.make(0)
        task = self.modality.task_of(recipe, self.splits, self.teachers, torch.device("cpu"))
        self.task: Any = task.learnt_by(self.student)

    @torch.no_grad()
    def answer(self, batch: Any) -> list[Tensor]:
        """The student's to each example, at the positions that count, in evaluation mode."""
        output = self.task.forward(self.student.eval(), batch)
        answers: Any = output.logits if output.logits is not None else output.values
        return [one[mask] for one, mask in zip(answers, batch.mask)] if self.task.answers.ragged else list(answers)


def each(answer: Tensor | RaggedLogits) -> list[Tensor]:
    """The answer to each example."""
    return list(answer) if isinstance(answer, Tensor) else list(answer.logits.split(answer.lengths.tolist()))


def in_order(places: Tensor, parts: Sequence[Tensor | RaggedLogits]) -> list[Tensor]:
    """The answers of batches in the order of their examples."""
    answers = [one for part in parts for one in each(part)]
    return [answers[place] for place in places.argsort().tolist()]


def same(a: Any, b: Any) -> None:
    """Two batches are the same, to the bit."""
    for name, value in vars(a).items():
        other = getattr(b, name)
        pairs = value.items() if isinstance(value, dict) else [(name, value)]
        for key, one in pairs:
            two = other[key] if isinstance(value, dict) else other
            assert one is two is None or torch.equal(one, two), key


def imported(module: ModuleType, folder: Path) -> set[str]:
    """What a module imports beside Python's own once it is a script that stands alone, which imports nothing beside it."""
    write_standalone(module.__name__, folder / "script.py")
    found = set[str]()
    for node in ast.walk(ast.parse((folder / "script.py").read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ImportFrom) and node.level), "it imports what lies beside it"
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {one.name.split(".")[0] for one in node.names}
    return found - set(sys.stdlib_module_names)
