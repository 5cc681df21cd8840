"""Compile the step of any algorithm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..arguments.contracts import checked
from ..core import Algorithm, MetaoptError, tree
from ..core.algorithm import AnyAlgorithm


@checked
class Compiled(Algorithm[Any, Any, Any]):
    """Run the step of an algorithm by ``torch.compile``; the loop is not compiled, so any number of steps will do.

    There are at most two graphs: one for k = 0, which the compiler takes as a constant, and one for all other k. Each
    segment of ``Checkpointed`` has its own where the problem holds a network, as ``Objective`` does. The weights are
    those of the algorithm, under names that begin with ``algorithm.``. Copies and pickles are compiled anew.

    Args:
        algorithm: The algorithm. Any gradient strategy works.
        backend: As for ``torch.compile``.

    Raises:
        MetaoptError: :class:`~metaopt.core.gradients.Reversible` asks for an inverse step that the algorithm does not
            have.

    Example:
        >>> fast = unroll(Compiled(net.algorithm), net.steps, net.gradient)
    """

    def __init__(self, algorithm: AnyAlgorithm, backend: str | Callable[..., Any] = "inductor"):
        super().__init__()
        if isinstance(backend, str) and backend not in torch.compiler.list_backends(exclude_tags=()):
            known = ", ".join(torch.compiler.list_backends())
            raise MetaoptError(f"torch.compile has no backend {backend!r}; it has {known}.")
        self.algorithm, self._backend = algorithm, backend
        # The class's functions, not bound methods: strategies step shadows of the algorithm, with other tensors.
        self._step = torch.compile(type(algorithm).step, backend=backend)
        undo = getattr(type(algorithm), "inverse_step", None)
        self._undo = None if undo is None else torch.compile(undo, backend=backend)

    def __reduce__(self) -> Any:
        return Compiled, (self.algorithm, self._backend)

    @property
    def trained_range(self) -> Any:
        """Return the range that the weights of the algorithm were trained for."""
        return self.algorithm.trained_range

    def init(self, problem: Any) -> Any:
        """Return the algorithm's state, with every tensor attached to what is learned.

        A tensor that becomes attached only in a later step would need another graph.
        """
        state = self.algorithm.init(problem)
        learned = (t for t in tree.leaves((self.algorithm, problem)) if t.requires_grad)
        if not torch.is_grad_enabled() or (anchor := next(learned, None)) is None:
            return state
        return tree.map(lambda t: _attached(t, anchor), state)

    def step(self, problem: Any, state: Any, k: int) -> Any:
        return self._step(self.algorithm, problem, state, k)

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return self.algorithm.readout(problem, state, k)

    def samples(self, problem: Any, state: Any) -> int:
        return self.algorithm.samples(problem, state)

    @property
    def residual(self) -> Callable[..., Tensor]:
        """Return the residual function of the algorithm, where it has one."""
        residual = getattr(self.algorithm, "residual", None)
        if residual is None:
            raise AttributeError(f"{type(self.algorithm).__name__} has no residual.")
        return residual

    @property
    def inverse_step(self) -> Callable[..., Any]:
        """Return the inverse step of the algorithm, compiled."""
        if self._undo is None:
            raise MetaoptError(
                f"{type(self.algorithm).__name__} has no inverse_step and cannot be run backwards; use Checkpointed()."
            )
        return functools.partial(self._undo, self.algorithm)


class _Attached(torch.autograd.Function):
    """Pass a tensor through, as a function of itself and of an anchor whose gradient is zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, anchor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _attached(tensor: Tensor, anchor: Tensor) -> Tensor:
    floating = tensor.is_floating_point() or tensor.is_complex()
    return _Attached.apply(tensor, anchor) if floating and not tensor.requires_grad else tensor
