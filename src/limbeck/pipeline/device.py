"""What a run's files cost on the device they are for: a profile that was measured there, held to the files of the run"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..deploy.on_device import FILES, RUNTIMES, SCRIPT, WEB, digest_of, files_in
from ..deploy.profile import PROFILE, PROFILE_VERSION, X86
from ..deploy.profiles import checked_figures, profile_in
from ..errors import BadInput, shown
from ..models.onnx_file import OnnxFile
from .job import Job
from .stages import Stage

ADOPTED = "device.json"
"""In a run's folder, the profile whose figures its report shows."""
AGAIN = f"copy {SCRIPT} and the files that lie beside it to the device, and measure there again"

Section = dict[str, Any]
"""The section ``device`` of ``results.json`` (docs/results-schema.md)."""


def read_device(path: Path) -> dict[str, Any]:
    """The profile that the ``measure.py`` beside a run's export wrote.

    Raises :class:`limbeck.errors.BadInput`: it is not there, is no such profile, or of another version, of another runtime or of
    an emulated machine.
    """
    kinds = {"profile_version": int, "runtime": str, "figures": dict, "failed": dict, "what": dict}
    said = profile_in(path, kinds, f"The {SCRIPT} that lies in a run's folder writes {PROFILE}.")
    if said.get("of") != FILES:
        raise BadInput(
            f"--device {path}: it is of the candidates of a search (limbeck search --device takes it), and not of a run's files: {AGAIN}."
        )
    if said["profile_version"] != PROFILE_VERSION:
        age = "an older" if said["profile_version"] < PROFILE_VERSION else "a newer"
        raise BadInput(f"--device {path}: it is of {age} version of {SCRIPT} than this Limbeck's: {AGAIN}.")
    for digest, known in said["figures"].items():
        name = shown(str(said["what"].get(digest, digest)))
        found = checked_figures(path, name, known)
        if not {"latency_ms", "size_kb"} <= found.keys():
            raise BadInput(f"--device {path}: it does not say the latency and size of {name}: {AGAIN}.")
        known |= {one: found.get(one) for one in ("memory_mb", "energy_mj")}
        wanted = RUNTIMES.get(Path(str(said["what"].get(digest))).suffix)
        if known.get("runtime") not in (wanted, WEB if wanted == RUNTIMES[".onnx"] else wanted):
            raise BadInput(
                f"--device {path}: {name} was measured with {shown(str(known.get('runtime')))}, and is for {wanted or 'no runtime that is known'}: "
                "measure it with that."
            )
    return said


def require_of_run(profile: Mapping[str, Any], path: Path, student: Path, run: Path) -> None:
    """Raises :class:`limbeck.errors.BadInput` where a profile does not say what the run's student costs."""
    digest, what = digest_of(student), profile["what"]
    if digest in profile["failed"]:
        raise BadInput(f"--device {path}: the device could not run {student.name}: {shown(profile['failed'][digest])}.")
    if digest not in profile["figures"]:
        named = [one for one, name in what.items() if name == student.relative_to(run).as_posix()]
        of = f"its {student.name} has SHA-256 {named[0][:12]}..." if named else f"it has no {student.name}"
        raise BadInput(
            f"--device {path}: it is of other files than those of {run}: {of}, and that of the run is {digest[:12]}...: {AGAIN}."
        )


def device_section(job: Job, export: Stage) -> Section | None:
    """What the results say of the device; None where the run has no profile, or one of other files or of another version.

    ``machine``, ``processor``, ``x86`` (whether it is one), ``runtime``, ``version``, ``threads``; ``student``, ``teacher`` (None where its file was not
    measured) and ``others``, by path: ``path``, ``runtime``, ``version``, ``length`` (of inputs of any length), ``latency_ms``, ``size_kb``,
    ``memory_mb``, ``energy_mj`` (None where the device has no means to tell); ``speedup``: ``ratio``, the teacher's median latency
    over the student's, and how far it can be off by the interval of each, ``low`` and ``high`` (None
    where the device was busy with other things); ``failed``: by path, why the device
    could not run a file.
    """
    path = job.out / ADOPTED
    if not path.is_file() or not export.finished:
        return None
    try:
        profile = read_device(path)
    except BadInput:
        return None
    roles = {role: digest_of(file) for role, file in _exported(job, export).items()}
    if roles["student"] not in profile["figures"]:
        return None
    files = files_in(job.out)
    by_path = {
        files.get(digest) or str(profile["what"].get(digest)): (digest, known)
        for digest, known in profile["figures"].items()
        if digest in files or digest in roles.values()
    }
    entries = {name: (digest, _entry(name, known)) for name, (digest, known) in by_path.items()}
    found = {role: next((one for of, one in entries.values() if of == digest), None) for role, digest in roles.items()}
    student, teacher = found["student"], found.get("teacher")
    assert student is not None
    others = {name: one for name, (digest, one) in entries.items() if digest not in roles.values()}
    about = {name: profile.get(name) for name in ("machine", "processor", "runtime", "version", "threads")}
    return {
        **about,
        "x86": str(about["machine"]).rpartition(" ")[2].lower() in X86,
        "student": student,
        "teacher": teacher,
        "others": others,
        "speedup": None if teacher is None else _speedup(teacher["latency_ms"], student["latency_ms"]),
        "failed": {files[digest]: str(why) for digest, why in profile["failed"].items() if digest in files},
    }


def _exported(job: Job, export: Stage) -> dict[str, Path]:
    """The files of student and teacher, as they are exported; the teacher's own where it is such a file."""
    facts = export.facts()
    found = {role: export.folder / facts[role]["path"] for role in ("student", "teacher") if "path" in facts[role]}
    if "teacher" not in found and isinstance(job.teacher, OnnxFile):
        found["teacher"] = job.teacher.path
    return found


def _entry(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    told = ("runtime", "version", "length", "latency_ms", "size_kb", "memory_mb", "energy_mj")
    return {"path": name, **{one: known.get(one) for one in told}}


def _speedup(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> dict[str, float] | None:
    if not student["low"] or teacher.get("busy") or student.get("busy"):
        return None
    return {
        "ratio": teacher["value"] / student["value"],
        "low": teacher["low"] / student["high"],
        "high": teacher["high"] / student["low"],
    }
