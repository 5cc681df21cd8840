"""Step the kernels of hidden layers by Muon, momentum with orthogonalised steps, and all else by Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError
from ..updates.adam import Adam, Moments

QUINTIC = (3.4445, -4.7750, 2.0315)  # drives singular values in (0, 1] to about 1 in few iterations (Jordan)


class Muon(torch.optim.Optimizer):
    """Step matrices along the orthogonal factor of their momentum, U V^T for U S V^T, and other parameters by Adam.

    A convolution kernel (out, in, ...) counts as the matrix (out, in * ...). A kernel whose number of outputs is a
    multiple of ``in``, such as the stacked gates of a recurrent unit, counts as several matrices. The root mean square
    of a step is 0.2 ``lr``, about that of Adam, so that one learning rate serves both. Unlike ``torch.optim.Muon``,
    this optimizer takes kernels with any number of axes, and works with torch 2.6 as well.

    Args:
        params: Parameters, or parameter groups.
        lr: Learning rate.
        momentum: Decay of the mean of the gradients.
        least: Kernels from or to fewer channels than this are stepped by Adam, as biases are.

    Source:
        Jordan et al., Muon, 2024, https://kellerjordan.github.io/posts/muon/; the size of a step is that of Liu et al.,
        arXiv:2502.16982.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.95, least: int = 8):
        for name, value, high in (("lr", lr, math.inf), ("momentum", momentum, 1), ("least", least, math.inf)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise MetaoptError(f"The {name} of Muon is a number from 0 to {high}, not {value!r:.80}.")
        try:
            super().__init__(params, {"lr": lr, "momentum": momentum, "least": least})
        except (TypeError, ValueError) as error:
            raise MetaoptError(f"Muon takes parameters, or groups of them as torch.optim does: {error}.") from error

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step every parameter that has a gradient.

        Args:
            closure: A function that computes the loss and its gradients, called first. None: the gradients are there.

        Returns:
            The value of the closure, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        adam = Adam(step_size=1.0)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    hidden = parameter.ndim >= 2 and min(parameter.shape[:2]) >= group["least"]
                    state = self.state[parameter]
                    step = _orthogonal(parameter, state, group["momentum"]) if hidden else _adam(parameter, state, adam)
                    parameter.add_(group["lr"] * step)
        return loss


def _orthogonal(parameter: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    """Return the Muon step at learning rate 1."""
    gradient: Any = parameter.grad
    if not state:
        state["mean"] = torch.zeros_like(gradient)
    mean = state["mean"].lerp_(gradient, 1 - momentum)
    rows, columns = gradient.shape[0], gradient[0].numel()
    blocks = rows // gradient.shape[1] if rows % gradient.shape[1] == 0 else 1
    matrices = gradient.lerp(mean, momentum).reshape(blocks, rows // blocks, columns)
    return -0.2 * math.sqrt(max(rows // blocks, columns)) * orthogonal_factor(matrices).reshape(gradient.shape)


def _adam(parameter: Tensor, state: dict[str, Tensor], adam: Adam) -> Tensor:
    """Return the Adam step at learning rate 1."""
    if not state:
        first, second = adam.init(parameter)
        state.update(count=torch.zeros(()), mean=first, square=second)
    memory = Moments(state["mean"], state["square"])
    change, memory = adam(parameter.grad, parameter, memory, int(state["count"]))
    state.update(count=state["count"] + 1, mean=memory.first, square=memory.second)
    return change


def orthogonal_factor(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Approximate U V^T for each of a batch of matrices U S V^T by Newton-Schulz iterations.

    The singular values of the result lie between about 0.7 and 1.2.

    Args:
        matrices: (..., m, n).
        iterations: Number of iterations.

    Returns:
        (..., m, n).
    """
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
