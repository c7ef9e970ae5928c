"""Where the parts of a BERT-like classifier are: what the families call the same thing.

All of them are encoders that normalise after each residual sum (Devlin et al. 2019): the *hidden* dimensions are what the
sums and their norms pass along, the same ones in every layer; heads and feed-forward units are each layer's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from ..errors import BadInput
from ..interfaces import Inside


class Layer(NamedTuple):
    """One layer's modules."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attended: nn.Linear  # from the heads back to the hidden dimensions
    attention_norm: nn.LayerNorm
    up: nn.Linear
    down: nn.Linear
    output_norm: nn.LayerNorm


class Anatomy(NamedTuple):
    """A classifier's modules."""

    words: nn.Embedding
    others: tuple[nn.Embedding, ...]  # positions, and token types where there are any
    embedding_norm: nn.LayerNorm
    layers: tuple[Layer, ...]
    gather: nn.Linear  # from the first token's hidden dimensions; what it gives goes through a function into `answer`
    answer: nn.Linear  # to the classes
    heads: int

    @property
    def hidden(self) -> int:
        """How many hidden dimensions there are."""
        return self.words.embedding_dim

    @property
    def feed_forward(self) -> int:
        """How many units a layer's feed-forward part has."""
        return self.layers[0].up.out_features


class Sizes(NamedTuple):
    """What makes a member of a family larger or smaller."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int


class _Names(NamedTuple):
    tables: tuple[str, ...]
    embedding_norm: str
    layers: str
    layer: tuple[str, ...]  # in Layer's order
    gather: str
    answer: str
    config: tuple[str, ...]  # in the order of Sizes


_BERT_LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_BERT_CONFIG = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")

_FAMILIES = {
    "bert": _Names(
        tuple(f"bert.embeddings.{table}" for table in _TABLES),
        "bert.embeddings.LayerNorm",
        "bert.encoder.layer",
        _BERT_LAYER,
        "bert.pooler.dense",
        "classifier",
        _BERT_CONFIG,
    ),
    "roberta": _Names(
        tuple(f"roberta.embeddings.{table}" for table in _TABLES),
        "roberta.embeddings.LayerNorm",
        "roberta.encoder.layer",
        _BERT_LAYER,
        "classifier.dense",
        "classifier.out_proj",
        _BERT_CONFIG,
    ),
    "distilbert": _Names(
        tuple(f"distilbert.embeddings.{table}" for table in _TABLES[:2]),
        "distilbert.embeddings.LayerNorm",
        "distilbert.transformer.layer",
        (
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
        "pre_classifier",
        "classifier",
        ("n_layers", "dim", "n_heads", "hidden_dim", "vocab_size"),
    ),
}


def anatomy(model: Any) -> Anatomy:
    """The parts of ``model``, a sequence classifier.

    Raises:
        BadInput: it is of a family that is not known here.
    """
    names = _names(model.config)
    layers = model.get_submodule(names.layers)
    return Anatomy(
        *_tables(model, names),
        model.get_submodule(names.embedding_norm),
        tuple(Layer(*(layer.get_submodule(path) for path in names.layer)) for layer in layers),
        model.get_submodule(names.gather),
        model.get_submodule(names.answer),
        int(getattr(model.config, names.config[2])),
    )


def inside(model: nn.Module, who: str, role: str) -> Inside:
    """Where the layers of ``model`` are: a classifier, an encoder alone, or either within a wrapper.

    Raises:
        BadInput: there is no encoder of a family that is known here; ``who`` wants to know, of the ``role``'s model.
    """
    for path, module in model.named_modules():
        config = getattr(module, "config", None)
        names = _FAMILIES.get(getattr(config, "model_type", ""))
        if names is None:
            continue
        family = names.layers.split(".")[0] + "."
        for head in (family, ""):  # an encoder alone has its layers without the family's name before them
            try:
                layers = module.get_submodule(head + names.layers.removeprefix(family))
            except AttributeError:
                continue
            prefix = (f"{path}." if path else "") + head
            attention = names.layer[0].rpartition(".")[0]
            layer = prefix + names.layers.removeprefix(family) + ".{}"
            return Inside(
                layers=len(layers),  # type: ignore[arg-type]
                heads=int(getattr(config, names.config[2])),
                embeddings=prefix + names.tables[0].removeprefix(family).rpartition(".")[0],
                layer=layer,
                attention=f"{layer}.{attention}",
                parts=tuple(part.rpartition(".")[2] for part in names.layer[:3]),  # type: ignore[arg-type]
            )
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    raise BadInput(
        f"{who} finds the layers of {', '.join(_FAMILIES)} by itself, and the {role} ({kind}) is none of "
        "these: take hidden_states, attention_maps or value_relations and name its modules, or an objective on the answers."
    )


def sizes(config: Any) -> Sizes:
    """The sizes in a configuration. Raises :class:`BadInput` where its family is not known here."""
    return Sizes(*(int(getattr(config, key)) for key in _names(config).config))


def set_sizes(config: Any, wanted: Sizes) -> None:
    """Writes the sizes into a configuration of a family known here."""
    for key, value in zip(_names(config).config, wanted):
        setattr(config, key, int(value))


def _names(config: Any) -> _Names:
    names = _FAMILIES.get(config.model_type)
    if names is None:
        raise BadInput(
            f"student: a teacher of the family '{config.model_type}' cannot be made smaller here; "
            f"{', '.join(_FAMILIES)} can. A bag of embeddings or a convolutional student works with any teacher."
        )
    return names


def _tables(model: Any, names: _Names) -> tuple[nn.Embedding, tuple[nn.Embedding, ...]]:
    words, *others = (model.get_submodule(path) for path in names.tables)
    return words, tuple(others)
