"""The types that rooms hand to one another; imports nothing of ours."""

from .exportable import Exportable, Graph, Input
from .task import Answers, Ask, Source, Task, Teacher
from .tensors import (
    IGNORED,
    Batch,
    DenseLogits,
    Features,
    Hypotheses,
    Inside,
    Needs,
    Output,
    RaggedLogits,
    Sampled,
    Target,
    Term,
    TopK,
    Values,
)

__all__ = [
    "IGNORED",
    "Answers",
    "Ask",
    "Batch",
    "DenseLogits",
    "Exportable",
    "Features",
    "Graph",
    "Hypotheses",
    "Input",
    "Inside",
    "Needs",
    "Output",
    "RaggedLogits",
    "Sampled",
    "Source",
    "Target",
    "Task",
    "Teacher",
    "Term",
    "TopK",
    "Values",
]
