"""Find what a module keeps of its weights, and would read again after a step has replaced them."""

from __future__ import annotations

import collections
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..core import MetaoptError, autodiff, tree
from ..foundation.holdings import LONG, version
from ..foundation.purity import AS_NUMBERS, equal, tensors_in
from ..foundation.shadows import OWN, has_value

CONTAINERS = (dict, list, tuple, set, frozenset, collections.deque)


class Following(TorchFunctionMode):
    """Follow what is computed from ``sources``, and see which of the tensors ``kept`` from before are read.

    ``origins`` has the number of the source by the identity of each tensor that was computed, ``converted`` the number
    of the first that was turned into numbers, and ``reread`` those of ``kept`` that were read.
    """

    def __init__(self, sources: Sequence[Tensor], kept: Sequence[Tensor]):
        super().__init__()
        self._alive, self._kept = list(sources), {id(t): t for t in kept}
        self.origins = {id(t): i for i, t in enumerate(sources)}
        self.converted: int | None = None
        self.reread: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = list(tensors_in((args, kwargs or {})))
        origin = next((self.origins[id(t)] for t in given if id(t) in self.origins), None)
        result = func(*args, **(kwargs or {}))
        self.reread += [t for t in given if id(t) in self._kept]
        if origin is not None:
            found = [t for t in tensors_in(result) if id(t) not in self.origins]
            self._alive += found  # so that no other takes its identity
            self.origins.update((id(t), origin) for t in found)
            if self.converted is None and getattr(func, "__name__", "") in AS_NUMBERS:
                self.converted = origin
        return result


class Caches:
    """Watch the first two runs of a module, which may have different weights.

    Args:
        module: The module.
        names: The names of its weights.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]):
        self._module, self._names = module, names
        self._runs, self._shapes, self._converted = 0, "", None
        self._kept: dict[str, list[Tensor]] = {}

    @contextmanager
    def watch(self, now: list[Tensor], inputs: Any) -> Iterator[None]:
        """Watch a run, and raise if it writes into its weights or reads what the run before it computed from them.

        Args:
            now: The weights.
            inputs: The arguments of the run.
        """
        known = autodiff.values_known() and not autodiff.inside_transform()
        if not known or self._runs == 2 or (self._runs and not self._kept and self._converted is None):
            yield
            return
        given = {id(t) for t in tree.leaves(inputs)}
        kept = [t for held in self._kept.values() for t in held if id(t) not in given]
        before = [] if self._runs else [(version(t), t.detach().clone()) for t in now]
        with torch.compiler.set_stance("force_eager"), Following(now, kept) as seen:
            yield
        for name, tensor, (writes, value) in zip(self._names, now, before, strict=False):
            if version(tensor) == writes and not equal(tensor.detach(), value):
                remedy = "where autograd does not see it, such as by .data; compute a new tensor from it"
                raise MetaoptError(f"The forward pass of the module writes into its parameter '{name}', {remedy}.")
        self._compare(seen, str([tree.describe(t) for t in tree.leaves(inputs)]))

    def _compare(self, seen: Following, shapes: str) -> None:
        held, self._runs = {id(t) for t in _held(self._module)}, self._runs + 1
        if self._runs == 1:
            own = {id(t) for t in (*self._module.parameters(), *self._module.buffers())}
            for tensor in seen._alive:
                if id(tensor) in held - own:
                    self._kept.setdefault(self._names[seen.origins[id(tensor)]], []).append(tensor)
            self._shapes, self._converted = shapes, seen.converted
            return
        again = {id(t) for t in seen.reread} & held  # a state would have been replaced
        name = next((n for n, tensors in self._kept.items() if any(id(t) in again for t in tensors)), None)
        if name is None and self._converted is not None and seen.converted is None and shapes == self._shapes:
            name = self._names[self._converted]
        self._kept = {}
        if name is not None:
            raise MetaoptError(
                f"The module keeps what it computed from '{name}', such as in a cache, and reads it again when other "
                "weights have taken its place; compute it anew in each call."
            )


def _held(module: nn.Module) -> Iterator[Tensor]:
    """The tensors in attributes of a module and its parts, also in containers there or in what functions close over."""
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in OWN and not isinstance(value, nn.Module):
                yield from _inside(value, 3)


def _inside(value: Any, depth: int) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, CONTAINERS) and len(value) <= LONG:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _inside(item, depth - 1)
    elif depth and isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            if has_value(cell):
                yield from _inside(cell.cell_contents, depth - 1)
