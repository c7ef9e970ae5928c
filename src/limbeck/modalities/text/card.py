"""The model card of a classifier of texts: how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...deploy.model_card import escaped, exported_file, model_card

OWN_FAMILIES = "limbeck-"
"""How the ``model_type`` of a student begins whose classes transformers does not have."""


def text_card(
    results: Mapping[str, Any],
    *,
    model_type: str | None = None,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    base_model: str | None = None,
    license: str | None = None,
) -> str:
    """The card of the student that a run of texts trained, from its ``results.json``.

    Args:
        results: ``results.json``.
        model_type: that of the student's ``config.json``; from it follows whether who downloads it needs Limbeck.
        inputs: the names of what its ONNX file is given.
        base_model, license: as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    own = model_type is None and results["data"]["name"] == "python"
    return model_card(
        results,
        usage=usage(results, inputs, limbecks=(model_type or "").startswith(OWN_FAMILIES), own=own),
        library="onnx" if own else "transformers",
        base_model=base_model,
        license=license,
    )


def usage(results: Mapping[str, Any], inputs: Sequence[str], *, limbecks: bool, own: bool) -> str:
    """How to use it, in markdown.

    ``limbecks``: transformers does not have its class, Limbeck does; ``own``: whoever trained it has.
    """
    file = exported_file(results)
    parts = []
    if limbecks:
        parts.append(
            "The classes of this model are Limbeck's own: `pip install limbeck[text]`, and import them before loading. "
            "Without Limbeck, use the ONNX file."
            if file
            else "The classes of this model are Limbeck's own: `pip install limbeck[text]`, and import them before loading."
        )
    pair = results["data"].get("pair")
    if pair:
        one, two = map(escaped, pair)
        parts.append(f"It reads pairs: the {one} is the first text and the {two} the second, in this order.")
    length = (results["recipe"].get("data") or {}).get("max_length")
    length = length if isinstance(length, int) else None
    cut = f", max_length={length}" if length else ""
    asked = '{"text": "...", "text_pair": "..."}' if pair else '"..."'
    first = "import limbeck.modalities.text.small  # tells transformers of this model\n" if limbecks else ""
    if own:
        parts.append(
            "The class of this model is that of whoever trained it: its weights are in `model.safetensors`, and "
            "`limbeck.load(folder, model=...)` takes a module to put them into. The ONNX file needs no class."
        )
    else:
        parts.append(
            f"```python\n{first}from transformers import pipeline\n\n"
            f'classify = pipeline("text-classification", model=".", truncation=True{cut})  # this folder, or its name on the hub\n'
            f"print(classify({asked}))\n```"
        )
    if file:
        fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        encoded = '"...", "..."' if pair else '"..."'
        given = ", ".join(f'"{name}": np.array([tokens.{fields[name]}])' for name in inputs)
        parts.append(
            "With ONNX Runtime and `tokenizers` alone:\n\n"
            "```python\nimport numpy as np\nimport onnxruntime\nfrom tokenizers import Tokenizer\n\n"
            f'session = onnxruntime.InferenceSession("{file}")\n'
            'tokenizer = Tokenizer.from_file("tokenizer.json")\n'
            f"tokenizer.enable_truncation({length or 512})  # tokens\n"
            f"tokens = tokenizer.encode({encoded})\n"
            f"inputs = {{{given}}}\n"
            'logits = session.run(["logits"], inputs)[0][0]  # one for each class, in the order above\n```'
        )
    if not own:
        texts = '[("...", "...")]' if pair else '"..."'
        parts.append(
            "With Limbeck, which cuts texts off as in training:\n\n"
            f'```python\nimport limbeck\n\nprint(limbeck.load(".").predict({texts}))\n```'
        )
    return "\n\n".join(parts)
