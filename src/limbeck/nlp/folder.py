"""A sequence classifier with its tokenizer: found by name, loaded for the data's labels, saved as a folder.

A *folder* is Hugging Face's: ``config.json``, ``model.safetensors`` and the tokenizer's files. Only safetensors are
read, and code that comes with a model is never run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import safetensors
from torch import nn

from .. import hub
from ..errors import BadInput, short
from ..files import atomic_folder, near
from ..models.weights import save_weights
from . import vocabulary as text_vocabulary
from .extra import transformers
from .locate import CONVERT, locate

# Families that keep the first positions for padding: their table is longer than their longest input.
_OFFSET_POSITIONS = {"camembert", "data2vec-text", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xmod"}
# Tables of embeddings are often rounded up, to 64 or 128 rows.
SPARE_ROWS = 128


def load_tokenizer(name: str, *, role: str = "teacher") -> Any:
    """The tokenizer that comes with the model called ``name``. Raises as :func:`load_classifier` does."""
    place = locate(name, role=role)
    with quiet(), sentences_of(name, role), source_of(place):
        return tokenizer_of(place, name, role)


def save_folder(model: nn.Module, tokenizer: Any, path: str | Path, *, replace: bool = False) -> None:
    """Writes ``model`` and ``tokenizer`` as a folder that ``from_pretrained`` and ``pipeline`` load, whole or not at all.

    The vocabulary of a student with fewer tokens than its teacher (:class:`~.text_vocabulary.FromTeacherIds`) is
    kept beside the model, which is saved with its own ids.

    Raises :class:`BadInput` where ``path`` holds something and ``replace`` is false, or cannot be written.
    """
    tokenizer = copy.deepcopy(tokenizer)
    inner = text_vocabulary.inner(model)
    tokenizer.model_max_length = longest_input(inner, tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # what the last call set would otherwise hold for everybody who reads tokenizer.json
        backend.no_padding()
        backend.no_truncation()
    with atomic_folder(Path(path), replace=replace) as folder, quiet():
        if hasattr(inner, "save_pretrained"):
            inner.save_pretrained(folder)
        else:  # a person's own module, whose class is theirs
            save_weights(inner, folder / "model.safetensors")
        tokenizer.save_pretrained(folder)
        if isinstance(model, text_vocabulary.FromTeacherIds):
            text_vocabulary.write(model, folder)


def longest_input(model: Any, tokenizer: Any) -> int:
    """The longest input in tokens that both the model and its tokenizer allow; a million where neither has a limit."""
    config = getattr(model, "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        positions = 1_000_000
    elif getattr(config, "model_type", None) in _OFFSET_POSITIONS:
        positions -= (getattr(config, "pad_token_id", None) or 0) + 1
    return min(positions, int(min(tokenizer.model_max_length, 1_000_000)))


def check_tokenizer(model: Any, tokenizer: Any, *, role: str = "teacher") -> None:
    """Raises :class:`BadInput` where ``tokenizer`` gives ids that ``model`` has no embedding for, or cannot pad."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise BadInput(
            f"{role}: the tokenizer knows {len(tokenizer)} tokens and the model has embeddings for {rows}: they are "
            "of different vocabularies. Take the tokenizer that the model was trained with."
        )
    beyond = {token: id_ for token, id_ in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids) if id_ >= rows}
    if beyond:
        raise BadInput(
            f"{role}: the tokenizer's special tokens {beyond} lie beyond the model's {rows} embeddings: they are of "
            "different vocabularies. Take the tokenizer that the model was trained with."
        )
    pad = tokenizer.pad_token_id
    if pad is None:
        raise BadInput(
            f"{role}: the tokenizer has no padding token, so texts of different lengths cannot stand in one batch. "
            "Give it one (tokenizer.pad_token = tokenizer.eos_token) and save it in the model's folder."
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = pad
    elif model.config.pad_token_id != pad:
        raise BadInput(
            f"{role}: the tokenizer pads with token {pad}, the model's config.json says {model.config.pad_token_id}: "
            "they are of different vocabularies, or pad_token_id is wrong."
        )


def tokenizer_of(place: str, name: str, role: str) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    # where a folder has no tokenizer's files, transformers makes one up that knows special tokens alone
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise BadInput(
            f"{role}: {name} has no tokenizer (tokenizer.json): copy the files of the one that it was trained with "
            "there."
        )
    return tokenizer


@contextmanager
def sentences_of(name: str, role: str, what: str = "a sequence classifier") -> Iterator[None]:
    """What transformers and the hub raise, as a sentence; ``what`` the model is to be."""
    try:
        yield
    except BadInput:
        raise
    except safetensors.SafetensorError as error:
        raise BadInput(
            f"{role}: the weights of {name} are damaged ({short(error)}); copy or download them again."
        ) from error
    except Exception as error:  # configurations, weights and the network fail with errors of every kind
        said = short(error)
        if not name.startswith("package:") and not Path(name).expanduser().exists():
            _refuse_hub_name(name, role, said, error)
        if "trust_remote_code" in said or "custom code" in said:
            raise BadInput(
                f"{role}: {name} needs code of its own, which is never run. Take a model that transformers knows."
            ) from error
        if "safetensors" in said and ("not appear to have" in said or "does not" in said or "no file named" in said):
            raise BadInput(f"{role}: {name} has no safetensors. {CONVERT}") from error
        raise BadInput(f"{role}: {name} cannot be loaded as {what}: {said}") from error


def source_of(place: str) -> AbstractContextManager[None]:
    """A folder is read as it is; the hub is asked quietly."""
    return nullcontext() if Path(place).is_dir() else hub.asked()


def _refuse_hub_name(name: str, role: str, said: str, error: Exception) -> None:
    """What to say of a name that was taken for one on the hub, where the hub did not give the model."""
    hint = near(Path(name))
    if "connect" in said or "offline" in said:
        raise BadInput(
            f"{role}: there is no folder {name} here, and the Hugging Face hub cannot be reached to ask for a model of that "
            f"name: name a local folder, or package:NAME/FOLDER, or check the network.{hint}"
        ) from error
    if "not a valid model identifier" in said:
        raise BadInput(
            f"{role}: there is no folder {name} here, and no model of that name on the Hugging Face hub (or it needs a "
            f"login): name a local folder, or package:NAME/FOLDER.{hint}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers' own table of what was loaded goes nowhere: what matters of it is said in sentences here."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
