"""What a gradient strategy is: an object that owns the loop, so that no algorithm knows how it is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..algorithm import AnyAlgorithm, Keep


@dataclass
class Report:
    """What is known of a run.

    - ``steps``: how many were taken.
    - ``residual``: relative change of the state in the last step, where it was measured.
    - ``converged``: whether the stopping rule was met; ``None`` where there was none.
    - ``backward_residual``: relative residual of the linear system of :class:`Implicit`, or the relative drift of
      :class:`Reversible`; filled in by the backward pass.
    - ``counted``: the readouts of so many last steps are those that a loss is taken of; ``None`` where every step's is.
    """

    steps: int
    residual: float | None = None
    converged: bool | None = None
    backward_residual: float | None = None
    counted: int | None = None


class GradientStrategy(Protocol):
    """Runs the steps ``ks`` and returns (readouts, final state, report)."""

    def run(
        self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], keep: Keep
    ) -> tuple[list[Any], Any, Report]: ...
