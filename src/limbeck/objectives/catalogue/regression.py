"""Objectives on numbers: the labels of a regression, and what a teacher says of them. No torch."""

from __future__ import annotations

from .entry import LABELS, NUMBERS, SPREAD, VALUES, Entry
from .settings import WEIGHT, Setting, above, at_least

_DELTA = Setting("delta", above(0), 1.0, "Where the square ends and the line begins, in the units of the numbers.")
_MSE = {"mse": {"weight": 1.0}}

REGRESSION = (
    Entry(
        name="mse",
        title="Numbers: squared error of the labels",
        authors="Hastie, Tibshirani, Friedman",
        paper="The Elements of Statistical Learning",
        year=2009,
        formula="mean over the D numbers of (s - y)²",
        needs=(LABELS,),
        when="A regression; beside any other objective on numbers, and alone it is training without a teacher.",
        beware="Few labels that are far off rule it: take huber. It is in squared units, so a weight does not carry over to "
        "labels on another scale.",
        module="MSE",
        function="mse",
        asks="Match the labels of a regression, by the squared error.",
        about="Squared error of numbers against the labels.",
        settings=(Setting("weight", WEIGHT, 1.0),),
        reads=NUMBERS,
    ),
    Entry(
        name="huber",
        title="Numbers: the labels, squared near them and linear beyond",
        authors="Huber",
        paper="Robust Estimation of a Location Parameter",
        year=1964,
        formula="mean over the D numbers of e²/2 where |e| ≤ δ, else δ (|e| - δ/2), e = s - y",
        needs=(LABELS,),
        when="A regression whose labels have outliers; δ about the size of an ordinary error. δ 1 is the smooth L1 of detectors.",
        beware="Half the squared error near the label: beside mse_values of weight 1, weight 2 weighs the same.",
        module="Huber",
        function="huber",
        asks="Match the labels of a regression, little moved by outliers.",
        about="Squared error of numbers against the labels near them, absolute error beyond (Huber 1964).",
        settings=(_DELTA, Setting("weight", WEIGHT, 1.0)),
        reads=NUMBERS,
    ),
    Entry(
        name="mse_values",
        title="Numbers: squared difference from the teacher's",
        authors="Saputra, de Gusmão, Almalioglu, Markham, Trigoni",
        paper="Distilling Knowledge From a Deep Pose Regressor Network",
        year=2019,
        formula="mean over the D numbers of (s - t)²",
        needs=(VALUES,),
        when="First, beside mse: what kd is for classes. On a transfer set it needs no labels.",
        beware="A teacher's number holds no more than its error: where the teacher is little better than the student, "
        "bounded_regression asks for less.",
        module="MSEValues",
        function="mse",
        asks="Match the teacher's numbers, by the squared difference.",
        about="Squared difference of the two models' numbers (Saputra et al. 2019).",
        settings=(Setting("weight", WEIGHT, 1.0),),
        reads=NUMBERS,
        beside=_MSE,
    ),
    Entry(
        name="huber_values",
        title="Numbers: the teacher's, squared near them and linear beyond",
        authors="Huber",
        paper="Robust Estimation of a Location Parameter",
        year=1964,
        formula="mean over the D numbers of e²/2 where |e| ≤ δ, else δ (|e| - δ/2), e = s - t",
        needs=(VALUES,),
        when="As mse_values, for a teacher that is far off now and then.",
        beware="Half the squared difference near the teacher: weight 2 is mse_values of weight 1.",
        module="HuberValues",
        function="huber",
        asks="Match the teacher's numbers, little moved by outliers.",
        about="Squared difference of the two models' numbers near the teacher's, absolute beyond (Huber 1964).",
        settings=(_DELTA, Setting("weight", WEIGHT, 1.0)),
        reads=NUMBERS,
        beside=_MSE,
    ),
    Entry(
        name="weighted_mse_values",
        title="Numbers: squared difference from the teacher's, less where it is unsure",
        authors="Mai, Khamies, Paull",
        paper="Batch Inverse-Variance Weighting: Deep Heteroscedastic Regression",
        year=2021,
        formula="mean over the D numbers of (s - t)² ξ²/(ξ² + σ²), σ the deviation of t over members or views",
        needs=(VALUES, SPREAD),
        when="An ensemble, or targets.average over several views, where the report says that its deviation grows with its error; "
        "as mse_values otherwise.",
        beware="The weight is 1 where the teacher is sure, and not divided by the batch's as in the paper. Members that err alike "
        "are sure of it. A small ξ leaves few examples that count.",
        module="WeightedMSEValues",
        function="weighted_mse",
        asks="Match the teacher's numbers, less where its members or views differ.",
        about="Squared difference of the two models' numbers, weighed by the inverse of the teacher's variance (Mai et al. 2021).",
        settings=(
            Setting(
                "tolerance",
                above(0),
                1.0,
                "ξ: the deviation at which a number weighs half, in the units of the numbers.",
            ),
            Setting("weight", WEIGHT, 1.0),
        ),
        reads=NUMBERS,
        beside=_MSE,
    ),
    Entry(
        name="bounded_regression",
        title="Numbers: the labels, until the student is better than the teacher",
        authors="Chen, Choi, Yu, Han, Chandraker",
        paper="Learning Efficient Object Detection Models with Knowledge Distillation",
        year=2017,
        formula="||s - y||² where ||s - y||² + m > ||t - y||², else 0",
        needs=(LABELS, VALUES),
        when="A teacher whose numbers may point the other way than the label; weight 0.5 beside huber or mse.",
        beware="The sum over the D numbers, as in the paper, where mse is their mean. Nothing is asked of examples without a "
        "label.",
        module="BoundedRegression",
        function="bounded_regression",
        asks="Match the labels of a regression where the student is not yet better than the teacher.",
        about="Squared error of numbers against the labels, where the teacher's is not larger by a margin (Chen et al. 2017).",
        settings=(
            Setting(
                "margin",
                at_least(0),
                0.0,
                "By how much the student's squared error must be below the teacher's, in squared units of the numbers, until "
                "nothing more is asked.",
            ),
            Setting("weight", WEIGHT, 0.5),
        ),
        reads=NUMBERS,
        beside={"huber": {"weight": 1.0}},
    ),
)
