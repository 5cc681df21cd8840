"""Find parameters that a result depends on although they were replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor


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
