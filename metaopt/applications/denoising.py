"""Denoising pictures of any size, grey or colour, with a trained machine."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from ..core import MetaoptError, Unrolled
from ..data import check_writable, read_image, write_image
from ..models import load
from ..operators import Identity
from ..problems import InverseProblem


@torch.inference_mode()
def denoise(pixels: Tensor, sigma: float, net: Unrolled, steps: int | None = None) -> Tensor:
    """Remove Gaussian noise of standard deviation ``sigma`` (grey levels of 255) from (C, H, W) pixels in [0, 1].

    Every channel is denoised on its own, one after another, by a machine for grey pictures.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise MetaoptError(f"sigma must be a positive number of grey levels (of 255), but got {sigma}.")
    if steps is not None and steps < 1:
        raise MetaoptError(f"steps must be at least 1, but got {steps}: without a step nothing is denoised.")
    noise = torch.tensor(sigma / 255)
    channels = [net(InverseProblem(Identity(), c[None, None], noise), steps=steps).final[0, 0] for c in pixels]
    return torch.stack(channels).clamp(0, 1)


def denoise_file(
    source: Path, destination: Path, sigma: float, weights: str = "denoise_grey", steps: int | None = None
) -> None:
    """Denoise a PNG, JPEG or TIFF file; depth, alpha and colour profile are kept."""
    picture = read_image(source)
    check_writable(destination, picture)
    net = load(weights)
    write_image(destination, dataclasses.replace(picture, pixels=denoise(picture.pixels, sigma, net, steps)))
