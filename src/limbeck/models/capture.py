"""What the inner modules of a model give, read while it runs and without changing it.

A path names a module as ``named_modules`` does: ``stages.1`` for what that module gives, ``fc:in`` for what it is
given. Hooks stand only while a :class:`Capture` is entered, so that a model is exported, saved and copied as it came.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

# What a message lists of a model's modules; a large one has a thousand.
LISTED = 40

_INPUT = ":in"


class Capture:
    """Collects by path what modules give in the forward passes within a ``with``.

    ::

        capture = Capture(model, ["stages.1", "fc:in"])
        with capture as features:
            logits_BC = model(images_BCHW)
        features["fc:in"]  # the very tensor, with its graph

    A module's output is the tensor that it returns, or the first item of a tuple or list (the hidden states of most
    transformer layers); its input (``path:in``) is the first tensor that it is called with. A module that is called
    more than once counts with its last call. The model may be wrapped by ``DistributedDataParallel`` or
    ``torch.compile``; paths are those of the model within. Under ``torch.compile`` the first pass decides whether the
    compiled code looks at hooks, so it must lie within the ``with`` too.

    Raises:
        ValueError: there is no module at a path; and, at the end of the ``with``, a module was not called, dealt in
            something else than tensors, or its tensor was overwritten in place by a module behind it.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str]) -> None:
        self._hooks = [_Hook(path, _module_at(bare(model), path)) for path in dict.fromkeys(paths)]
        self._values: dict[str, Tensor] = {}

    def __enter__(self) -> dict[str, Tensor]:
        self._values = {}
        for hook in self._hooks:
            hook.stand()
        return self._values

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        for hook in self._hooks:
            hook.leave()
        values, self._values = self._values, {}
        if error is None:
            values.update((hook.path, hook.value()) for hook in self._hooks)
        for hook in self._hooks:
            hook.forget()


def bare(model: nn.Module) -> nn.Module:
    """The model within the wrappers of ``torch.compile`` and ``DistributedDataParallel``."""
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif isinstance(inner := model._modules.get("_orig_mod"), nn.Module):  # importing Dynamo to ask takes seconds
            model = inner
        else:
            return model


class _Hook:
    """One path's hook: always the same object, so that ``torch.compile`` does not start anew at every step."""

    def __init__(self, path: str, module: nn.Module) -> None:
        self.path, self.module = path, module
        self.handle: RemovableHandle | None = None
        self.seen: Any = None
        self.called = False
        self.version: int | None = None

    def stand(self) -> None:
        self.forget()
        if self.path.endswith(_INPUT):
            self.handle = self.module.register_forward_pre_hook(self.take_input, with_kwargs=True)
        else:
            self.handle = self.module.register_forward_hook(self.take_output)

    def leave(self) -> None:
        if self.handle is not None:
            self.handle.remove()
            self.handle = None

    def forget(self) -> None:
        self.seen, self.called, self.version = None, False, None

    def take_input(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.take(next((value for value in (*arguments, *named.values()) if isinstance(value, Tensor)), None))

    def take_output(self, module: nn.Module, arguments: tuple[Any, ...], answer: Any) -> None:
        self.take(answer[0] if isinstance(answer, tuple | list) and answer else answer)

    def take(self, value: Any) -> None:
        self.seen, self.called = value, True
        if not torch.compiler.is_compiling():  # compiled code keeps no version; what is asked for was tried before
            self.version = _version(value)

    def value(self) -> Tensor:
        if not self.called:
            raise ValueError(f"the module at '{self.path}' was not called, so it has no features: name another")
        if not isinstance(self.seen, Tensor):
            does = "is given no tensor" if self.path.endswith(_INPUT) else f"gives a {type(self.seen).__name__}"
            raise ValueError(f"the module at '{self.path}' {does}: name one that deals in tensors")
        if self.version is not None and _version(self.seen) != self.version:
            raise ValueError(
                f"the features at '{self.path}' are overwritten in place by a module behind them (an in-place ReLU?): "
                "name that module instead"
            )
        return self.seen


def _module_at(model: nn.Module, path: str) -> nn.Module:
    """The module that a path names. Raises ``ValueError`` with the nearest names and those that there are."""
    name = path.removesuffix(_INPUT)
    modules = dict(model.named_modules(remove_duplicate=False))
    if name and name in modules:
        return modules[name]
    known = sorted((known for known in modules if known), key=lambda known: known.count("."))
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    raise ValueError(
        f"there is no module at '{path}' to take features from.{hint} There are: {', '.join(known[:LISTED])}{more}."
        if known
        else f"there is no module at '{path}' to take features from: {type(model).__name__} has no inner modules."
    )


def _version(value: Any) -> int | None:
    """How often a tensor was written to; None where nobody counts."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else None
