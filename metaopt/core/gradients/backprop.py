"""Plain backpropagation through all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..algorithm import AnyAlgorithm, Keep, iterate
from .strategy import Report


@dataclass(frozen=True)
class Backprop:
    """Differentiate through every step. Memory grows linearly with the number of steps; nothing is refused."""

    def run(
        self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], keep: Keep
    ) -> tuple[list[Any], Any, Report]:
        outputs, state = iterate(algorithm, problem, state, ks, keep)
        return outputs, state, Report(len(ks))
