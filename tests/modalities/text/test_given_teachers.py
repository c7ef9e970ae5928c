"""Classifiers of texts that could be read wrongly: probabilities, one output for two classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from limbeck.errors import BadInput
from limbeck.modalities.text.classifier import load_classifier
from limbeck.nlp.folder import save_folder
from tests.helpers import text_runs
from tests.helpers.given_teachers import Sigmoid, SigmoidConfig
from tests.helpers.tiny_text import encode, logits_of, tiny_classifier, tiny_tokenizer

transformers.AutoConfig.register("bert_of_probabilities", SigmoidConfig)


transformers.AutoModelForSequenceClassification.register(SigmoidConfig, Sigmoid)


def test_several_labels_of_a_text_are_wanted_as_logits(tmp_path: Path) -> None:
    here = text_runs.write(tmp_path / "here", several=True)
    assert text_runs.job(here, tmp_path / "run").teacher is not None
    config = here / "teacher" / "config.json"
    about = json.loads(config.read_text()) | {"model_type": "bert_of_probabilities", "architectures": ["Sigmoid"]}
    config.write_text(json.dumps(about))
    with pytest.raises(BadInput, match=r"every answer for every label lies in 0 to 1.*leave out its last sigmoid"):
        text_runs.job(here, tmp_path / "run")


@pytest.mark.parametrize("named", ["good", "Bad", "LABEL_0"])
def test_a_classifier_of_texts_with_one_output(tmp_path: Path, named: str) -> None:
    model = tiny_classifier("bert", [named])
    model.config.problem_type = "multi_label_classification"
    tokenizer = tiny_tokenizer()
    save_folder(model, tokenizer, tmp_path / "one")
    loaded = load_classifier(str(tmp_path / "one"), ["bad", "good"])
    tokens = encode(tokenizer, ["the film is good", "a very dull plot"])
    (z_B,), logits_B2 = logits_of(model, tokens).T, logits_of(loaded.model, tokens)
    second, first = ("bad", "good") if named == "Bad" else ("good", "bad")
    at = ["bad", "good"].index(second)
    torch.testing.assert_close(logits_B2[:, at] - logits_B2[:, 1 - at], z_B)
    assert f"the logit of '{second}' against '{first}'" in loaded.notes[0]
    model.config.problem_type = None  # for transformers a regression
    save_folder(model, tokenizer, tmp_path / "plain")
    with pytest.raises(BadInput, match=r'"problem_type": "multi_label_classification"'):
        load_classifier(str(tmp_path / "plain"), ["bad", "good"])
