"""Networks for few-shot classification, and the normalizations that so few examples leave to choose from."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, Positive, checked
from ..records import recorded


@recorded
@checked
class Transductive(nn.BatchNorm2d):
    """Normalise by the statistics of the current batch: the examples together, then the queries together.

    Args:
        features: The number of channels.
    """

    def __init__(self, features: Count):
        super().__init__(features, track_running_stats=False)


@recorded
@checked
class PerStep(nn.BatchNorm2d):
    """Normalise by the statistics of a task's examples in the latest step; queries are normalised by them too.

    Args:
        features: The number of channels.
    """

    def __init__(self, features: Count):
        super().__init__(features, momentum=1.0)


@recorded
@checked
class Frozen(nn.BatchNorm2d):
    """Normalise by the constants in the buffers, for every input and in every mode.

    Args:
        num_features: The number of channels.
        eps: What is added to the variances.
        affine: Whether a scale and a shift of each channel are learned.
    """

    def __init__(self, num_features: Count, eps: Positive = 1e-5, affine: bool = True):
        super().__init__(num_features, eps, affine=affine)

    def forward(self, input: Tensor) -> Tensor:
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


@recorded
@checked
def few_shot_network(
    outputs: Count | None,
    channels: Count = 1,
    hidden: Count = 64,
    layers: Count = 4,
    normalization: Callable[[int], nn.Module] = Transductive,
    size: Count = 28,
) -> nn.Module:
    """Make the convolutional network that is usual for Omniglot.

    It has ``layers`` 3x3 convolutions of stride 2, each followed by a normalization and ReLU, and a linear layer.

    Args:
        outputs: The number of classes. None leaves out the linear layer, which gives an embedding for
            :func:`prototypes`.
        channels: The channels of the pictures.
        hidden: The channels of every convolution.
        layers: The number of convolutions.
        normalization: What statistics a query is normalised by: :class:`Transductive` (as in the paper; they depend on
            the other queries), :class:`PerStep` or :class:`Frozen`.
        size: The side of the pictures, in pixels.

    Source:
        Finn et al., MAML, 2017, arXiv:1703.03400.
    """
    blocks: list[nn.Module] = []
    for i in range(layers):
        convolution = nn.Conv2d(hidden if i else channels, hidden, 3, stride=2, padding=1)
        blocks += [convolution, normalization(hidden), nn.ReLU()]
        size = -(-size // 2)
    head = [] if outputs is None else [nn.Linear(hidden * size**2, outputs)]
    return nn.Sequential(*blocks, nn.Flatten(), *head)
