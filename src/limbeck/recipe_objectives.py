"""The recipe's ``objective`` section: what a student may be asked to match. No torch.

One section for each objective that classification can use, named and with defaults as in
:mod:`limbeck.objectives.catalogue`; a section's fields are the arguments of the module of that name.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from .recipe_section import (
    ClassWeights,
    Count,
    Depth,
    NotNegative,
    Positive,
    Section,
    StudentPath,
    StudentPaths,
    TeacherPath,
    TeacherPaths,
    Temperature,
    Weight,
    Width,
)
from .recipe_transformers import PKD, AttentionMaps, HiddenStates, MiniLM, TinyBERT, ValueRelations


class KD(Section):
    """T^2 KL(teacher || student) of softened probabilities (Hinton et al. 2015)."""

    temperature: Temperature = 4.0
    weight: Weight = 1.0


class CrossEntropy(Section):
    """Cross-entropy with the labels."""

    weight: Weight = 1.0
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the label's mass spread evenly over all classes."""
    class_weights: ClassWeights = None
    """What an example of each class weighs in the mean: ``balanced`` (the rarer in train, the more: N / (C N_c)), a number
    for each class in their order, or numbers by name, where those not named weigh 1. The baselines take them too."""


class BinaryKD(Section):
    """T^2 KL(teacher || student) of each class's yes and no, summed over classes (Yang et al. 2023)."""

    temperature: Temperature = 1.0
    weight: Weight = 1.0


class BinaryCrossEntropy(Section):
    """Cross-entropy with a yes or no for each class, summed over classes."""

    weight: Weight = 1.0
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a label's mass spread evenly over yes and no."""
    class_weights: ClassWeights = None
    """What the yes of each class weighs where its no weighs 1: ``balanced`` (no's for each yes in train), a number for each
    class in their order, or numbers by name, where those not named weigh 1. The baselines take them too."""


class DKD(Section):
    """KD in two parts: the true class against the rest, and the rest among themselves (Zhao et al. 2022)."""

    alpha: NotNegative = 1.0
    """Factor of the true class's part."""
    beta: NotNegative = 8.0
    """Factor of the other classes' part; published: 2 to 8 on CIFAR-100, 0.5 to 2 on ImageNet."""
    temperature: Temperature = 4.0
    weight: Weight = 1.0


class NKD(Section):
    """The true class's share of the cross-entropy, and the other classes normalised (Yang et al. 2023)."""

    gamma: NotNegative = 1.5
    """Factor of the other classes' part."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class DIST(Section):
    """Correlation within each example and within each class of the batch (Huang et al. 2022)."""

    beta: NotNegative = 1.0
    """Factor of the correlation between classes, example by example."""
    gamma: NotNegative = 1.0
    """Factor of the correlation between examples, class by class."""
    temperature: Temperature = 4.0
    weight: Weight = 2.0


class StandardizedKD(Section):
    """KD between logits brought to mean 0 and deviation 1, example by example (Sun et al. 2024)."""

    temperature: Temperature = 2.0
    weight: Weight = 9.0


class TTM(Section):
    """KL from the teacher's probabilities to the power gamma to the student's own (Zheng and Yang 2024)."""

    gamma: Positive = 0.1
    """The power; 1/T of a teacher's temperature T."""
    weight: Weight = 45.0


class WTTM(Section):
    """TTM, each example weighted by how undecided the teacher is (Zheng and Yang 2024)."""

    gamma: Positive = 0.1
    """The power; 1/T of a teacher's temperature T."""
    weight: Weight = 45.0


class MSELogits(Section):
    """Squared difference of centred logits (Ba and Caruana 2014)."""

    weight: Weight = 1.0


class ForwardKL(Section):
    """KL(teacher || student)."""

    temperature: Temperature = 1.0
    weight: Weight = 1.0


class ReverseKL(Section):
    """KL(student || teacher) (Gu et al. 2024)."""

    temperature: Temperature = 1.0
    weight: Weight = 1.0


class JSD(Section):
    """The generalised Jensen-Shannon divergence (Agarwal et al. 2024)."""

    beta: float = Field(default=0.5, ge=0, le=1)
    """Share of the teacher in the mixture; 0 is the forward KL and 1 the reverse KL."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class SkewForwardKL(Section):
    """KL from the teacher to a mixture of both (Ko et al. 2024)."""

    skew: float = Field(default=0.1, ge=0, lt=1)
    """Share of the teacher in the mixture."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class SkewReverseKL(Section):
    """KL from the student to a mixture of both (Ko et al. 2024)."""

    skew: float = Field(default=0.1, ge=0, lt=1)
    """Share of the student in the mixture."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class AlphaBeta(Section):
    """The alpha-beta divergence, with the KLs and the Hellinger distance among its members (Wang et al. 2025)."""

    alpha: float = Field(default=0.8, ge=-10, le=10)
    """Power of the teacher's probabilities."""
    beta: float = Field(default=0.3, ge=-10, le=10)
    """Power of the student's probabilities."""
    temperature: Temperature = 4.0
    weight: Weight = 32.0


class AdaptiveKL(Section):
    """Forward and reverse KL, weighted by the gap in the teacher's head and tail (Wu et al. 2025)."""

    mu: float = Field(default=0.5, ge=0, le=1)
    """Share of the teacher's mass that makes its head."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class TotalVariation(Section):
    """Half the absolute difference of the probabilities (Wen et al. 2023)."""

    temperature: Temperature = 1.0
    weight: Weight = 1.0


class TAID(Section):
    """A target that moves from the student to the teacher as training goes (Shing et al. 2025)."""

    t0: float = Field(default=0.4, ge=0, le=1)
    """Share of the teacher at the first step."""
    t1: float = Field(default=1.0, ge=0, le=1)
    """Share of the teacher at the last; not below t0."""
    alpha: float = Field(default=5e-4, ge=0, le=1)
    """How fast the share grows beyond the progress of the run while the loss falls."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Of the loss's relative change."""
    temperature: Temperature = 1.0
    weight: Weight = 1.0


class FitNets(Section):
    """The student's features, through a regressor, equal the teacher's (Romero et al. 2015)."""

    student: StudentPaths
    teacher: TeacherPaths
    weight: Weight = 100.0
    kernel: Depth = 1
    """Side of the regressor's convolution; odd."""


class AttentionTransfer(Section):
    """Where a map is large, averaged over channels, stage by stage (Zagoruyko and Komodakis 2017)."""

    student: StudentPaths
    teacher: TeacherPaths
    weight: Weight = 1000.0
    power: float = Field(default=2.0, ge=1, le=100)
    """Power of the activations whose mean over channels is the attention."""


class SimilarityPreserving(Section):
    """Which examples of a batch have similar features (Tung and Mori 2019)."""

    student: StudentPaths
    teacher: TeacherPaths
    weight: Weight = 3000.0


class RKD(Section):
    """Distances and angles between the examples of a batch (Park et al. 2019)."""

    student: StudentPath
    teacher: TeacherPath
    weight: Weight = 1.0
    distance: NotNegative = 25.0
    """Factor of the distances."""
    angle: NotNegative = 50.0
    """Factor of the angles."""


class CRD(Section):
    """Each example's features told from those of other examples, kept in a memory bank (Tian et al. 2020)."""

    student: StudentPath
    teacher: TeacherPath
    weight: Weight = 0.8
    negatives: Count = 16384
    """How many other examples each is told from."""
    temperature: Positive = 0.07
    """Divides the similarities."""
    momentum: float = Field(default=0.5, ge=0, lt=1)
    """Share of the old embedding when the bank is written."""
    dim: Width = 128
    """Length of an embedding."""


class ReviewKD(Section):
    """Features fused from the deepest to the shallowest equal the teacher's (Chen et al. 2021)."""

    student: StudentPaths
    teacher: TeacherPaths
    weight: Weight = 5.0


class SimKD(Section):
    """The last map, through a projector, equals the teacher's (Chen et al. 2022).

    What is trained, measured and exported is the student's body, the projector and the teacher's classifier: larger than
    the student, which the baselines are. Paths are those of the last maps, whose mean the last linear layer is given.
    """

    student: StudentPath
    teacher: TeacherPath
    weight: Weight = 1.0
    factor: Depth = 2
    """How much narrower than the teacher's map the middle of the projector is."""


class Objective(Section):
    """What the student is asked to match: a weighted sum of any of these. ``limbeck objectives`` compares them.

    The defaults of weights are the published ones, most of them beside ``cross_entropy`` with weight 1. Those on features
    ask the teacher at every step, for only its logits are stored.
    """

    kd: KD | None = None
    """Match the teacher's softened probabilities."""
    cross_entropy: CrossEntropy | None = None
    """Match the labels."""
    binary_kd: BinaryKD | None = None
    """Match the teacher's yes or no for each class, where an example may have several."""
    binary_cross_entropy: BinaryCrossEntropy | None = None
    """Match the labels, where an example may have several."""
    dkd: DKD | None = None
    """Match the true class and the others apart."""
    nkd: NKD | None = None
    """Match the true class, and the others brought to sum 1."""
    dist: DIST | None = None
    """Match correlations within examples and within classes."""
    standardized_kd: StandardizedKD | None = None
    """Match softened probabilities of standardised logits."""
    ttm: TTM | None = None
    """Match the teacher's probabilities to a power."""
    wttm: WTTM | None = None
    """The same, weighted by how undecided the teacher is."""
    mse_logits: MSELogits | None = None
    """Match the logits themselves."""
    forward_kl: ForwardKL | None = None
    """Match the probabilities, by the KL from the teacher."""
    reverse_kl: ReverseKL | None = None
    """Match the probabilities, by the KL from the student."""
    jsd: JSD | None = None
    """Match the probabilities, by the Jensen-Shannon divergence."""
    skew_forward_kl: SkewForwardKL | None = None
    """Match the probabilities, by the KL from the teacher to a mixture."""
    skew_reverse_kl: SkewReverseKL | None = None
    """Match the probabilities, by the KL from the student to a mixture."""
    alpha_beta: AlphaBeta | None = None
    """Match the probabilities, by the alpha-beta divergence."""
    adaptive_kl: AdaptiveKL | None = None
    """Match the probabilities, by both KLs, weighted by the gap."""
    total_variation: TotalVariation | None = None
    """Match the probabilities, by the total variation distance."""
    taid: TAID | None = None
    """Match a target that moves from the student to the teacher."""
    fitnets: FitNets | None = None
    """Match features through a regressor."""
    attention_transfer: AttentionTransfer | None = None
    """Match where the features are large."""
    similarity_preserving: SimilarityPreserving | None = None
    """Match which examples have similar features."""
    rkd: RKD | None = None
    """Match distances and angles between examples' features."""
    crd: CRD | None = None
    """Tell each example's features from those of others."""
    reviewkd: ReviewKD | None = None
    """Match features of several depths, fused."""
    simkd: SimKD | None = None
    """Match the features that the teacher's classifier is given."""
    hidden_states: HiddenStates | None = None
    """Match transformers' hidden states."""
    attention_maps: AttentionMaps | None = None
    """Match transformers' attention."""
    value_relations: ValueRelations | None = None
    """Match how positions relate in transformers' attention."""
    tiny_bert: TinyBERT | None = None
    """Match the layers of a text model: embeddings, hidden states and attention."""
    pkd: PKD | None = None
    """Match the layers of a text model: the first position's states."""
    minilm: MiniLM | None = None
    """Match the last layer of a text model: how positions relate."""

    @model_validator(mode="after")
    def _some(self) -> Objective:
        if not self.terms:
            names = ", ".join(Objective.model_fields)
            raise ValueError(f"an objective needs at least one term: {names}")
        for name, term in self.terms.items():
            layers = [_layers(getattr(term, model, ())) for model in ("student", "teacher")]
            if layers[0] != layers[1]:
                raise ValueError(
                    f"{name} compares layers in pairs, and names {layers[0]} of the student and {layers[1]} of the "
                    "teacher; name as many of each"
                )
        return self

    @property
    def terms(self) -> dict[str, Any]:
        """The sections that were given, by name, in the order of the fields; each has a weight."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in given.items() if section is not None}


def _layers(paths: str | tuple[str, ...]) -> int:
    return 1 if isinstance(paths, str) else len(paths)
