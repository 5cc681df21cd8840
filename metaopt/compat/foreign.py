"""Find parameters that a result depends on although they were replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch._C._autograd import _top_saved_tensors_default_hooks  # which hooks pack what is saved now
from torch.overrides import TorchFunctionMode

from ..core import tree

SHAPES_ONLY = frozenset(f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn", "randint"))
NUMBERS = frozenset({"item", "tolist", "numpy", "__float__", "__int__", "__bool__", "equal", "allclose"})


class Watch(TorchFunctionMode):
    """See which parameters are read in this context, also where no graph tells, such as under ``no_grad``.

    ``found`` is the name of the first of ``foreign`` that was read, and ``recomputes`` tells whether
    ``torch.utils.checkpoint`` leaves something to be computed again in the backward pass.

    Args:
        known: Tensors that may be read.
        foreign: Names and tensors that must not be.
    """

    def __init__(self, known: Iterable[Tensor], foreign: Iterable[tuple[str, Tensor]]):
        super().__init__()
        allowed = {id(t) for t in known}
        self._names = {id(t): name for name, t in foreign if id(t) not in allowed}
        self.found: str | None = None
        self.recomputes = False

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        read = [self._names[id(t)] for t in tree.leaves((args, kwargs or {})) if id(t) in self._names]
        result = func(*args, **(kwargs or {}))
        called = getattr(func, "__name__", "")
        if read and self.found is None and called not in SHAPES_ONLY and not called.startswith("new_"):
            self.found = read[0] if called in NUMBERS or tree.leaves(result) else None
        hooks = _top_saved_tensors_default_hooks(True)
        self.recomputes |= hooks is not None and hooks[0].__module__ == "torch.utils.checkpoint"
        return result


def foreign_leaf(
    results: Iterable[Tensor], known: Sequence[Tensor], foreign: Iterable[tuple[str, Tensor]]
) -> str | None:
    """Return the name of a parameter that ``results`` depend on other than through ``known``; None if there is none.

    Args:
        results: Tensors whose graph is searched.
        known: Tensors where the search stops.
        foreign: Names and parameters that must not be found.
    """
    names = {id(p): name for name, p in foreign}
    allowed = {id(t) for t in known}
    seen: set[Any] = {t.grad_fn for t in known if t.grad_fn is not None}
    waiting = [t.grad_fn for t in results if t.grad_fn is not None and id(t) not in allowed]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # of the node that accumulates a leaf's gradient
        if leaf is not None and id(leaf) in names and id(leaf) not in allowed:
            return names[id(leaf)]
        waiting.extend(following for following, _ in node.next_functions if following is not None)
    return None
