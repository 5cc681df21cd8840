"""Draw trainings of small networks from random weights, as problems to minimise."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, checked
from ..core import MetaoptError, random
from ..foundation.drawing import drawing_from
from ..problems import Trainings

Sample = tuple[Trainings, None]


@checked
@dataclass(frozen=True, eq=False)
class NetworkTrainings:
    """Train ``network`` on minibatches from random weights, ``trainings`` times side by side.

    ``sample`` gives a :class:`~metaopt.problems.Trainings` and None: there is no target, so train with
    ``metaopt.losses.Unsupervised(energy)``.

    Args:
        network: The network. All its modules with parameters have ``reset_parameters``, as those of torch do.
        data: Inputs (n, ...) and targets (n, ...), such as ``metaopt.data.read_digits()``.
        trainings: Number of trainings in a sample.
        batch: Size of a minibatch.
        steps: Number of minibatches before they repeat.
        held: Number of data points on which the energy is measured, drawn anew for every training.
        loss: A function of the network's outputs and the targets that returns a scalar.

    Raises:
        MetaoptError: There are not as many inputs as targets, or a module has no ``reset_parameters``.
    """

    network: nn.Module
    data: tuple[Tensor, Tensor]
    trainings: Count = 8
    batch: Count = 128
    steps: Count = 100
    held: Count = 256
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=F.cross_entropy)

    def __post_init__(self) -> None:
        inputs, targets = self.data
        if len(inputs) != len(targets) or len(inputs) < 1:
            raise MetaoptError(f"data is as many inputs as targets, but got {len(inputs)} and {len(targets)}.")
        for owner in self.network.modules():
            if any(True for _ in owner.parameters(recurse=False)) and not hasattr(owner, "reset_parameters"):
                raise MetaoptError(
                    f"The weights of {type(owner).__name__} cannot be drawn anew: it has no reset_parameters()."
                )

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        with drawing_from(seed, 1):
            drawn = [self._drawn() for _ in range(self.trainings)]
        initial = {name: torch.stack([weights[name] for weights in drawn]) for name in drawn[0]}
        shapes = (self.trainings, self.steps, self.batch), (self.trainings, self.held)
        minibatches, held = (torch.randint(len(self.data[0]), shape, generator=generator) for shape in shapes)
        return Trainings(self.network, self.loss, initial, self.data, minibatches, held), None

    def _drawn(self) -> dict[str, Tensor]:
        network = copy.deepcopy(self.network)
        for owner in network.modules():
            if callable(reset := getattr(owner, "reset_parameters", None)):
                reset()
        return {name: p.detach() for name, p in network.named_parameters()}


@checked
def mlp(sizes: Sequence[Count], activation: Callable[[], nn.Module] = nn.Sigmoid) -> nn.Module:
    """Build a multilayer perceptron.

    Args:
        sizes: Widths of the layers, the inputs first; ``[64, 20, 10]`` is the network of arXiv:1606.04474.
        activation: Makes the activation between the layers.

    Returns:
        The network, which flattens its inputs.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


@checked
def conv_net(size: Count = 8, classes: Count = 10, hidden: Count = 8) -> nn.Module:
    """Build two strided convolutions with ReLU and a linear layer, for pictures (n, 1, size, size).

    Args:
        size: Side of the pictures in pixels.
        classes: Number of outputs.
        hidden: Number of channels of the convolutions.

    Returns:
        The network.
    """
    side = -(-size // 4)
    return nn.Sequential(
        nn.Conv2d(1, hidden, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(hidden * side**2, classes),
    )
