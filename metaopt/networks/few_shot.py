"""Networks that tell characters apart, and the normalizations that a few examples leave a choice of."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..records import recorded


@recorded
class Transductive(nn.BatchNorm2d):
    """Normalises by the statistics of what is seen together: the examples, then the queries with one another."""

    def __init__(self, features: int):
        super().__init__(features, track_running_stats=False)


@recorded
class PerStep(nn.BatchNorm2d):
    """Normalises by the statistics of a task's examples in the latest step, and a query by them as well."""

    def __init__(self, features: int):
        super().__init__(features, momentum=1.0)


@recorded
class Frozen(nn.BatchNorm2d):
    """Normalises by constants, those in its buffers, whatever it sees and in every mode."""

    def forward(self, input: Tensor) -> Tensor:
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


@recorded
def few_shot_network(
    outputs: int | None,
    channels: int = 1,
    hidden: int = 64,
    layers: int = 4,
    normalization: Callable[[int], nn.Module] = Transductive,
    size: int = 28,
) -> nn.Module:
    """Convolutions 3x3 of stride 2, each normalized and rectified, and a linear layer, as usual for Omniglot.

    With ``outputs`` None there is no last layer, which makes it an embedding for :func:`prototypes`.

    The normalization says what statistics a query sees: :class:`Transductive` (as in arXiv:1703.03400: they depend on
    the other queries), :class:`PerStep` or :class:`Frozen`.
    """
    blocks: list[nn.Module] = []
    for i in range(layers):
        convolution = nn.Conv2d(hidden if i else channels, hidden, 3, stride=2, padding=1)
        blocks += [convolution, normalization(hidden), nn.ReLU()]
        size = -(-size // 2)
    head = [] if outputs is None else [nn.Linear(hidden * size**2, outputs)]
    return nn.Sequential(*blocks, nn.Flatten(), *head)
