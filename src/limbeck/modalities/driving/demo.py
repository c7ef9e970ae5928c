"""What a demo has for drivers: an episode from a seed, beside the planner's, and what is decided in a state. Stands alone"""

from __future__ import annotations

import base64
import html
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import onnxruntime

from .animation import animated
from .planner import Planner, best
from .predict import Metadata, answers_of, brief, open_model, read_metadata, read_state, softmax

NEEDS = ("numpy", "onnxruntime", "pillow", "gymnasium", "highway-env")
RUNS = 5  # of which the median time is said
FIRST_SEED, LOOKED_AT, SHOWN = 900_000_000, 6, 4
"""Of so many of the seeds that drivers are judged on those are shown on which the two fare most differently."""


class Model(NamedTuple):
    """A model that is asked, and what it says of itself."""

    session: onnxruntime.InferenceSession
    metadata: Metadata
    path: Path


class Said(NamedTuple):
    """What a model says of one example: by name a probability, or a number with its unit; and how long it took."""

    names: tuple[str, ...]
    values_C: np.ndarray
    units: tuple[str, ...]  # none where the values are probabilities
    ms: float


class Drive(NamedTuple):
    """An episode as it is shown: frames (H, W, 3), the decision in each but the last, which shows the end."""

    name: str
    frames: list[np.ndarray]
    decisions: list[str]
    reward: float
    speed: float
    crashed: bool


def opened(path: Path) -> Model:
    """``ValueError``, with a sentence, where it cannot be used."""
    session = open_model(path, threads=1)
    return Model(session, read_metadata(session, path), path)


def ask(model: Model, example: str, runs: int = RUNS) -> Said:
    """The model's answer in a state, and the median of so many runs in ms. ``ValueError`` where it is no state."""
    state_F = read_state(example, model.metadata.numbers)
    took, logits_A = [], np.zeros(0)
    for _ in range(runs):
        start = time.perf_counter()
        logits_A = _logits(model, state_F)
        took.append(1000 * (time.perf_counter() - start))
    return Said(model.metadata.classes, softmax(logits_A[None])[0], (), float(np.median(took)))


def fields(model: Model) -> list[Any]:
    """What a person fills."""
    label = f"A seed to drive from, such as 7; or a state: {model.metadata.numbers} numbers with commas between them"
    return [gr.Textbox(label=label, lines=2, max_lines=6)]


def example_of(values: Sequence[Any]) -> str | None:
    """What the field holds; None where it holds nothing."""
    return str(values[0] or "").strip() or None


def page(models: Mapping[str, Model], example: str) -> str | None:
    """For a seed both drivers' episodes as HTML; None for what is no seed, of which the models are asked."""
    if "," in example:
        return None
    if not (example.isascii() and example.isdigit() and len(example) < 10):
        raise ValueError(f"{brief(example)} is neither a seed, a whole number below a billion, nor a state.")
    drives = driven(models, int(example))
    picture = base64.b64encode(_picture(drives)).decode()
    said = html.escape(told(drives))
    image = f'<img style="max-width:100%" alt="{said}" src="data:image/gif;base64,{picture}">'
    return f'<div class="demo"><p class="verdict">{said}</p>{image}</div>'


def driven(models: Mapping[str, Model], seed: int) -> list[Drive]:
    """The teacher's episode from a seed, or the planner's where no teacher was exported, and the student's.

    ``ValueError`` where the simulator is not installed, or has no such environment.
    """
    student = models["student"]
    first = "teacher" if "teacher" in models else "planner"
    return [_drive(student, seed, first, models.get(first)), _drive(student, seed, "student", student)]


def told(drives: Sequence[Drive]) -> str:
    """How the episodes ended, and when the drivers first decided differently, in sentences."""
    said = []
    for one in drives:
        ended = f"crashes at decision {len(one.decisions)}" if one.crashed else "drives to the end"
        said.append(f"The {one.name} {ended}: reward {one.reward:.1f}, {one.speed:.1f} m/s.")
    pairs = list(zip(*(one.decisions for one in drives)))
    apart = next((step for step, ones in enumerate(pairs, 1) if len(set(ones)) > 1), None)
    if apart is None:
        return " ".join([*said, "They decide alike as long as both drive."])
    return " ".join([*said, f"They first differ at decision {apart}: {', '.join(pairs[apart - 1])}."])


def chosen(models: Mapping[str, Model], folder: Path, advance: Callable[[], object]) -> dict[str, Any]:
    """The seeds that the demo's folder shows, their episodes kept there, and what is said of them."""
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + LOOKED_AT):
        found.append((seed, driven(models, seed)))
        advance()
    found.sort(key=lambda one: -abs(one[1][0].reward - one[1][1].reward))
    examples = []
    (folder / "examples").mkdir()
    for number, (seed, drives) in enumerate(found[:SHOWN]):
        name = f"examples/{number}.gif"
        (folder / name).write_bytes(_picture(drives))
        examples.append({"file": name, "seed": seed, "caption": f"seed {seed}. {told(drives)}"})
    which = f"Of {LOOKED_AT} of the seeds that drivers are judged on, those on which the two fare most differently:"
    return {"examples": examples, "which": which}


def shelf(examples: Sequence[dict[str, Any]], folder: Path) -> Any:
    """Episodes to choose from, each with its caption."""
    shown = [(str(folder / one["file"]), one["caption"]) for one in examples]
    looks = {"columns": 2, "height": "auto", "object_fit": "contain", "allow_preview": False}
    return gr.Gallery(shown, **looks, show_label=False, buttons=[], elem_id="shelf")


def values_of(example: dict[str, Any], folder: Path) -> list[Any]:
    """What stands in the field where it is chosen."""
    del folder
    return [str(example["seed"])]


def _drive(student: Model, seed: int, name: str, model: Model | None) -> Drive:
    """An episode in the student's environment, of a model or of the planner."""
    metadata = student.metadata
    _without_a_screen()
    try:
        gymnasium, _ = import_module("gymnasium"), import_module("highway_env")
    except ModuleNotFoundError as missing:
        raise ValueError(f"to drive needs {missing.name}: pip install gymnasium highway-env.") from None
    if not metadata.environment:
        raise ValueError("the student was made of states that no environment is known of: give a state.")
    try:
        env = gymnasium.make(metadata.environment, config=metadata.settings, render_mode="rgb_array").unwrapped
    except Exception as error:  # of gymnasium's own kinds
        raise ValueError(f"there is no environment {brief(metadata.environment)} ({error}).") from error
    planner, frames, decisions, speeds = Planner(), [], [], []
    observation, _ = env.reset(seed=seed)
    reward, ended, crashed = 0.0, False, False
    while not ended:
        state_F = np.asarray(observation, np.float32).reshape(-1)
        if model is None:
            action = int(best(planner.values(env)[None])[0])
        elif len(state_F) != model.metadata.numbers:
            raise ValueError(f"the environment shows {len(state_F)} numbers; the model takes {model.metadata.numbers}.")
        else:
            action = int(_logits(model, state_F).argmax())
        frames.append(np.asarray(env.render()))
        decisions.append(metadata.classes[action])
        observation, gained, terminated, truncated, info = env.step(action)
        reward, ended, crashed = reward + float(gained), bool(terminated or truncated), bool(info["crashed"])
        speeds.append(float(info["speed"]))
    frames.append(np.asarray(env.render()))
    env.close()
    return Drive(name, frames, decisions, reward, float(np.mean(speeds)), crashed)


def _without_a_screen() -> None:
    """Pictures need no screen, of which SDL would complain. Under its driver for none the simulator draws nothing: they would be black."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    if os.environ.get("SDL_VIDEODRIVER") == "dummy":
        del os.environ["SDL_VIDEODRIVER"]


def _picture(drives: Sequence[Drive]) -> bytes:
    return animated([(one.name, one.frames, one.decisions, one.crashed) for one in drives])


def _logits(model: Model, state_F: np.ndarray) -> np.ndarray:
    name, actions = model.session.get_inputs()[0].name, len(model.metadata.classes)
    return answers_of(model.session, {name: state_F[None]}, (1, actions), model.path)[0]
