"""What `limbeck init` writes for speech recognition: it looks at the data, and sizes a student by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.sizing import Size, size_of, size_sentences
from ...errors import BadInput, printable
from ...sections.drafting import Drafted, coarse, flow, knob_lines
from .families import DEFAULTS, DS_CTC, KNOBS, MEANINGS, elsewhere
from .recipe_ctc import SpeechData

_SMALLER = {"width": 64, "depth": 4}  # than a teacher of the same family, whose defaults are a teacher's
_HEARD = 16_000  # samples a second that pretrained models of speech hear; their frames are of 20 ms
_FINE_TUNED = {"epochs": 4, "batch_size": 8, "warmup_epochs": 0.5, "clip_norm": 5.0}
LITTLE = 600  # minutes of transcribed speech, below which students from the start stay far behind
_SHOWN = ("width", "depth", "stride")
_SPELLED = 60  # letters of an alphabet that a comment shows


def draft(teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe, and what to say of it; `given` are other fields of data. Raises `BadInput` where the data cannot be read, or a
    model is not known or does not fit it."""
    from ... import progress
    from .load import load

    pretrained = elsewhere(teacher)
    if pretrained:
        given = {"rate": _HEARD, **given}
    given = {**_own_fields(SpeechData.model_validate({"name": data, **given})), **given}
    splits = load(SpeechData.model_validate({"name": data, **given}), progress.bar)
    symbols = splits.answers.names
    student = student or DS_CTC
    knobs = {name: DEFAULTS[student][name] for name in _SHOWN if name in DEFAULTS.get(student, {})}
    if student == DS_CTC:
        knobs |= _SMALLER | ({"stride": 2} if pretrained else {})
    sizes = [
        None if ":" in name or elsewhere(name) else _size(name, values, role, splits.rate, len(symbols))
        for role, name, values in (("teacher", teacher, {}), ("student", student, knobs))
    ]
    said = size_sentences(teacher, sizes[0], student, sizes[1])
    minutes = splits.train.seconds / 60
    warnings = coarse("clips", len(splits.validation), splits.test.count)
    if minutes < LITTLE:
        warnings.insert(
            0,
            f"{minutes:,.0f} minutes of transcribed speech are little: a student learns much from sound without transcripts "
            "(data.transfer), of which the teacher says what it hears.",
        )
    noted = [f"Noted: {' '.join(note.split())}" for note in splits.notes]
    train = {"epochs": 30, "batch_size": 16, "learning_rate": 0.003, "clip_norm": 5.0}
    comment = ["# It runs code that the recipe names: limbeck run --trust-code."] if ":" in teacher else []
    spelled = printable("".join(symbols))[:_SPELLED]
    lines = [
        f"# A recipe to start from: {len(splits.train):,} clips, {minutes:,.0f} minutes of speech at {splits.rate:,} Hz.",
        f"# Spelt in {len(symbols) - 1} symbols: {spelled!r}; data.alphabet and data.replace say otherwise.",
        *(f"# Beware: {printable(warning)}" for warning in warnings),
        *(f"# {printable(note)}" for note in noted),
        "# Every field is described in docs/recipe.md; `limbeck recipe schema` lets an editor complete them.",
        "task: automatic-speech-recognition",
        f"data: {flow({'name': data, **given})}",
        "",
        "# How examples are varied, for the soft targets and for the student alike.",
        "views: {speed: 0.1, gain: 6, time_mask: 0.1, frequency_mask: 0.2}",
        "",
        *comment,
        "teacher:",
        f"  model: {flow(teacher)}",
        f"  train: {flow(_FINE_TUNED if pretrained else train)}",
        "",
        "# The teacher answers so many views of each example, once; then students learn from what it said.",
        "targets: {views: 4}",
        "",
        *(f"# {printable(line)}" for line in said),
        f"student: {flow({'model': student, **knobs})}",
        *_knobs(student, knobs),
        "",
        "# The teacher's probabilities at each frame, and the transcripts. Where the two models have other frames, or say things at",
        "# other frames, take ctc_sequence_kd in place of ctc_frame_kd: it learns from the transcripts that the teacher hears.",
        "objective:",
        "  ctc_frame_kd: {weight: 1.0}",
        "  ctc: {weight: 1.0}",
        "",
        f"train: {flow(train)}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return Drafted("\n".join(lines) + "\n", (*said, *noted), warnings)


def _own_fields(data: SpeechData) -> dict[str, Any]:
    """The validation split, where the data has one of its own."""
    from ...data.split_roles import own_validation
    from .sources import open_sounds

    own = own_validation(open_sounds(data.name, data.config, labelled=False))
    return {} if own is None else {"validation": own}


def _size(name: str, knobs: Mapping[str, Any], role: str, rate: int, symbols: int) -> Size:
    import torch

    from .networks import build

    try:
        model = build(name, knobs, rate=rate, samples=None, classes=symbols, seed=0)
    except BadInput as error:
        raise BadInput(f"--{role} {name}: {error}") from None
    return size_of(model, torch.zeros(1, rate), "a second of sound")


def _knobs(student: str, there: dict[str, Any]) -> list[str]:
    """Comments that say what of the student can be changed."""
    if ":" in student:
        return ["# Whatever keyword arguments the callable has are its knobs: they stand beside its name."]
    known = {}
    for name, allowed in KNOBS[student].items():
        spelled = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"{allowed[0]} to {allowed[-1]}"
        default = "" if name in there else f" ({DEFAULTS[student][name]} where not given)"
        known[name] = (f"{spelled}{default}", MEANINGS[student][name])
    return knob_lines(known, there)
