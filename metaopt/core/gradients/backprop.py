"""Backpropagate through all steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..algorithm import AnyAlgorithm, Keep, iterate
from ..run import Ran, Report


@dataclass(frozen=True)
class Backprop:
    """Differentiate through every step, with memory that grows linearly with the number of steps.

    It works for every algorithm, for derivatives of every order and under ``torch.func``.
    """

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran:
        outputs, state = iterate(algorithm, problem, state, ks, keep)
        return outputs, state, Report(len(ks))
