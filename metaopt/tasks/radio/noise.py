"""Add the thermal noise of receivers to visibilities."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arguments.checks import check_tensor
from ...arguments.contracts import Positive, checked
from ...core import random


@checked
def thermal_noise(sefd: Positive, bandwidth: Positive, integration: Positive, efficiency: Positive = 1.0) -> float:
    """Return the noise of one visibility of Stokes I, by the radiometer equation.

    ``sigma = SEFD / (efficiency sqrt(4 bandwidth integration))`` is the standard deviation of the real part and of the
    imaginary part each: Stokes I is the mean of two polarizations, each of which has
    ``SEFD / (efficiency sqrt(2 bandwidth integration))``.

    Args:
        sefd: The system equivalent flux density of a station, in jansky, of one polarization; of two that differ
            ``sqrt(SEFD_1 SEFD_2)``.
        bandwidth: The width of a channel in hertz.
        integration: The seconds of a row.
        efficiency: That of the correlator.

    Returns:
        The standard deviation in jansky; the weight of the visibility is 1 / its square.

    Source:
        Thompson, Moran & Swenson, Interferometry and Synthesis in Radio Astronomy, 2017,
        doi:10.1007/978-3-319-44431-4, section 6.2.
    """
    return float(sefd) / (float(efficiency) * (4 * float(bandwidth) * float(integration)) ** 0.5)


def add_thermal_noise(visibilities: Tensor, weights: Tensor, seed: int) -> Tensor:
    """Return visibilities with noise of the variance that their weights say.

    Args:
        visibilities: (..., V, F) complex.
        weights: (V, F), 1 / variance of the real part and of the imaginary part each; where it is 0 nothing is added.
        seed: Of the noise.

    Returns:
        (..., V, F).

    Raises:
        MetaoptError: The arguments are no such tensors.
    """
    check_tensor("The visibilities of add_thermal_noise", visibilities, "real or complex", "(...)")
    check_tensor("The weights of add_thermal_noise", weights, "real")
    wide = torch.randn(*visibilities.shape, 2, dtype=torch.float64, generator=random.generator(seed))
    sigma = torch.where(weights > 0, weights.double().clamp(min=1e-300).rsqrt(), 0)
    return visibilities + (sigma * torch.view_as_complex(wide)).to(visibilities.dtype)
