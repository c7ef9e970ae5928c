"""The version of what each stage means, and of the packages that take part. No torch."""

from __future__ import annotations

import importlib.metadata as metadata

# Bumped by hand when the meaning of a stage changes, so that results of an older version are not taken for new ones.
TRAINING_VERSION = 1
TARGETS_VERSION = 3  # of the soft targets, or of the layout of their files
EVALUATION_VERSION = 2
EXPORT_VERSION = 2
FORMATS_VERSION = 1
REPORT_VERSION = 6

STAGES = {
    "teacher": TRAINING_VERSION,
    "targets": TARGETS_VERSION,
    "assistant": TRAINING_VERSION,
    "student": TRAINING_VERSION,
    "baseline": TRAINING_VERSION,
    "smoothed": TRAINING_VERSION,
    "evaluate": EVALUATION_VERSION,
    "export": EXPORT_VERSION,
    "formats": FORMATS_VERSION,
    "quantization_aware": TRAINING_VERSION,
    "report": REPORT_VERSION,
}

PACKAGES = ("limbeck", "torch", "numpy", "accelerate", "datasets", "onnx", "onnxruntime", "timm")


def versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of what takes part, where it is installed; recorded, and not part of any stage's fingerprint."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
