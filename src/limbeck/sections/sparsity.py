"""How a recipe says that most weights of its student are to be zero. No torch."""

from __future__ import annotations

from pydantic import Field

from .section import Section, Times


class Sparsity(Section):
    """Weights set to zero in the trained student, which then goes on learning with them held at zero: its files are as large and as fast
    as before, and smaller once compressed (gzip, zstd). For a student that is faster see ``student.pruned``."""

    share: float = Field(default=0.5, gt=0, lt=1)
    """The share of weights that are zero, of products, convolutions and embeddings together: those that are small beside the others of
    their layer. Biases and normalisation stay."""
    epochs: Times = 5
    """Passes over what it learns from with those weights held, from ``train.learning_rate`` that falls to zero. The controls go
    on likewise."""

    def about(self, epochs: int) -> str:
        """What is said behind the rest of a training that goes on for so many epochs."""
        return f", then {epochs} epoch{'s' if epochs != 1 else ''} with {self.share:.3g} of the weights at zero"
