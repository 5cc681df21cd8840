"""Small chests in Hounsfield units, whose lungs, trachea and airways are known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIZE = (240.0, 200.0, 280.0)  # mm along (z, y, x)
AIR, TISSUE, PARENCHYMA = -1000.0, 40.0, -860.0


class Chest(NamedTuple):
    volume: Tensor
    spacing: tuple[float, float, float]
    lungs: Tensor
    trachea: Tensor
    bronchi: Tensor


def chest(spacing: tuple[float, float, float] = (3.0, 3.0, 3.0), noise: float = 10.0) -> Chest:
    """Two ellipsoids of lung in an oval body on a bed, with a trachea that divides into two tubes, in thick walls."""
    z, y, x = torch.meshgrid(
        *(torch.arange(0, n, s) - (0 if i == 0 else n / 2) for i, (n, s) in enumerate(zip(SIZE, spacing, strict=True))),
        indexing="ij",
    )
    body = (y / 80) ** 2 + (x / 125) ** 2 < 1
    bed = (y > 86) & (y < 92) & (x.abs() < 110)
    lungs = sum((((z - 105) / 90) ** 2 + (y / 62) ** 2 + ((x - c) / 45) ** 2 < 1).int() for c in (-60, 60)) > 0
    trachea = ((y**2 + x**2) < 8.5**2) & (z > 130)
    bronchi, walls = torch.zeros_like(body), (y**2 + x**2) < 12.0**2
    walls &= z > 126
    for side in (-1, 1):
        start, end = torch.tensor([132.0, 0.0, 0.0]), torch.tensor([92.0, 0.0, side * 70.0])
        bronchi |= _away(z, y, x, start, end) < 6.0
        walls |= _away(z, y, x, start, end) < 9.0
    volume = torch.full(body.shape, AIR)
    volume[body], volume[bed] = TISSUE, -150.0
    volume[lungs] = PARENCHYMA
    volume[walls & body] = TISSUE
    volume[(trachea | bronchi) & body] = AIR + 5
    volume += noise * torch.randn(body.shape, generator=torch.Generator().manual_seed(0))
    return Chest(volume, spacing, lungs & ~walls, trachea, bronchi)


def _away(z: Tensor, y: Tensor, x: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The distance from a piece of a line, in mm."""
    places, along = torch.stack([z, y, x], -1) - start, end - start
    t = ((places @ along) / (along @ along)).clamp(0, 1)
    return (places - t[..., None] * along).norm(dim=-1)


def overlap(a: Tensor, b: Tensor) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())
