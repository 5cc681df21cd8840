"""Backpropagate with few stored states, and compute the steps between them again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..algorithm import AnyAlgorithm, Keep, iterate
from ..autodiff import recompute, refuse_transform
from ..errors import MetaoptError
from ..run import Ran, Report


@dataclass(frozen=True)
class Checkpointed:
    """Keep the state at every ``every``-th step and recompute the steps between in the backward pass.

    Memory is O(T / every + every) instead of O(T), for one more forward pass; the gradient is that of
    :class:`Backprop`, up to second derivatives. Steps may themselves call ``torch.autograd.grad``, where
    ``torch.utils.checkpoint`` would keep more than it saves.

    Args:
        every: The number of steps between kept states; by default the square root of T.

    Raises:
        MetaoptError: ``every`` is below 1, the run is under ``torch.func``, or a step uses a tensor that requires grad
            but is neither a parameter nor part of the problem.

    Source:
        Griewank and Walther, 2000, doi:10.1145/347837.347846.
    """

    every: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise MetaoptError(f"Checkpointed needs every >= 1, but got {self.every}.")

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran:
        refuse_transform("Checkpointed")
        length = self.every or max(1, math.isqrt(len(ks)))
        outputs: list[Any] = []
        for begin in range(0, len(ks), length) or (0,):
            part = ks[begin : begin + length]

            def segment(algorithm: Any, problem: Any, state: Any, part: range = part) -> Any:
                return iterate(algorithm, problem, state, part, keep)

            kept, state = recompute(segment, "Checkpointed", algorithm, problem, state)
            outputs = outputs + kept if keep == "all" else kept
        return outputs, state, Report(len(ks))
