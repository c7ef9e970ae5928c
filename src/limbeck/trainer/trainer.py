"""Distillation in the ``Trainer`` of Hugging Face transformers: a person's own script, a few lines changed.

:class:`DistillationTrainer` takes the place of ``transformers.Trainer``; :func:`ask` asks a teacher once and keeps its
answers, so that any number of students learn from them without it. For sequence classifiers, one class a text.

Shapes: N examples, B batch, L positions, C classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import BadInput
from ..interfaces import Batch, DenseLogits, Output, Target, Teacher
from ..interfaces.task import Answers
from ..models.labels import map_labels
from ..nlp.extra import transformers
from ..objectives.modules import KD, CrossEntropy, Objective
from ..objectives.schedules import Progress
from ..targets.codecs.fits_objective import misfit
from ..targets.live_teacher import LiveTeacher
from ..targets.store.store import Store
from ..targets.stored_teacher import StoredTeacher
from ..training.dry_run import has_to_build
from .cast_dataset import EXAMPLE_ID, accepted, ask, ids_of

__all__ = ["EXAMPLE_ID", "DistillationTrainer", "ask"]

STATE = "objective.safetensors"  # in a checkpoint, of an objective that keeps something from step to step
# Before transformers had this flag, a loss for which it counted no items was divided by the accumulated batches.
_DIVIDES = not hasattr(transformers.Trainer, "loss_is_scaled_for_ga")


class DistillationTrainer(transformers.Trainer):
    """A ``transformers.Trainer`` whose loss is an objective of Limbeck, from a live or a stored teacher.

    In training the loss is the objective's; each of its terms is divided by the number of examples behind it over the
    whole step, whatever the number of accumulated batches and processes. Everything else is the Trainer's: evaluation
    reports what a plain one does, ``eval_loss`` being the model's own (cross-entropy with the labels), so that figures
    can be compared with those of the same script without a teacher.

    Args:
        given: what ``transformers.Trainer`` takes, as it takes it.
        teacher: a classifier, asked at every step with the student's tokens: it is put into evaluation mode, learns
            nothing, and is neither in the optimiser nor in a checkpoint. Or a store of its answers, or the path of one:
            rows are then told by the column ``example_id``, which :func:`ask` adds. Of several views, view 0 counts.
        objective: what the student is asked to match; ``0.9 * KD(temperature=2) + 0.1 * CrossEntropy()`` by default.

    Raises:
        BadInput: a row has no answer in the store; teacher and student know other classes; the objective matches inner
            layers; label smoothing or another loss is asked for beside the objective. Says so before training starts.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self, *given: Any, teacher: nn.Module | Store | str | Path, objective: Objective | None = None, **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self.objective = objective if objective is not None else 0.9 * KD(temperature=2.0) + 0.1 * CrossEntropy()
        _check_arguments(self)
        _check_objective(self.objective)
        self.objective.to(self.args.device)
        self.teacher, self._order = _teacher(self, teacher)
        self._counts: dict[str, Tensor] | None = None
        self._checked: Any = None
        if self.train_dataset is not None:
            self._check_rows()

    def get_train_dataloader(self) -> Any:
        """The Trainer's, over rows that all have an answer."""
        self._check_rows()
        return super().get_train_dataloader()

    def get_batch_samples(self, *given: Any, **named: Any) -> Any:
        """The batches of the next step, over all of which the examples behind each term are counted."""
        samples, items = super().get_batch_samples(*given, **named)
        counts: dict[str, Tensor] = {}
        for inputs in samples:
            for name, count in self.objective.counts(self._batch(inputs)).items():
                counts[name] = counts[name] + count if name in counts else count
        if self.accelerator.num_processes > 1:
            counts = {name: self.accelerator.reduce(count.float(), "sum") for name, count in counts.items()}  # type: ignore[misc]
        self._counts = {name: count.where(count > 0, 1) for name, count in counts.items()}
        self.objective.at(Progress(self.state.global_step, self._steps_per_epoch(), self.state.max_steps))
        return samples, items

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """In training the objective's loss; in evaluation the Trainer's own.

        ``num_items_in_batch`` counts labels, and is not used in training: examples without one count for the teacher's
        part of an objective and not for the labels', so each term has a count of its own.
        """
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch = self._batch(inputs)
        outputs = model(**batch.inputs)
        logits_BC = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
        terms = self.objective(Output(logits=logits_BC), self._answer(batch), batch)
        counts = self._counts if self._counts is not None else self.objective.counts(batch)
        loss = torch.stack([term.total / counts[name] for name, term in terms.items()]).sum()
        loss = loss * self.accelerator.num_processes  # whose gradients are averaged, whereas their shares add up
        if _DIVIDES and (not self.model_accepts_loss_kwargs or num_items_in_batch is None):
            loss = loss * self.current_gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *given: Any, **named: Any) -> Any:
        """The Trainer's; the model is not shown the ids."""
        return super().prediction_step(model, _without_ids(inputs), *given, **named)

    def _answer(self, batch: Batch) -> Target:
        """What the teacher says, its classes in the student's order; nothing where nobody asks."""
        needs = self.objective.needs
        if not needs.target:
            return Target()
        target = self.teacher(batch, needs)
        return target if self._order is None else Target((DenseLogits(target.get(DenseLogits).logits[:, self._order]),))

    def _batch(self, inputs: Mapping[str, Any]) -> Batch:
        given = _without_ids(inputs)
        labels = given.pop("labels", None)
        ids_B = inputs.get(EXAMPLE_ID)
        if ids_B is None and isinstance(self.teacher, StoredTeacher):
            raise BadInput(
                f"the batches have no {EXAMPLE_ID}: the data collator, or the data set's format, drops the column. Let it "
                "through, since a store knows its rows by it."
            )
        if ids_B is None:  # a live teacher goes by what it is shown
            shown = next(iter(given.values()))
            ids_B = torch.zeros(len(shown), dtype=torch.int64, device=shown.device)
        return Batch(ids=ids_B, view=torch.zeros_like(ids_B), inputs=given, labels=labels)

    def _check_rows(self) -> None:
        """Refuses rows that the store does not answer; a live teacher answers any."""
        if isinstance(self.teacher, StoredTeacher) and self._checked is not self.train_dataset:
            self.teacher.store.require(ids_of(self.train_dataset))
            self._checked = self.train_dataset

    def _steps_per_epoch(self) -> int:
        loader: Any = self.callback_handler.train_dataloader
        try:
            return max(1, -(-len(loader) // self.args.gradient_accumulation_steps))
        except TypeError:  # a stream: one epoch
            return self.state.max_steps

    def _set_signature_columns_if_needed(self) -> None:
        """Ids are no argument of the model, and stay in the batch all the same."""
        super()._set_signature_columns_if_needed()
        if EXAMPLE_ID not in self._signature_columns:  # type: ignore[operator]
            self._signature_columns += [EXAMPLE_ID]  # type: ignore[operator]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save and (state := self.objective.state_dict()):
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, Path(output_dir) / STATE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not self.objective.state_dict():
            return
        file = Path(checkpoint) / STATE
        if not file.is_file():
            raise BadInput(
                f"{checkpoint} has no {STATE}: it was made with another objective, which is the one to go on with."
            )
        self.objective.load_state_dict(load_file(file))


def _without_ids(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != EXAMPLE_ID}


def _check_arguments(trainer: Any) -> None:
    if trainer.args.label_smoothing_factor:
        raise BadInput(
            f"args: label_smoothing_factor is {trainer.args.label_smoothing_factor:g}, and the loss is the objective's: "
            "leave it out, and smooth the labels with limbeck.CrossEntropy(label_smoothing=...) if you want to."
        )
    if trainer.compute_loss_func is not None:
        raise BadInput("compute_loss_func and an objective are two losses: leave out compute_loss_func.")
    config = getattr(trainer.model, "config", None)
    if getattr(config, "problem_type", None) in ("multi_label_classification", "regression"):
        raise BadInput(
            f"the student's problem_type is {config.problem_type}, and here a text has one class: the objectives compare "  # type: ignore[union-attr]
            "distributions over classes."
        )


def _check_objective(objective: Objective) -> None:
    for _, part in objective.weighted:
        if (
            part.needs.features
            or part.needs.teacher_features
            or has_to_build(part)
            or any(True for _ in part.parameters())
        ):
            raise BadInput(
                f"objective: {part.title} matches inner layers or trains layers of its own, which this Trainer has no "
                "place for: take objectives on logits here, or run it from a recipe or with limbeck.distill."
            )


def _teacher(trainer: Any, teacher: nn.Module | Store | str | Path) -> tuple[Teacher, Tensor | None]:
    """What answers, and the order in which its classes are the student's (None: as they are)."""
    student, device = trainer.model, trainer.args.device
    if isinstance(teacher, nn.Module):
        own = {id(parameter) for parameter in student.parameters()}
        if any(id(parameter) in own for parameter in teacher.parameters()):
            raise BadInput("teacher and student share weights: give the student weights of its own (copy.deepcopy).")
        _check_vocabulary(teacher, trainer.processing_class)
        if not (getattr(teacher, "hf_device_map", None) or getattr(teacher, "is_quantized", False)):
            teacher.to(device)
        names = _labels(teacher)
        return LiveTeacher(teacher, _Asking()), _order(names, None, student, device)  # type: ignore[arg-type]
    if not isinstance(teacher, Store) and (Path(teacher) / "config.json").is_file():
        raise BadInput(
            f"teacher: {teacher} is a model's folder: load it with AutoModelForSequenceClassification.from_pretrained(folder) "
            "and give the model; a folder that is given is one of stored answers."
        )
    store = teacher if isinstance(teacher, Store) else Store.open(teacher)
    if why := misfit(store.codec, trainer.objective):
        raise BadInput(f"teacher: {store.path}: {why}")
    if store.ragged:
        raise BadInput(f"teacher: {store.path} keeps an answer for every position, and here a text has one.")
    order = _order(store.manifest.get("labels"), store.classes, student, device)
    if order is not None and store.codec.kind is not DenseLogits:
        raise BadInput(
            f"teacher: {store.path} keeps the classes in another order than the student's id2label, and its codec "
            f"{store.codec.name} cannot be reordered: give the student the teacher's id2label."
        )
    return StoredTeacher(store.to(device)), order


class _Asking:
    """How :class:`LiveTeacher` puts a batch to a classifier: with the inputs that it takes."""

    answers = Answers("classes", width=0)  # logits, of whatever width the classifier's are

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        answer = model(**accepted(model, batch.inputs))
        return answer if isinstance(answer, Tensor) else answer["logits"]


def _labels(model: Any) -> list[str] | None:
    config = getattr(model, "config", None)
    return None if config is None else [str(config.id2label[place]) for place in range(config.num_labels)]


def _order(names: list[str] | None, classes: int | None, student: Any, device: torch.device) -> Tensor | None:
    """Where the student's classes are among the teacher's, by name; None where both have one order."""
    known = _labels(student)
    if known is None:
        return None
    given = names if names is not None else [str(place) for place in range(classes or len(known))]
    order = list(map_labels(given, known).order)
    return None if order == list(range(len(order))) else torch.tensor(order, device=device)


def _check_vocabulary(teacher: Any, tokenizer: Any) -> None:
    """A teacher is shown the student's tokens; ids beyond its embeddings cannot be looked up."""
    with contextlib.suppress(AttributeError, NotImplementedError, TypeError):  # no tokenizer, or no such embeddings
        tokens, rows = len(tokenizer), teacher.get_input_embeddings().num_embeddings
        if tokens > rows:
            raise BadInput(
                f"the tokenizer knows {tokens} tokens and the teacher {rows}: they are of different vocabularies. Store the "
                "teacher's answers with limbeck.trainer.ask and its own tokenizer, and give the store instead."
            )
