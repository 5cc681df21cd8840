"""Restore pictures of any size by trained networks: denoising, super-resolution and inpainting.

Memory does not grow with the picture: above ``tile`` pixels a side it is computed in tiles of that size, with the
result of the whole. Pixels are (C, H, W) in [0, 1], and noise is in the same units. A network for as many channels as
the picture has sees them together; a network for a single channel is applied to each.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.checks import check_count, check_instance, check_number, check_tensor, said
from ..core import MetaoptError, MetaoptWarning, Unrolled
from ..data import Picture, check_writable, read_image, write_image
from ..data.formats.images import LARGEST
from ..files import check_apart
from ..models import load
from ..operators import Identity, Mask, Operator
from ..operators.reach import Window, coarse, per_axis
from ..problems import InverseProblem
from ..scale import WindowedProblem, tiled
from ..tasks import SuperResolution, shrinking
from ..training.recipe import TASK_CALLS
from ..weights import build, check_task, read_card
from ..weights.earlier import renewed
from .transparency import fill_hidden

TILE = 1152  # with a halo of 40 pixels, as the shipped networks have, tiles compute at most 1.15 times the pixels
LUMINANCE = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)  # of red, green and blue (ITU-R BT.601)


@torch.inference_mode()
def denoise(pixels: Tensor, noise: float, net: Unrolled, steps: int | None = None, tile: int = TILE) -> Tensor:
    """Remove Gaussian noise from a picture.

    Args:
        pixels: (C, H, W) in [0, 1].
        noise: Standard deviation of the noise, in the units of the pixels.
        net: The network, for C channels or for one.
        steps: Number of steps. None: that of the network.
        tile: Largest side of a tile in pixels.

    Returns:
        (C, H, W) in [0, 1].

    Raises:
        MetaoptError: The noise is not in (0, 1], the network has another number of channels, or ``steps`` is below 1.
    """
    level = _level(noise)
    _check_pixels(pixels)

    def problem(channels: Tensor, window: Window) -> InverseProblem:
        return InverseProblem(Identity(), channels[(None, ..., *window)], level)

    return _restored(pixels, problem, net, steps, tile, Identity(), level)


@torch.inference_mode()
def upscale(
    pixels: Tensor, factor: int, net: Unrolled, steps: int | None = None, noise: float = 1 / 255, tile: int = TILE
) -> Tensor:
    """Enlarge a picture that is taken as the antialiased bicubic downsampling of the result.

    In a colour picture the network restores the luminance. The chrominance, which the eye resolves less, is
    interpolated.

    Args:
        pixels: (C, H, W) in [0, 1].
        factor: How many times larger the result is along each side, at least 2.
        net: The network.
        steps: Number of steps. None: that of the network.
        noise: Standard deviation of the noise, in the units of the pixels.
        tile: Largest side of a tile of the result in pixels.

    Returns:
        (C, factor H, factor W) in [0, 1].

    Raises:
        MetaoptError: The factor is not a whole number of at least 2, or as for :func:`denoise`.
    """
    factor = check_count("The scale", factor, low=2)
    _check_pixels(pixels)
    if len(pixels) > 1:
        smooth = _interpolated(pixels, factor)
        sharp = upscale(_luminance(pixels), factor, net, steps, noise, tile)
        return (smooth + sharp - _luminance(smooth)).clamp(0, 1)
    level = factor * _level(noise)

    def problem(channels: Tensor, window: Window) -> InverseProblem:
        operator = shrinking(tuple(s.stop - s.start for s in window), factor, dtype=pixels.dtype)
        return InverseProblem(operator, factor * channels[(None, ..., *coarse(window, factor))], level)

    few = 8 * factor  # reach and period do not depend on the size
    return _restored(pixels, problem, net, steps, tile, shrinking((few, few), factor), level)


@torch.inference_mode()
def inpaint(
    pixels: Tensor, missing: Tensor, net: Unrolled, steps: int | None = None, noise: float = 1 / 255, tile: int = TILE
) -> Tensor:
    """Fill in missing pixels of a picture; the known ones stay as they are.

    Args:
        pixels: (C, H, W) in [0, 1].
        missing: (H, W) bool, True where pixels are missing.
        net: The network.
        steps: Number of steps. None: that of the network.
        noise: Standard deviation of the noise of the known pixels, in the units of the pixels.
        tile: Largest side of a tile in pixels.

    Returns:
        (C, H, W) in [0, 1].

    Raises:
        MetaoptError: The mask does not fit the picture or marks every pixel, or as for :func:`denoise`.
    """
    level = _level(noise)
    _check_pixels(pixels)
    check_tensor("The mask of missing pixels", missing, "any", "(H, W)")
    if missing.shape != pixels.shape[-2:] or missing.dtype != torch.bool:
        raise MetaoptError(
            f"The mask must be bool and of the picture's {_size(pixels)} pixels, but is {missing.dtype}, "
            f"{_size(missing)}."
        )
    if bool(missing.all()):
        raise MetaoptError("The mask marks every pixel as missing, so nothing is known to fill them in from.")
    known = (~missing).to(pixels)
    seen = known * pixels  # nothing is known of the others, not even how bright they are

    def problem(channels: Tensor, window: Window) -> InverseProblem:
        return InverseProblem(Mask(known[window]), channels[(None, ..., *window)], level)

    filled = _restored(seen, problem, net, steps, tile, Mask(known), level)
    return torch.where(missing, filled, pixels)


def denoise_file(
    source: Path, destination: Path, noise: float, weights: str | None = None, steps: int | None = None
) -> None:
    """Denoise a PNG, JPEG or TIFF file, and keep its depth, alpha and colour profile.

    It warns where the network was not trained for such noise. What is invisible under the alpha has no influence, and
    stays as it is.

    Args:
        source: The file to read.
        destination: The file to write.
        noise: Standard deviation of the noise, in the units of pixels in [0, 1].
        weights: A shipped name or the path of a ``.safetensors`` file. None: ``denoise_grey`` for a picture without
            colours, in whatever form it was saved, and ``denoise_color`` for others.
        steps: Number of steps. None: that of the network.

    Raises:
        MetaoptError: A file cannot be read or written, or as for :func:`denoise`.
    """
    picture = read_image(source)
    check_writable(destination, picture)
    check_apart(destination, source)
    pixels = fill_hidden(picture.pixels, picture.alpha)
    grey = bool((pixels == pixels[:1]).all())
    if weights is None:
        weights, pixels = ("denoise_grey", pixels[:1]) if grey else ("denoise_color", pixels)
    net = _network(weights, "denoise")
    result = denoise(pixels, noise, net, steps)
    task = {} if net.algorithm.trained_range else _trained_task(weights, "metaopt.tasks.Denoising")
    low, high = build(task["noise_levels"], TASK_CALLS) if "noise_levels" in task else (0.0, math.inf)
    if not low <= noise <= high:
        trained, given = f"{255 * low:g} to {255 * high:g}", f"{255 * noise:g}"
        _warn(f"The weights {weights} were trained for noise of {trained} grey levels, not {given}")
    write_image(destination, _changed(picture, result.expand_as(picture.pixels)))


def upscale_file(
    source: Path, destination: Path, scale: int, weights: str = "restore_grey", steps: int | None = None
) -> None:
    """Enlarge a PNG, JPEG or TIFF file, and keep its depth and colour profile; its alpha is interpolated.

    It warns where the network was not trained for that factor.

    Args:
        source: The file to read.
        destination: The file to write.
        scale: How many times larger the result is along each side, at least 2.
        weights: A shipped name or the path of a ``.safetensors`` file.
        steps: Number of steps. None: that of the network.

    Raises:
        MetaoptError: A file cannot be read or written, the result is too large, or as for :func:`upscale`.
    """
    picture = read_image(source)
    check_writable(destination, picture)
    check_apart(destination, source)
    scale = check_count("The scale", scale, low=2)
    if scale**2 * picture.pixels[0].numel() > LARGEST:
        raise MetaoptError(
            f"{source} enlarged by {scale} has more than {LARGEST // 10**6} million pixels; cut it into pieces first."
        )
    pixels = upscale(fill_hidden(picture.pixels, picture.alpha), scale, _network(weights, "upscale"), steps)
    task = _trained_task(weights, "metaopt.tasks.SuperResolution")
    factors = task.get("factors", SuperResolution.factors)
    if task and scale not in factors:
        _warn(f"The weights {weights} were trained to enlarge by {', '.join(map(str, factors))}, not by {scale}")
    alpha = None if picture.alpha is None else _interpolated(picture.alpha, scale).clamp(0, 1)
    write_image(destination, dataclasses.replace(picture, pixels=pixels, alpha=alpha))


def inpaint_file(
    source: Path, mask: Path, destination: Path, weights: str = "restore_grey", steps: int | None = None
) -> None:
    """Fill in a PNG, JPEG or TIFF file where a mask, a picture of the same size, is lighter than middle grey.

    A mask that is transparent marks nothing there: what counts is its lightness times its alpha.

    Args:
        source: The file to read.
        mask: The file of the mask.
        destination: The file to write.
        weights: A shipped name or the path of a ``.safetensors`` file.
        steps: Number of steps. None: that of the network.

    Raises:
        MetaoptError: A file cannot be read or written, the mask marks nothing or has another size, or as for
            :func:`inpaint`.
    """
    picture, marks = read_image(source), read_image(mask)
    if marks.pixels.shape[-2:] != picture.pixels.shape[-2:]:
        raise MetaoptError(
            f"The mask {mask} has {_size(marks.pixels)} pixels, but {source} has {_size(picture.pixels)}; both must be "
            "of one size."
        )
    lightness = marks.pixels if marks.alpha is None else marks.pixels * marks.alpha
    missing = lightness.mean(0) > 0.5
    if not bool(missing.any()):
        raise MetaoptError(f"The mask {mask} marks nothing to fill in: no pixel of it is lighter than middle grey.")
    check_writable(destination, picture)
    check_apart(destination, source, mask)
    pixels = inpaint(fill_hidden(picture.pixels, picture.alpha), missing, _network(weights, "inpaint"), steps)
    write_image(destination, _changed(picture, pixels))


def _network(weights: str, task: str) -> Unrolled[Any, Any, Any]:
    net = load(weights)
    check_task(weights, task)
    return net


def _changed(picture: Picture, pixels: Tensor) -> Picture:
    """Return the picture with other pixels where they are visible."""
    visible = pixels if picture.alpha is None else torch.where(picture.alpha > 0, pixels, picture.pixels)
    return dataclasses.replace(picture, pixels=visible)


def _trained_task(weights: str, kind: str) -> Mapping[str, Any]:
    """Return the entry of a task in the card of ``weights``, alone or in a mixture, or {} where there is none."""
    task = read_card(weights).get("recipe", {}).get("task", {})
    return next((renewed(t) for t in (task, *task.get("tasks", ())) if t.get("call") == kind), {})


def _warn(what: str) -> None:
    warnings.warn(f"{what}; look at the result twice.", MetaoptWarning, stacklevel=3)


Problem = Callable[[Tensor, Window], InverseProblem]  # from some channels and a window of the result


def _restored(
    pixels: Tensor,
    problem: Problem,
    net: Unrolled,
    steps: int | None,
    tile: int,
    operator: Operator,
    level: Tensor,
) -> Tensor:
    """Restore a picture tile by tile; the result is larger than ``pixels`` by the period of ``operator``.

    ``operator`` is an operator like those of the problems, of any size, and ``level`` the noise of y.
    """
    check_instance("The network", net, Unrolled, "metaopt.models.load gives one")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise MetaoptError(f"steps must be at least 1, but got {said(steps)}: without a step nothing is restored.")
    width = getattr(getattr(getattr(net.algorithm, "update", None), "module", None), "channels", 1)
    if width not in (1, len(pixels)):
        raise MetaoptError(
            f"These weights are for pictures of {width} channels, but this one has {len(pixels)}; give others."
        )
    factors = per_axis(operator.period, 2, 1)
    shape = (factors[0] * pixels.shape[-2], factors[1] * pixels.shape[-1])
    whole = max(shape) <= check_count("The side of a tile", tile)
    trained = net.algorithm.trained_range  # tiles and channels are measured by the whole, or seams would be seen
    scale = None if trained is None else trained.fixed(InverseProblem(Identity(), pixels[None], level)).scale

    def read(channels: Tensor, window: Window) -> InverseProblem:
        given = problem(channels, window)
        return given if trained is None or scale is None else trained.scaled(given, scale)

    def restore(channels: Tensor) -> Tensor:
        if whole:
            result = net(read(channels, tuple(slice(0, n) for n in shape)), steps=steps).final[0]
        else:
            result = tiled(net, WindowedProblem(partial(read, channels), shape, operator), tile, steps=steps)[0]
        return result if scale is None else result / scale

    return torch.cat([restore(channels) for channels in pixels.split(width)]).clamp(0, 1)


def _check_pixels(pixels: Any) -> None:
    check_tensor("A picture", pixels, "real", "(C, H, W)")
    if 0 in pixels.shape:
        raise MetaoptError(f"A picture has pixels, but this one is {tuple(pixels.shape)}.")
    if (most := float(pixels.abs().amax())) > 4:  # noise alone does not lead there
        raise MetaoptError(f"A picture has pixels in [0, 1], but this one has {most:g}; divide grey levels by 255.")


def _level(noise: float) -> Tensor:
    if not 0 < check_number("noise", noise) <= 1:
        raise MetaoptError(
            f"noise must be a standard deviation in the units of pixels in [0, 1], but got {noise}; divide grey levels "
            "by 255."
        )
    return torch.tensor(noise)


def _interpolated(pixels: Tensor, factor: int) -> Tensor:
    """Enlarge by bicubic interpolation with Keys' kernel of a = -1/2, which :func:`shrinking` uses as well."""
    return F.interpolate(pixels[None], scale_factor=factor, mode="bicubic", antialias=True)[0]


def _luminance(pixels: Tensor) -> Tensor:
    return torch.tensordot(LUMINANCE.to(pixels), pixels, 1)[None]


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]} x {pixels.shape[-2]}"
