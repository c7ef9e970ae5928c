"""The objectives as pure functions on tensors, for anybody's loop.

Common form: ``f(student_logits, teacher_logits, *, labels=None, mask=None, temperature=1.0) -> scalar``, where logits
are ``(..., C)``, labels ``(...)`` class ids with ``-100`` ignored, and the mask ``(...)`` bool, true at the positions
that count. The result is the mean over the positions that count, and 0 (with a graph) where none does. Arithmetic is at
least float32; float64 stays float64. No gradient reaches a teacher.

Each file says in its ``__all__`` what of it is public. A function on logits has a sibling ending in ``_positions``, which gives the value at every position, shape ``(...)``.
"""

# ruff: noqa: F403
from . import (
    binary,
    blended,
    common,
    correlation,
    decoupled,
    divergences,
    features,
    frames,
    logit_matching,
    other_terms,
    powers,
    responses,
    sequences,
    sparse,
    tail_mass,
    teachers,
    transformers,
    values,
    vocabulary,
)
from .binary import *
from .blended import *
from .common import *
from .correlation import *
from .decoupled import *
from .divergences import *
from .features import *
from .frames import *
from .logit_matching import *
from .other_terms import *
from .powers import *
from .responses import *
from .sequences import *
from .sparse import *
from .tail_mass import *
from .teachers import *
from .transformers import *
from .values import *
from .vocabulary import *

__all__: list[str] = []
__all__ += binary.__all__
__all__ += blended.__all__
__all__ += common.__all__
__all__ += correlation.__all__
__all__ += decoupled.__all__
__all__ += divergences.__all__
__all__ += features.__all__
__all__ += frames.__all__
__all__ += logit_matching.__all__
__all__ += other_terms.__all__
__all__ += powers.__all__
__all__ += responses.__all__
__all__ += sequences.__all__
__all__ += sparse.__all__
__all__ += tail_mass.__all__
__all__ += teachers.__all__
__all__ += transformers.__all__
__all__ += values.__all__
__all__ += vocabulary.__all__
