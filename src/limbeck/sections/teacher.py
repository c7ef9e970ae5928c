"""How a recipe names a model. No torch."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from .section import Section


class Model(Section):
    """A model by name; further fields are its knobs (``width: 8``)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    model: str
    """A family of ours (``convnet``, ``resnet20``, ``wrn_16_2``), ``timm/NAME``, or ``module:callable``."""
    weights: str | None = None
    """A ``.safetensors`` file (or ``.pt``/``.th`` holding a plain state dict) to start from."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The further fields: keyword arguments of the model."""
        return dict(self.__pydantic_extra__ or {})
