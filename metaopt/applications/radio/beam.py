"""Fit the beam of a dirty picture, and restore the picture of components with it, as CLEAN does."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arguments.checks import check_finite, check_number, check_tensor, said
from ...core import tree
from ...core.errors import MetaoptError
from ...operators.operator import at_least_single

LOBE = 0.35  # of the peak: what is above it and connected with it is the main lobe
WIDTHS = math.sqrt(8 * math.log(2))  # full widths at half of the height over standard deviations
Beam = tuple[float, float, float]


def fit_beam(point: Tensor, cell: float) -> Beam | None:
    """Fit an elliptical Gaussian of height 1 to the main lobe of a point spread function.

    Args:
        point: The function, (H, W), 1 at (H // 2, W // 2), its largest value.
        cell: The size of a pixel in radians.

    Returns:
        (major axis, minor axis, position angle) in radians, the axes at half of the height, the angle from north to
        east; None where the lobe is no such ellipse.

    Raises:
        MetaoptError: The arguments are none of these.
    """
    point, cell = _picture("The point spread function of fit_beam", point), _angle("The cell of fit_beam", cell)
    row, column = (n // 2 for n in point.shape)
    lobe = torch.zeros_like(point)
    lobe[row, column] = 1
    high = (point > LOBE).to(point)
    for _ in range(max(point.shape)):
        grown = F.max_pool2d(lobe[None], 3, 1, 1)[0] * high
        if torch.equal(grown, lobe):
            break
        lobe = grown
    rows, columns = lobe.nonzero(as_tuple=True)
    heights = point[rows, columns].double().clamp(max=1)  # 1 at the middle, but for rounding
    north, east = (rows - row).double(), (column - columns).double()
    terms = torch.stack([north.square(), 2 * north * east, east.square()], 1)
    if len(terms) < 5:
        return None
    weights = heights[:, None]  # the top of the lobe is nearest to a Gaussian
    a, b, c = torch.linalg.lstsq(weights * terms, -2 * weights[:, 0:1] * heights[:, None].log()).solution[:, 0].tolist()
    values, vectors = torch.linalg.eigh(torch.tensor([[a, b], [b, c]], dtype=torch.float64))
    if not float(values[0]) > 0:
        return None
    major, minor = (WIDTHS * cell / math.sqrt(float(value)) for value in values)
    angle = math.atan2(float(vectors[1, 0]), float(vectors[0, 0])) % math.pi
    # Its last digits are those of LAPACK, which differ from run to run.
    return float(f"{major:.8g}"), float(f"{minor:.8g}"), float(f"{angle:.8g}")


def restore(model: Tensor, residual: Tensor, beam: Beam, cell: float) -> Tensor:
    """Return the restored picture in Jy/beam: components as wide as the beam, plus the residual.

    Args:
        model: The components in Jy/pixel, (H, W).
        residual: The dirty picture of what they leave, in Jy/beam, (H, W).
        beam: As :func:`fit_beam` gives it.
        cell: The size of a pixel in radians.

    Raises:
        MetaoptError: The arguments are none of these, or do not fit each other.
    """
    model, residual = _picture("The model of restore", model), _picture("The residual of restore", residual)
    if model.shape != residual.shape or not isinstance(beam, list | tuple) or len(beam) != 3:
        raise MetaoptError(
            "restore takes a model and a residual of one size, and a beam of three angles, but got "
            f"{tree.describe(model)}, {tree.describe(residual)} and {said(beam)}."
        )
    for axis in beam[:2]:
        _angle("An axis of the beam", axis)
    check_number("The position angle of the beam", beam[2])
    cell = _angle("The cell of restore", cell)
    tall, wide = (2 * n for n in model.shape)
    major, minor, angle = beam
    # The transform of the Gaussian: wide along the axis along which the beam is narrow.
    v, u = torch.fft.fftfreq(tall, cell).double()[:, None], -torch.fft.rfftfreq(wide, cell).double()[None]
    along, across = (v * math.cos(angle) + u * math.sin(angle), u * math.cos(angle) - v * math.sin(angle))
    exponent = (major * along).square() + (minor * across).square()
    area = 2 * math.pi * major * minor / (WIDTHS * cell) ** 2
    transfer = area * torch.exp(-2 * math.pi**2 * exponent / WIDTHS**2)
    smooth = torch.fft.irfft2(torch.fft.rfft2(model.double(), (tall, wide)) * transfer, (tall, wide))
    return smooth[: model.shape[0], : model.shape[1]].to(residual) + residual


def _picture(name: str, value: Tensor) -> Tensor:
    check_finite(name, check_tensor(name, value, "real", "(H, W)"))
    if not value.numel():
        raise MetaoptError(f"{name} has no pixels, but is {tree.describe(value)}.")
    return at_least_single(value)


def _angle(name: str, value: float) -> float:
    return float(check_number(name, value, above=0))
