"""Backpropagate through the last steps only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .. import tree
from ..algorithm import AnyAlgorithm, Keep, iterate
from ..errors import MetaoptError
from ..run import Ran, Report


@dataclass(frozen=True)
class Truncated:
    """Differentiate through the last ``last`` steps; the steps before them run without a graph.

    Memory is O(last). The gradient is biased, since the influence of early steps on late ones is not seen. Outputs of
    early steps carry no graph, and so a loss over the trajectory leaves them out: it counts the last ``last`` steps or,
    where no gradient is recorded at all (under ``torch.no_grad()``), every step.

    Args:
        last: The number of steps that are differentiated.

    Raises:
        MetaoptError: ``last`` is below 1.
    """

    last: int

    def __post_init__(self) -> None:
        if self.last < 1:
            raise MetaoptError(f"Truncated needs last >= 1, but got {self.last}.")

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran:
        split = max(0, len(ks) - self.last)
        early: list[Any] = []
        if split:
            with torch.no_grad():
                early, state = tree.detach(iterate(algorithm, problem, state, ks[:split], keep))
        late, state = iterate(algorithm, problem, state, ks[split:], keep)
        recorded = any(t.requires_grad for t in tree.leaves(late))
        report = Report(len(ks), counted=self.last if split and recorded else None)
        return (early + late if keep == "all" else late), state, report
