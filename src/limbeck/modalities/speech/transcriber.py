"""A model of transformers that writes down what is said, with how sure it is of it: a recogniser that is asked for transcripts alone.

Shapes: S samples, K tokens, L frames, W tokens known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput
from ...models.identity import digest
from ...nlp.extra import transformers
from ...nlp.folder import quiet, sentences_of, source_of
from ...nlp.locate import locate
from .audio import brought_to

_ROLE = "teacher.recogniser"


class Transcriber:
    """Of samples (S,) float32 in [-1, 1] and their rate: what is said, and the geometric mean of its tokens' probabilities.

    Models that generate text (Whisper, Moonshine) do so as their ``generation_config`` says; of CTC models the likeliest path is read.
    A clip that is longer than a model hears at once is heard in equal parts. It runs on the CPU.

    Args:
        name: a folder, ``package:NAME/FOLDER``, or a name on the Hugging Face hub.
        settings: further arguments of ``generate``, such as ``language`` or ``num_beams``.

    Raises :class:`BadInput` where there is no such model, or it is of another kind.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        place = locate(name, role=_ROLE)
        with quiet(), sentences_of(name, _ROLE, "a recogniser"), source_of(place):
            config: Any = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
            kinds = (transformers.AutoModelForSpeechSeq2Seq, transformers.AutoModelForCTC)
            of = next((kind for kind in kinds if type(config) in kind._model_mapping), None)
            if of is None:
                raise BadInput(f"{_ROLE}: {name} is of the kind '{config.model_type}', which writes down nothing.")
            self.generates = of is kinds[0]
            if settings and not self.generates:
                raise BadInput(
                    f"{_ROLE}: {name} generates no text, so that '{next(iter(settings))}' says nothing; leave it out."
                )
            loading = {"use_safetensors": True, "trust_remote_code": False, "dtype": torch.float32}
            self.network: Any = of.from_pretrained(place, **loading).eval()
            self.processor: Any = transformers.AutoProcessor.from_pretrained(place, trust_remote_code=False)
        self.settings = dict(settings)
        self.known_by = repr(("transformers", digest(self.network), sorted(self.settings.items())))
        """What tells its answers from those of others, wherever it lies."""

    def __call__(self, samples_S: np.ndarray, rate: int) -> tuple[str, float]:
        hears = self.processor.feature_extractor
        samples_S = brought_to(samples_S, rate, hears.sampling_rate)
        parts = np.array_split(samples_S, max(1, -(-len(samples_S) // getattr(hears, "n_samples", len(samples_S)))))
        with quiet(), torch.inference_mode():
            told = [self._told(part_S) for part_S in parts]
        log_K = torch.cat([one for _, one in told])
        return " ".join(text.strip() for text, _ in told), math.exp(min(0.0, float(log_K.mean()))) if len(
            log_K
        ) else 0.0

    def _told(self, samples_S: np.ndarray) -> tuple[str, Tensor]:
        """What is said in a part, and the natural logarithms of probabilities that it rests on."""
        given = self.processor(
            samples_S, sampling_rate=self.processor.feature_extractor.sampling_rate, return_tensors="pt"
        )
        if not self.generates:
            log_LW = self.network(**given).logits[0].float().log_softmax(-1)
            best_L = log_LW.max(-1)
            return self.processor.batch_decode(best_L.indices[None])[0], best_L.values
        said = self.network.generate(**given, **self.settings, return_dict_in_generate=True, output_scores=True)
        log_K = said.get("sequences_scores")  # of several beams, which are tokens' mean already
        if log_K is None:
            log_K = self.network.compute_transition_scores(said.sequences, said.scores, normalize_logits=True)[0]
        return self.processor.batch_decode(said.sequences, skip_special_tokens=True)[0], log_K.float()
