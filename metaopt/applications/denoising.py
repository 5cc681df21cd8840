"""Denoising pictures of any size, grey or colour, with a trained machine."""

from __future__ import annotations

import dataclasses
import math
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..core import MetaoptError, MetaoptWarning, Unrolled
from ..data import check_writable, read_image, write_image
from ..models import load, read_card
from ..operators import Identity
from ..problems import InverseProblem
from .tiling import Tiling, Window, tiled, tiling_for


@torch.inference_mode()
def denoise(pixels: Tensor, sigma: float, net: Unrolled, steps: int | None = None, tile: int = 768) -> Tensor:
    """Remove Gaussian noise of standard deviation ``sigma`` (grey levels of 255) from (C, H, W) pixels in [0, 1].

    Every channel is denoised on its own, one after another, by a machine for grey pictures, in pieces of ``tile``
    pixels a side: memory does not grow with the picture, and the result is that of the whole.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise MetaoptError(f"sigma must be a positive number of grey levels (of 255), but got {sigma}.")
    if steps is not None and steps < 1:
        raise MetaoptError(f"steps must be at least 1, but got {steps}: without a step nothing is denoised.")
    noise = torch.tensor(sigma / 255)

    def denoised(channel: Tensor, window: Window) -> Tensor:
        return net(InverseProblem(Identity(), channel[(None, None, *window)], noise), steps=steps).final[0, 0]

    tiling = tiling_for(net, steps, tile) if max(pixels.shape[-2:]) > tile else Tiling(tile, halo=0)
    channels = [tiled(partial(denoised, channel), tuple(channel.shape), tiling) for channel in pixels]
    return torch.stack(channels).clamp(0, 1)


def denoise_file(
    source: Path, destination: Path, sigma: float, weights: str = "denoise_grey", steps: int | None = None
) -> None:
    """Denoise a PNG, JPEG or TIFF file; depth, alpha and colour profile are kept.

    Warns where ``sigma`` is not among the noise levels that the weights were trained for.
    """
    picture = read_image(source)
    check_writable(destination, picture)
    result = dataclasses.replace(picture, pixels=denoise(picture.pixels, sigma, load(weights), steps))
    task = read_card(weights).get("recipe", {}).get("task", {})
    of_noise = task.get("call") == "metaopt.tasks.Denoising"  # elsewhere low and high are of other things
    low, high = (task.get("low", 0), task.get("high", math.inf)) if of_noise else (0, math.inf)
    if not low <= sigma <= high:
        warnings.warn(
            f"The weights {weights} were trained for noise of {low} to {high} grey levels, not {sigma:g}; look at the "
            "result twice.",
            MetaoptWarning,
            stacklevel=2,
        )
    write_image(destination, result)
