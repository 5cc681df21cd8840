"""Small networks with a loss and batches, in float64: each one is a different way for an optimizer to go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metaopt.problems import Objective


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class TiedLanguageModel(nn.Module):
    """The embedding is also the output matrix: one parameter in two places."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.mix(self.embed(tokens)))).transpose(1, 2)


def mlp() -> tuple[nn.Module, Any, Callable[[], Any]]:
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    return net, F.cross_entropy, lambda: (torch.randn(8, 4), torch.randint(0, 3, (8,)))


def dead_relu() -> tuple[nn.Module, Any, Callable[[], Any]]:
    """Two hidden units never fire: their weights have gradients of exactly zero."""
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        net[0].bias[:2] = -100.0
    return net, F.mse_loss, lambda: (torch.randn(8, 4), torch.randn(8, 2))


def batch_norm() -> tuple[nn.Module, Any, Callable[[], Any]]:
    """No bias before the normalisation: its gradient is rounding noise, which Adam would blow up to its step size."""
    convolution = nn.Conv2d(1, 3, 3, bias=False)
    net = nn.Sequential(convolution, nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 16, 2))
    return net, F.mse_loss, lambda: (torch.randn(5, 1, 6, 6), torch.randn(5, 2))


def lstm() -> tuple[nn.Module, Any, Callable[[], Any]]:
    return Recurrent(), F.mse_loss, lambda: (torch.randn(5, 6, 3), torch.randn(5, 2))


def tied() -> tuple[nn.Module, Any, Callable[[], Any]]:
    tokens = lambda: torch.randint(0, 7, (4, 5))  # noqa: E731
    return TiedLanguageModel(), F.cross_entropy, lambda: (tokens(), tokens())


NETWORKS = {build.__name__: build for build in (mlp, dead_relu, batch_norm, lstm, tied)}


def objective(name: str, batches: int = 1, seed: int = 0) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module, loss, draw = NETWORKS[name]()
        pairs = [tuple(t.double() if t.is_floating_point() else t for t in draw()) for _ in range(batches)]
        return Objective(module.double(), loss, pairs)
