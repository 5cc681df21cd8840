"""Make an operator of any two functions, which torch can then differentiate and map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments.arrays import from_array
from ..arguments.checks import check_function
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from .operator import Operator

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LinearMap(Operator):
    """Apply any linear function to a batch, ``y = forward(x)``, with a given adjoint.

    Neither function needs to be differentiable: the gradient of each is the other, to every order and also under
    ``torch.func``. :func:`check_adjoint` tells whether they fit. For real x and complex y, ``adjoint`` returns a real
    part.

    Args:
        forward_function: A linear function from (B, ...) to (B, ...) that treats each sample separately.
        adjoint_function: Its adjoint.

    Raises:
        MetaoptError: A function depends on a tensor that requires a gradient, which would be lost (torch hides those of
            ``torch.func.grad`` itself), or the gradient from ``adjoint`` has another shape than x.
    """

    forward_function: Function
    adjoint_function: Function

    def __post_init__(self) -> None:
        check_function("The forward function of LinearMap", self.forward_function, "x")
        check_function("The adjoint function of LinearMap", self.adjoint_function, "y")

    def apply(self, x: Tensor) -> Tensor:
        return _call(x, self.forward_function, self.adjoint_function)

    def adjoint(self, y: Tensor) -> Tensor:
        return _call(y, self.adjoint_function, self.forward_function)

    @staticmethod
    def from_numpy(forward: Callable[[Any], Any], adjoint: Callable[[Any], Any]) -> LinearMap:
        """Make a ``LinearMap`` of two functions on NumPy arrays; results have the device and precision of the input."""
        return LinearMap(_OnNumpy(forward), _OnNumpy(adjoint))


@dataclass(frozen=True)
class _OnNumpy:
    function: Callable[[Any], Any]

    def __call__(self, x: Tensor) -> Tensor:
        # Copied both ways: the function may work in place, or return a buffer that it writes to again.
        if x.dtype in (torch.bfloat16, torch.complex32):  # which NumPy lacks
            return self(x.to(torch.complex64 if x.is_complex() else torch.float32)).to(x.dtype)
        array = np.array(x.detach().cpu().resolve_conj().resolve_neg().numpy())
        y = from_array("What a function of LinearMap returns", self.function(array))
        precision = x.dtype.to_real()
        return y.to(x.device, precision.to_complex() if y.is_complex() else precision)


class _Linear(torch.autograd.Function):
    """forward(x), with the derivative of a linear map: itself with its two functions swapped."""

    @staticmethod
    def forward(x: Tensor, forward: Function, adjoint: Function, gradient: bool) -> Tensor:
        with torch.set_grad_enabled(gradient):
            y = forward(x.detach())
        if not isinstance(y, Tensor):
            raise MetaoptError(
                f"A function of LinearMap must return one tensor, but gave a {type(y).__name__}; flatten and join "
                "the parts of a stacked measurement, and split them again in the adjoint."
            )
        if y.requires_grad:
            leaf = autodiff.foreign_leaf([y], allowed=[])
            what = "a tensor" if leaf is None else f"a tensor {tree.describe(leaf)}"
            raise MetaoptError(
                f"A function of LinearMap depends on {what} that requires a gradient, which LinearMap would lose; "
                "detach it, or write an Operator with it as a field."
            )
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.forward_function, ctx.adjoint_function, _ = inputs
        ctx.shape, ctx.complex = x.shape, x.is_complex()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        result = _call(gradients[0], ctx.adjoint_function, ctx.forward_function)
        if result.shape != ctx.shape:
            raise MetaoptError(
                f"The adjoint of LinearMap gave {tuple(result.shape)} for an input of {tuple(ctx.shape)}; it must "
                "return the shape that the forward function takes."
            )
        return result.real if result.is_complex() and not ctx.complex else result, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _call(tangents[0], ctx.forward_function, ctx.adjoint_function)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, *functions = inputs
        samples = x.movedim(in_dims[0], 0)
        y = _Linear.apply(samples.flatten(0, 1), *functions)
        return y.unflatten(0, samples.shape[:2]), 0


def _call(x: Tensor, forward: Function, adjoint: Function) -> Tensor:
    return _Linear.apply(x, forward, adjoint, torch.is_grad_enabled())
