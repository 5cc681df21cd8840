"""The first-order approximation of a problem leaves out second derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..core import tree
from . import protocol


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """Solve ``problem`` with its gradient as a constant of x: without second derivatives, and without a graph for them.

    This is how first-order MAML (arXiv:1703.03400) and, usually, learned optimizers (arXiv:1606.04474) are trained. The
    values are those of ``problem``; only what is backpropagated through an unrolled run differs.

    Args:
        problem: Any problem.

    Raises:
        MetaoptError: It is no problem.
    """

    problem: Any

    to = tree.to

    def __post_init__(self) -> None:
        protocol.check_problem(self.problem, "FirstOrder")

    def start(self) -> Any:
        return self.problem.start()

    def energy(self, x: Any) -> Any:
        return self.problem.energy(x)

    def gradient(self, x: Any) -> Any:
        return self.gradient_and_buffers(x, protocol.buffers(self.problem))[0]

    def context(self) -> tuple[Any, ...]:
        return protocol.context(self.problem)

    def variance(self) -> Any:
        return protocol.variance(self.problem)

    def at(self, k: int) -> FirstOrder:
        return FirstOrder(protocol.at(self.problem, k))

    def samples(self, x: Any) -> int:
        return protocol.samples(self.problem, x)

    def buffers(self) -> Any:
        return protocol.buffers(self.problem)

    def gradient_and_buffers(self, x: Any, buffers: Any) -> tuple[Any, Any]:
        with torch.no_grad():  # the problem still differentiates its energy, but keeps no graph of it
            result = protocol.gradient_and_buffers(self.problem, x, buffers)
        return tree.detach(result)
