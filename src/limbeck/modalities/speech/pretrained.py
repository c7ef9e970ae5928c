"""A checkpoint of transformers as a teacher of sounds: a folder, ``package:NAME/FOLDER``, or a name on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...errors import BadInput
from ...models.labels import listed, map_labels
from ...models.seeding import seeded
from ...nlp.extra import transformers
from ...nlp.folder import quiet, sentences_of, source_of
from ...nlp.locate import locate
from .examples import Splits
from .model_sections import TeacherSection
from .wav2vec import SampleClassifier, SampleCTC
from .whisper import RATE, WhisperCTC

_ROLE = "teacher"
_DELIMITER = "|"  # what CTC models of transformers write for a space


def pretrained(section: TeacherSection, splits: Splits, *, seed: int, notes: list[str]) -> nn.Module:
    """The model in float32 on the CPU. A head that it lacks starts from ``seed`` alone. ``notes`` gains what had to be taken for granted.

    Raises:
        BadInput: there is no such model, it is of a kind that is not taken, or it does not fit the data.
    """
    place = locate(section.model, role=_ROLE)
    with quiet(), sentences_of(section.model, _ROLE, "a model of sounds"), source_of(place):
        config: Any = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        if splits.samples is not None:
            return _classifier(config, place, section, splits, seed, notes)
        if config.model_type == "whisper":
            return _whisper(place, section, splits, seed)
        return _ctc(config, place, section, splits, notes)


def _whisper(place: str, section: TeacherSection, splits: Splits, seed: int) -> nn.Module:
    _check_rate(splits.rate, RATE, section.model)
    if section.train is None and section.weights is None:
        raise BadInput(
            f"{_ROLE}: {section.model} has no head for the data's symbols, so its answers would mean nothing: give teacher.train "
            "(teacher={model: ..., train: {}}), or name it as the recogniser that it is (teacher={recogniser: ...})."
        )
    body, _ = _loaded(transformers.WhisperModel, place, section.model, "encoder.")
    with seeded(seed):
        return WhisperCTC(body.encoder, splits.answers.width)


def _ctc(config: Any, place: str, section: TeacherSection, splits: Splits, notes: list[str]) -> nn.Module:
    name, of = section.model, transformers.AutoModelForCTC
    if type(config) not in of._model_mapping:
        raise BadInput(
            f"{_ROLE}: {name} is of the kind '{config.model_type}', and what hears symbols at frames are Whisper's encoder and models for "
            "CTC, such as wav2vec2: name a checkpoint of one of these."
        )
    extractor = _extractor(place, name, splits.rate)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    known = {token: at for token, at in tokenizer.get_vocab().items() if at < config.vocab_size}
    blank = config.pad_token_id
    if blank is None or blank != tokenizer.pad_token_id or blank not in known.values():
        raise BadInput(
            f"{_ROLE}: the blank of {name} is its padding token, {blank} in config.json and {tokenizer.pad_token_id} in its tokenizer of "
            f"{len(known)}: they must be one and the same."
        )
    outputs, lacking = [blank], []
    for symbol in splits.answers.names[1:]:
        spelt = (_DELIMITER, symbol) if symbol == " " else (symbol, symbol.upper(), symbol.lower())
        found = next((known[one] for one in spelt if one in known), None)
        outputs.append(-1 if found is None else found)
        lacking += [symbol] if found is None else []
    if lacking:
        raise BadInput(
            f"{_ROLE}: {name} knows no {listed(lacking, 8)}, which the data's alphabet has: map them to others (data.replace), or name it as a "
            "recogniser, of which transcripts alone are learnt (teacher={recogniser: ...})."
        )
    special = set(tokenizer.all_special_tokens)
    spare = [token for token, at in known.items() if at not in outputs and token not in special]
    if spare:
        notes.append(
            f"{name} knows {listed(sorted(spare), 8)} besides, which the data's alphabet lacks: they are left out of what it says."
        )
    config.apply_spec_augment, config.layerdrop = False, 0.0  # which the views' masks are
    network, missing = _loaded(of, place, name, "", config=config)
    del missing
    return SampleCTC(network, outputs, normalise=extractor.do_normalize)


def _classifier(
    config: Any, place: str, section: TeacherSection, splits: Splits, seed: int, notes: list[str]
) -> nn.Module:
    name = section.model
    of: Any = transformers.AutoModelForAudioClassification
    if type(config) not in of._model_mapping:
        raise BadInput(f"{_ROLE}: {name} is of the kind '{config.model_type}', which classifies no sounds.")
    extractor = _extractor(place, name, splits.rate)
    config.apply_spec_augment, config.layerdrop = False, 0.0
    with seeded(seed):
        network, missing = _loaded(
            of, place, name, f"{of._model_mapping[type(config)].base_model_prefix}.", config=config
        )
        if missing:
            if section.train is None:
                raise BadInput(
                    f"{_ROLE}: {name} has no head for the task, so its answers would mean nothing: give teacher.train, or name a classifier."
                )
            config.num_labels = len(splits.classes)
            network, _ = _loaded(of, place, name, f"{network.base_model_prefix}.", config=config)
            return SampleClassifier(network, range(len(splits.classes)), normalise=extractor.do_normalize, fresh=True)
    named = [str(config.id2label[output]) for output in range(config.num_labels)]
    mapped = map_labels(named, splits.classes, role=_ROLE)
    notes += [] if mapped.note is None else [mapped.note]
    return SampleClassifier(network, mapped.order, normalise=extractor.do_normalize, fresh=False)


def _loaded(kind: Any, place: str, name: str, needed: str, **given: Any) -> tuple[Any, Sequence[str]]:
    """The checkpoint as a model of a class, and the weights that it lacks. Raises :class:`BadInput` where their names begin with ``needed``."""
    model, facts = kind.from_pretrained(
        place, use_safetensors=True, trust_remote_code=False, output_loading_info=True, dtype=torch.float32, **given
    )
    lost = sorted(
        key
        for key in facts["missing_keys"]
        if key.startswith(needed) and key != _MASKED.format(model.base_model_prefix)
    )
    if lost:
        raise BadInput(
            f"{_ROLE}: the weights of {name} are not those of a {type(model).__name__}: '{lost[0]}' is missing, {len(lost)} in all. Is "
            "config.json of another model?"
        )
    return model.eval(), sorted(facts["missing_keys"])


_MASKED = "{}.masked_spec_embed"  # what stands for masked frames, of which there are none here


def _extractor(place: str, name: str, rate: int) -> Any:
    extractor: Any = transformers.AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False)
    if not isinstance(extractor, transformers.Wav2Vec2FeatureExtractor):
        raise BadInput(
            f"{_ROLE}: {name} takes what a {type(extractor).__name__} makes of sounds, and a model that takes samples is wanted, such as "
            "wav2vec2, hubert or wavlm."
        )
    _check_rate(rate, extractor.sampling_rate, name)
    return extractor


def _check_rate(rate: int, wanted: int, name: str) -> None:
    if rate != wanted:
        raise BadInput(
            f"{_ROLE}: {name} hears sound at {wanted:,} samples a second, and the clips are at {rate:,}: set data.rate: {wanted}, to "
            "which they are then brought."
        )
