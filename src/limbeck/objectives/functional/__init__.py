"""The objectives as pure functions on tensors, for anybody's loop.

Common form: ``f(student_logits, teacher_logits, *, labels=None, mask=None, temperature=1.0) -> scalar``, where logits
are ``(..., C)``, labels ``(...)`` class ids with ``-100`` ignored, and the mask ``(...)`` bool, true at the positions
that count. The result is the mean over the positions that count, and 0 (with a graph) where none does. Arithmetic is at
least float32; float64 stays float64. No gradient reaches a teacher.

A function on logits has a sibling ending in ``_positions``, which gives the value at every position, shape ``(...)``.
"""

from .binary import (
    binary_cross_entropy,
    binary_cross_entropy_positions,
    binary_kd,
    binary_kd_positions,
    check_labels,
)
from .blended import (
    adaptive_kl,
    adaptive_kl_positions,
    taid,
    taid_positions,
)
from .common import (
    IGNORED,
    Values,
    at_least_float32,
    counted,
    labelled,
    log_probabilities,
    mean_of,
    mean_over,
    silenced,
    total_of,
)
from .correlation import dist
from .decoupled import dkd, dkd_positions, nkd, nkd_positions
from .divergences import (
    forward_kl,
    forward_kl_positions,
    jsd,
    jsd_positions,
    reverse_kl,
    reverse_kl_positions,
    skew_forward_kl,
    skew_forward_kl_positions,
    skew_reverse_kl,
    skew_reverse_kl_positions,
    total_variation,
    total_variation_positions,
)
from .features import (
    attention_transfer,
    contrastive,
    hint,
    review_hcl,
    rkd_angle,
    rkd_distance,
    similarity_preserving,
)
from .ladder import rest_at
from .matching import (
    mse_logits,
    mse_logits_positions,
    standardized_kd,
    standardized_kd_positions,
    ttm,
    ttm_positions,
    wttm,
    wttm_positions,
)
from .powers import alpha_beta, alpha_beta_positions
from .responses import cross_entropy, cross_entropy_positions, kd, kd_positions
from .sequences import (
    ctc_fits,
    ctc_frame_kd,
    ctc_frames,
    ctc_sequence_kd,
    ctc_sequence_kd_utterances,
    sequence_kd,
    word_kd,
)
from .sparse import (
    label_reading,
    sampled_cross_entropy,
    sampled_cross_entropy_positions,
    sampled_reading,
    sparse_kl,
    sparse_kl_positions,
    sparse_reading,
    top_k,
)
from .teachers import by_confidence, confidence_weights, mean_logits, mean_probabilities
from .transformers import (
    attention_kl,
    attention_mse,
    attention_scores,
    cls_mse,
    hidden_cosine,
    hidden_mse,
    relation_kl,
    relations,
)
from .unlike import (
    policy_kl,
    policy_kl_positions,
    uld,
    uld_positions,
)
from .vocabulary import Reading, totals_of

__all__ = [
    "IGNORED",
    "Reading",
    "Values",
    "adaptive_kl",
    "adaptive_kl_positions",
    "alpha_beta",
    "alpha_beta_positions",
    "at_least_float32",
    "attention_kl",
    "attention_mse",
    "attention_scores",
    "attention_transfer",
    "binary_cross_entropy",
    "binary_cross_entropy_positions",
    "binary_kd",
    "binary_kd_positions",
    "by_confidence",
    "check_labels",
    "cls_mse",
    "confidence_weights",
    "contrastive",
    "counted",
    "cross_entropy",
    "cross_entropy_positions",
    "ctc_fits",
    "ctc_frame_kd",
    "ctc_frames",
    "ctc_sequence_kd",
    "ctc_sequence_kd_utterances",
    "dist",
    "dkd",
    "dkd_positions",
    "forward_kl",
    "forward_kl_positions",
    "hidden_cosine",
    "hidden_mse",
    "hint",
    "jsd",
    "jsd_positions",
    "kd",
    "kd_positions",
    "label_reading",
    "labelled",
    "log_probabilities",
    "mean_logits",
    "mean_of",
    "mean_over",
    "mean_probabilities",
    "mse_logits",
    "mse_logits_positions",
    "nkd",
    "nkd_positions",
    "policy_kl",
    "policy_kl_positions",
    "relation_kl",
    "relations",
    "rest_at",
    "reverse_kl",
    "reverse_kl_positions",
    "review_hcl",
    "rkd_angle",
    "rkd_distance",
    "sampled_cross_entropy",
    "sampled_cross_entropy_positions",
    "sampled_reading",
    "sequence_kd",
    "silenced",
    "similarity_preserving",
    "skew_forward_kl",
    "skew_forward_kl_positions",
    "skew_reverse_kl",
    "skew_reverse_kl_positions",
    "sparse_kl",
    "sparse_kl_positions",
    "sparse_reading",
    "standardized_kd",
    "standardized_kd_positions",
    "taid",
    "taid_positions",
    "top_k",
    "total_of",
    "total_variation",
    "total_variation_positions",
    "totals_of",
    "ttm",
    "ttm_positions",
    "uld",
    "uld_positions",
    "word_kd",
    "wttm",
    "wttm_positions",
]
