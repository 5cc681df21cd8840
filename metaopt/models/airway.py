"""Build the network that sees airways in chest CT."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..arguments.checks import check_tensor
from ..arguments.contracts import Natural, SomeCounts, checked
from ..core import Algorithm, MetaoptError, Unrolled, slot, unroll
from ..networks.convolutional import convolution_of
from ..networks.v_cycle import VCycle
from ..records import recorded

WINDOW = (-1100.0, 300.0)  # Hounsfield units; what lies beyond is air or bone, and tells no more
FEATURES = (16, 32, 48)


class CtFeatures(NamedTuple):
    """Hold the state of an :class:`AirwayNetwork`: ``features`` (B, C, D, H, W)."""

    features: Tensor


@checked
class AirwayNetwork(Algorithm[Tensor, CtFeatures, Tensor]):
    """Find the lumen of airways in volumes of CT by learned V-cycles on its voxels.

    The problem is the CT, (B, 1, D, H, W) in Hounsfield units, of which nothing is known but its voxels. The features
    begin as ``relu(read(u))``, with u the CT within -1100 to 300 HU brought to [-1, 1]; a step is ``h <- refine(h)``,
    and the output is the log-odds of each voxel, ``decide(h)``, (B, 1, D, H, W).

    Args:
        features: The channels of the features on each grid, from the voxels on; every further grid is half as fine.

    Slots:
        read: Convolution from the CT to the features, read once.
        refine: The V-cycle (:class:`~metaopt.networks.VCycle`).
        decide: Convolution from the features of a voxel to its log-odds.

    Raises:
        MetaoptError: The CT is not (B, 1, D, H, W), or has another precision than the network.
    """

    def __init__(self, features: SomeCounts = FEATURES):
        super().__init__()
        convolution = convolution_of(3)
        self.read = slot(convolution(1, features[0], 3, padding=1))
        self.refine = slot(VCycle(features))
        self.decide = slot(convolution(features[0], 1, 1))

    def init(self, problem: Tensor) -> CtFeatures:
        check_tensor("The CT of AirwayNetwork", problem)
        weight = next(self.parameters()).dtype
        if problem.ndim != 5 or problem.shape[1] != 1 or problem.dtype != weight:
            raise MetaoptError(
                f"This network reads volumes of CT (B, 1, D, H, W) of {weight}, in Hounsfield units, but got "
                f"{tuple(problem.shape)} of {problem.dtype}; another precision is converted by ct.to({weight})."
            )
        low, high = WINDOW
        unit = (problem.clamp(low, high) - low) * (2 / (high - low)) - 1
        return CtFeatures(torch.relu(self.read(0)(unit.contiguous(memory_format=torch.channels_last_3d))))

    def step(self, problem: Tensor, state: CtFeatures, k: int) -> CtFeatures:
        return CtFeatures(self.refine(k)(state.features))

    def readout(self, problem: Tensor, state: CtFeatures, k: int) -> Tensor:
        return self.decide(k)(state.features)


@recorded
@checked
def airway_network(features: SomeCounts = FEATURES, steps: Natural = 1) -> Unrolled[Tensor, CtFeatures, Tensor]:
    """Build an unrolled :class:`AirwayNetwork`.

    Args:
        features: The channels of the features on each grid, from the voxels on; every further grid is half as fine.
        steps: Number of V-cycles, with the same convolutions in each.

    Returns:
        The network. It maps a CT (B, 1, D, H, W) in Hounsfield units to the log-odds that a voxel is in the lumen of an
        airway, of the same shape.
    """
    return unroll(AirwayNetwork(features), steps, keep="last")
