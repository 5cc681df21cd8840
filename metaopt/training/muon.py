"""Muon: momentum whose step is made orthogonal, for the kernels of hidden layers; Adam for all else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..updates.adam import Adam, Moments

QUINTIC = (3.4445, -4.7750, 2.0315)  # drives singular values in (0, 1] to about 1 in few iterations (Jordan)


class Muon(torch.optim.Optimizer):
    """Matrices step along the orthogonal factor of their momentum, U V^T for U S V^T; other parameters by Adam.

    A convolution's kernel (out, in, ...) is the matrix (out, in * ...); one with a multiple of ``in`` outputs, as the
    stacked gates of a recurrent unit have, is as many matrices. The step's root mean square is 0.2 ``lr``, as Adam's is
    about, so that one rate serves both. Biases, and kernels from or to fewer than ``least`` channels, go to Adam.

    Unlike ``torch.optim.Muon`` it takes kernels of any order, in torch 2.6 too.

    References: K. Jordan et al., Muon, 2024, https://kellerjordan.github.io/posts/muon/; J. Liu et al., Muon is
    scalable for LLM training, arXiv:2502.16982 (the size of the step).
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.95, least: int = 8):
        super().__init__(params, {"lr": lr, "momentum": momentum, "least": least})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        adam = Adam(step_size=1.0)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    hidden = parameter.ndim >= 2 and min(parameter.shape[:2]) >= group["least"]
                    state = self.state[parameter]
                    step = _orthogonal(parameter, state, group["momentum"]) if hidden else _adam(parameter, state, adam)
                    parameter.add_(group["lr"] * step)


def _orthogonal(parameter: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    """The step at rate 1."""
    gradient: Any = parameter.grad
    if not state:
        state["mean"] = torch.zeros_like(gradient)
    mean = state["mean"].lerp_(gradient, 1 - momentum)
    rows, columns = gradient.shape[0], gradient[0].numel()
    blocks = rows // gradient.shape[1] if rows % gradient.shape[1] == 0 else 1
    matrices = gradient.lerp(mean, momentum).reshape(blocks, rows // blocks, columns)
    return -0.2 * math.sqrt(max(rows // blocks, columns)) * orthogonal_factor(matrices).reshape(gradient.shape)


def _adam(parameter: Tensor, state: dict[str, Tensor], adam: Adam) -> Tensor:
    """The step at rate 1."""
    if not state:
        first, second = adam.init(parameter)
        state.update(count=torch.zeros(()), mean=first, square=second)
    memory = Moments(state["mean"], state["square"])
    change, memory = adam(parameter.grad, parameter, memory, int(state["count"]))
    state.update(count=state["count"] + 1, mean=memory.first, square=memory.second)
    return change


def orthogonal_factor(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About U V^T for each of a batch of matrices U S V^T: singular values between 0.7 and 1.2, by Newton-Schulz."""
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
