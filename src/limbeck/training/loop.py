"""The training loop: one, for teacher and student alike.

Everything in a step is a pure function of (seed, step, weights), so a run that was killed goes on from its last
checkpoint to the very weights it would have reached (same thread count, same versions). The host never waits for the
device inside a step: a loss that is not finite sets ``first_bad_step`` on the device, which stops the updates there,
and is read when something is shown or saved.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import progress
from ..errors import BadInput, Interrupted
from ..evaluation.figure import Figure
from ..evaluation.keep import keep
from ..evaluation.kinds import KINDS
from ..interfaces import Batch, Source, Target, Task, Teacher
from ..models.capture import Capture
from ..objectives.modules import Objective
from ..objectives.schedules import Progress
from ..randomness import torch_seed
from ..sections.train import Train
from . import checkpoint
from .dry_run import broadcast, has_to_build, of_one_batch
from .history import ended, score
from .history import field as recorded
from .not_finite import explain
from .optimizer import optimizer_for
from .schedule import learning_rate
from .stopping import stop_requested

# Seconds between checkpoints within a run; a save that takes long stretches it, so that saving stays below 5 %.
SAVE_EVERY = float(os.environ.get("LIMBECK_CHECKPOINT_SECONDS", "20"))
LOOK_EVERY = 1.0


@dataclass(frozen=True)
class Training:
    """What one training run consists of."""

    title: str
    model: nn.Module
    task: Task
    source: Source
    objective: Objective
    teacher: Teacher | None  # None where the objective asks for none
    plan: Train
    seed: int
    folder: Path  # where the checkpoint lives
    # ids of all training examples, for an objective that remembers something of each
    ids_N: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    @property
    def figures(self) -> tuple[Figure, Figure]:
        """What models are chosen by, and their loss."""
        first, loss, *_ = KINDS[self.task.answers.kind].FIGURES
        return first, loss


@dataclass
class _State:
    """What changes from step to step, beside the weights."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] | None = None
    best: dict[str, Any] | None = None  # {"score": (first figure, loss), "epoch": int, "weights": state dict}
    epoch_loss: Tensor | None = None  # the sum over the steps of an epoch that was cut short


def fit(run: Training, accelerator: Accelerator, until: int | None = None) -> list[dict[str, float]]:
    """Trains ``run.model`` in place and returns the history, one record an epoch.

    A record holds ``epoch``, ``train_loss``, the first two figures of the kind of answer over validation (such as
    ``validation_accuracy`` and ``validation_nll``), ``learning_rate`` and ``seconds`` (since the start, interruptions left out). On return the model holds the weights to keep: the moving
    average where ``plan.ema``, the best epoch's where ``plan.keep`` is ``best`` or ``patience`` is set.

    ``until`` stops at the end of that epoch, with a checkpoint from which another call goes on as if there had been no
    stop; the model then holds what there is to keep so far. One that is beyond that epoch already stays where it is.

    Raises:
        Interrupted: somebody asked to stop; the checkpoint is written.
        NotFinite: a loss or a teacher's answer is NaN or infinite.
    """
    plan, device = run.plan, accelerator.device
    model = run.model.to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = _built(run, model, accelerator)
    optimizer = optimizer_for([model, objective], plan)
    average = copy.deepcopy(model).eval() if plan.ema else None
    path = run.folder / "checkpoint.pt"
    state = _restore(path, model, objective, optimizer, average)
    stepped, optimizer = accelerator.prepare(model, optimizer)
    if plan.compile:
        stepped = cast(nn.Module, torch.compile(stepped))
    capture = Capture(stepped, objective.needs.features)

    per_epoch = run.source.steps_per_epoch()
    total_steps = plan.epochs * per_epoch
    last_step = total_steps if until is None else min(until * per_epoch, total_steps)
    history = state.history or []
    first_bad = torch.full((), -1, dtype=torch.int64, device=device)
    epoch_loss = torch.zeros((), dtype=torch.float64, device="cpu" if device.type == "mps" else device)
    if state.epoch_loss is not None:
        epoch_loss += state.epoch_loss.to(epoch_loss.device)

    began = time.monotonic() - state.seconds
    last_look = last_save = time.monotonic()
    save_every = SAVE_EVERY
    shown = f"val_{run.figures[0].name}".replace("accuracy", "acc")

    def look(step: int) -> None:
        if int(first_bad) >= 0:
            raise _explanation(run, model, int(first_bad), per_epoch, accelerator)

    def save(step: int) -> None:
        nonlocal last_save, save_every
        look(step)
        started = time.monotonic()
        if accelerator.is_main_process:
            values = {
                "step": step,
                "seconds": started - began,
                "history": history,
                "best": state.best,
                "epoch_loss": epoch_loss.cpu(),
                "model": model.state_dict(),
                "objective": objective.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": None if average is None else average.state_dict(),
            }
            checkpoint.save(path, values)
        last_save = time.monotonic()
        save_every = max(SAVE_EVERY, 20 * (last_save - started))

    finished = ended(history, plan, run.figures)
    with stop_requested() as stop, progress.bar(last_step, run.title) as advance:
        advance(state.step)
        model.train()
        step = state.step
        while step < last_step and not finished:
            objective.at(Progress(step, per_epoch, total_steps))
            loss = _step(run, stepped, capture, optimizer, accelerator, first_bad, step, per_epoch)
            epoch_loss += loss
            if average is not None:
                _update(average, model, plan.ema)
            step += 1
            now = time.monotonic()
            if step % per_epoch == 0:
                look(step)
                record = _end_of_epoch(run, average or model, step, per_epoch, float(epoch_loss) / per_epoch)
                record["seconds"] = time.monotonic() - began
                history.append(record)
                epoch_loss.zero_()
                _remember_best(state, record, average or model, run)
                finished = ended(history, plan, run.figures)
                model.train()
            elif now - last_look > LOOK_EVERY:
                look(step)
                last_look = now
            figures = {"loss": float(loss)} if now - last_look < 0.01 else {}
            if history:
                figures[shown] = history[-1][recorded(run.figures[0])]
            advance(1, **figures)
            if stop():
                save(step)
                raise Interrupted(
                    f"{run.title}: stopped at epoch {min(step // per_epoch + 1, plan.epochs)} of {plan.epochs} and saved; "
                    "run the same command to go on from there."
                )
            if now - last_save > save_every:
                save(step)
        save(step)

    if average is not None:
        model.load_state_dict(average.state_dict())
    if state.best is not None:
        model.load_state_dict(state.best["weights"])
    model.eval()
    return history


def _built(run: Training, model: nn.Module, accelerator: Accelerator) -> Objective:
    """The objective, with what it makes from the models' shapes; the same whenever a run is taken up again."""
    objective = run.objective.to(accelerator.device)
    if has_to_build(objective):
        parts = accelerator.num_processes * run.plan.micro_batches
        precision = _precision(run, accelerator)
        student, target, batch = of_one_batch(
            model, run.task, run.source, run.teacher, objective.needs, parts, precision
        )
        _reseed(accelerator.device, torch_seed(run.seed, "objective"))
        objective.build(student, target, batch, run.ids_N.to(accelerator.device))
        objective.to(accelerator.device)
        broadcast(objective, accelerator)
    return objective


def _step(
    run: Training,
    stepped: nn.Module,
    capture: Capture,
    optimizer: Any,
    accelerator: Accelerator,
    first_bad: Tensor,
    step: int,
    per_epoch: int,
) -> Tensor:
    """One optimiser step; returns the loss of the global batch (a scalar on the device)."""
    plan, micro = run.plan, run.plan.micro_batches
    parts = accelerator.num_processes * micro
    first = accelerator.process_index * micro
    batches = [run.source.next(step, stepped, first + i, parts) for i in range(micro)]
    counts = _global_counts(run.objective, batches, accelerator)
    rate = learning_rate(plan, step, per_epoch)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("pace", 1.0)
    losses = []
    for i, batch in enumerate(batches):
        _reseed(accelerator.device, torch_seed(run.seed, "step", step, i, accelerator.process_index))
        held_back = accelerator.no_sync(stepped) if i < micro - 1 else nullcontext()
        with held_back:
            with _precision(run, accelerator):
                target = run.teacher(batch, run.objective.needs) if run.teacher is not None else Target()
                with capture as features:
                    output = run.task.forward(stepped, batch)
                if features:
                    output = dataclasses.replace(output, features=features)
                terms = run.objective(output, target, batch)
            loss = torch.stack([term.total / counts[name] for name, term in terms.items()]).sum()
            answer = output.values if output.logits is None else output.logits
            if features and answer is not None:
                # An objective may leave layers behind its features out of the loss. Processes wait for one another's
                # gradient of every parameter, so those get a zero; with one process too, that weights decay alike.
                loss = loss + (answer * 0).nan_to_num().sum()
            # the processes' gradients are averaged, whereas their shares of the loss add up
            (loss * accelerator.num_processes).backward()
        losses.append(loss.detach())
    loss = torch.stack(losses).sum()
    if accelerator.num_processes > 1:
        loss = cast(Tensor, accelerator.reduce(loss, reduction="sum"))
    own = [parameter for parameter in run.objective.parameters() if parameter.requires_grad]
    if accelerator.num_processes > 1 and own:
        _average_gradients(own, accelerator)
    if plan.clip_norm is not None:
        accelerator.clip_grad_norm_([*stepped.parameters(), *own], plan.clip_norm)
    first_bad.copy_(torch.where(~loss.isfinite() & (first_bad < 0), step, first_bad))
    # Accelerate's wrapper asks the import system questions at every step, half a millisecond of it; there is no
    # gradient scaler here that it would be needed for
    inner = optimizer.optimizer
    inner.found_inf = (first_bad >= 0).float()
    inner.step()
    inner.zero_grad(set_to_none=True)
    return loss


def _precision(run: Training, accelerator: Accelerator) -> torch.autocast:
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=run.plan.precision == "bfloat16")


def _average_gradients(parameters: list[nn.Parameter], accelerator: Accelerator) -> None:
    """Does for the objective's own parameters what ``DistributedDataParallel`` does for the model's."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
    flat = cast(Tensor, accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean"))
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def _reseed(device: torch.device, seed: int) -> None:
    """Seeds what torch draws by itself (dropout). ``torch.manual_seed`` costs a millisecond where there is no GPU."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _global_counts(objective: Objective, batches: list[Batch], accelerator: Accelerator) -> dict[str, Tensor]:
    """How many positions stand behind each term over all micro-batches and processes; 1 where none does."""
    counts: dict[str, Tensor] = {}
    for batch in batches:
        for name, count in objective.counts(batch).items():
            counts[name] = counts[name] + count if name in counts else count
    if accelerator.num_processes > 1:
        counts = {
            name: accelerator.reduce(count.float(), reduction="sum")  # type: ignore[misc]
            for name, count in counts.items()
        }
    return {name: count.where(count > 0, 1) for name, count in counts.items()}


def _end_of_epoch(run: Training, model: nn.Module, step: int, per_epoch: int, train_loss: float) -> dict[str, float]:
    figures = on_validation(run.task, model)
    return {
        "epoch": step // per_epoch,
        "train_loss": train_loss,
        **{recorded(figure): figures[figure.name] for figure in run.figures},
        "learning_rate": learning_rate(run.plan, step - 1, per_epoch),
    }


def on_validation(task: Task, model: nn.Module) -> dict[str, float]:
    """What models are chosen by and their loss, the first two figures of the task's kind of answer, over the validation split.

    Both are NaN where the answers are no numbers: the weights went wrong in the last step, and the next loss says so.
    """
    by = KINDS[task.answers.kind]
    kept, found = keep(by, task.answers_to(model, task.held_out), task.held_out.labels.cpu()), {}
    for figure in by.FIGURES[:2]:
        try:
            scores_N = by.scores(kept, figure.name).double()
        except BadInput:
            return dict.fromkeys((one.name for one in by.FIGURES[:2]), math.nan)
        of = by.SUMS.get(figure.name)
        found[figure.name] = scores_N.mean().item() if of is None else float(of(scores_N.sum(0).numpy(), len(scores_N)))
    return found


def _remember_best(state: _State, record: dict[str, float], model: nn.Module, run: Training) -> None:
    plan = run.plan
    if plan.keep != "best" and plan.patience is None:
        return
    reached = score(record, plan, run.figures)
    if state.best is None or reached > state.best["score"]:
        weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.best = {"score": reached, "epoch": record["epoch"], "weights": weights}


@torch.no_grad()
def _update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the average's parameters a little towards the model's; buffers (batch-norm statistics) are copied."""
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)


def _restore(path: Path, model: nn.Module, objective: nn.Module, optimizer: Any, average: nn.Module | None) -> _State:
    loaded = checkpoint.load(path)
    if loaded is None:
        return _State(history=[])
    model.load_state_dict(loaded["model"])
    objective.load_state_dict(loaded["objective"])
    optimizer.load_state_dict(loaded["optimizer"])
    if average is not None:
        average.load_state_dict(loaded["average"])
    return _State(loaded["step"], loaded["seconds"], loaded["history"], loaded["best"], loaded["epoch_loss"])


def _explanation(run: Training, model: nn.Module, step: int, per_epoch: int, accelerator: Accelerator) -> Exception:
    batch = run.source.next(step, model, accelerator.process_index, accelerator.num_processes)
    return explain(
        title=run.title,
        step=step,
        steps_per_epoch=per_epoch,
        batch=batch,
        model=model,
        task=run.task,
        teacher=run.teacher,
        objective=run.objective,
    )
