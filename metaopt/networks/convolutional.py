"""Convolutional cells, and how networks that see a descent read and write images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, checked
from ..core import MetaoptError, autodiff
from ..core.tree import describe
from ..operators.complex import join_complex, split_complex
from ..problems.noise import per_sample, variance

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def convolution_of(dims: int) -> Callable[..., Convolution]:
    """Return torch's convolution over ``dims`` axes.

    Raises:
        MetaoptError: ``dims`` is not 1, 2 or 3.
    """
    if dims not in CONVOLUTIONS:
        raise MetaoptError(f"Convolutions have 1, 2 or 3 dims, not {dims!r}.")
    return CONVOLUTIONS[dims]


@checked
class ConvGruCell(nn.Module):
    """Apply a gated recurrent unit whose matrices are convolutions.

    ``r, z = sigmoid(W_r u + U_r s), sigmoid(W_z u + U_z s)``, ``n = tanh(W_n u + r * (U_n s))`` and ``s' = (1 - z) n +
    z s``, where the input u, the state s and the next state s' are (B, features, ...). With a 1x1 kernel it is
    ``torch.nn.GRUCell`` at every pixel.

    Args:
        features: The channels of input and state.
        kernel: The side of the kernels, odd, in pixels.
        dilation: The dilation of the kernels.
        dims: The number of spatial axes, 1, 2 or 3.

    Source:
        Cho et al., 2014, arXiv:1406.1078.
    """

    def __init__(self, features: Count, kernel: Count, dilation: Count = 1, dims: int = 2):
        super().__init__()
        convolution, padding = convolution_of(dims), dilation * (kernel // 2)
        self.input = convolution(features, 3 * features, kernel, padding=padding, dilation=dilation)
        self.state = convolution(features, 3 * features, kernel, padding=padding, dilation=dilation)

    def forward(self, u: Tensor, s: Tensor) -> Tensor:
        from_input, from_state = self.input(u), self.state(s)
        (ur, uz, un), (sr, sz, sn) = from_input.chunk(3, dim=1), from_state.chunk(3, dim=1)
        z = torch.sigmoid(uz + sz)
        n = torch.tanh(un + torch.sigmoid(ur + sr) * sn)
        return n + z * (s - n)


@checked
class CoarseMemory(nn.Module):
    """Run a GRU on features averaged over ``scale`` pixels a side, and add its interpolated state to the features.

    It remembers what is smooth over many pixels at a fraction of the cost. Before training it adds nothing.

    Args:
        features: The channels.
        scale: The side of the averaged cells, in pixels of the features.
        dims: The number of spatial axes, 1, 2 or 3.
    """

    def __init__(self, features: Count, scale: Count, dims: int = 2):
        super().__init__()
        self.scale, self.dims = scale, dims
        self.cell = ConvGruCell(features, 3, 1, dims)
        self.project = convolution_of(dims)(features, features, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self.dims - 1]
        mode = ("linear", "bilinear", "trilinear")[self.dims - 1]
        window = [min(self.scale, n) for n in features.shape[2:]]  # 3-D pooling refuses one larger than the volume
        state = self.cell(pool(features, window, ceil_mode=True), state)
        fine = F.interpolate(self.project(state), scale_factor=self.scale, mode=mode, align_corners=False)
        return features + cropped(fine, features.shape[2:]), state


def to_image(hidden: int, channels: int, stride: int, dims: int) -> nn.Module:
    """Make a convolution from features to channels, transposed where the features are at lower resolution."""
    if stride == 1:
        return convolution_of(dims)(hidden, channels, 3, padding=1)
    return TRANSPOSED[dims](hidden, channels, 2 * stride, stride, padding=stride // 2)


def check_fits(x: Tensor, context: tuple[Any, ...], channels: int, maps: int, convolution: Convolution) -> None:
    """Raise unless x fits ``convolution``, which reads ``channels`` real channels and ``maps`` context tensors."""
    weight = convolution.weight
    dims, parts = weight.ndim - 2, 2 if x.is_complex() else 1
    if x.ndim != dims + 2 or parts * x.shape[1] != channels:
        raise MetaoptError(
            f"This network reads x of shape (B, {channels}, {', '.join(['n'] * dims)}), a complex channel counting as "
            f"two, but x is {describe(x)}; build it for that many channels and dims."
        )
    if (x.real.dtype, x.device) != (weight.dtype, weight.device):
        raise MetaoptError(
            f"This network's weights are {weight.dtype} on {weight.device}, but x is {x.dtype} on {x.device}; move one "
            "to the other by .to(...)."
        )
    if len(context) != maps:
        raise MetaoptError(
            f"This network reads {maps} context tensors (1: the log noise level), but the problem gives "
            f"{len(context)}; give the problem noise=..., or build the network with context={len(context)}."
        )
    for tensor in context:
        shape, fits = tuple(tensor.shape), (len(x), 1, *x.shape[2:])
        if shape not in ((), (1,), (len(x),)) and (
            len(shape) != x.ndim or any(n not in (1, m) for n, m in zip(shape, fits, strict=True))
        ):
            raise MetaoptError(
                f"A network reads context tensors as maps of one channel, but one is {shape} and x {tuple(x.shape)}: "
                f"it must be ({len(x)},), (1,) or broadcast to {fits} with as many axes."
            )


def gradient_features(gradient: Tensor, x: Tensor, context: tuple[Tensor, ...]) -> Tensor:
    """Return what a network sees of a descent: x, the gradient times noise^2, and the context as maps.

    The result is (B, channels, ...). The first context tensor, if there is one, is the log noise level. Complex x and
    gradient become real channels.
    """
    if x.is_complex():
        x, gradient = real_channels(x), real_channels(gradient)
    maps = [per_sample(c, x) for c in context]
    if maps:
        gradient = gradient * variance(maps[0], x)
    return torch.cat([x, gradient, *(m.expand(len(x), 1, *x.shape[2:]) for m in maps)], dim=1)


def ceil_divided(size: Sequence[int], divisor: int) -> list[int]:
    """Return n / divisor rounded up for each n, by positive numbers only: ONNX rounds negative ones towards zero."""
    return [(n + divisor - 1) // divisor for n in size]


def cropped(features: Tensor, size: Sequence[int], start: int = 0) -> Tensor:
    """Cut features (B, channels, ...) to ``size``, beginning at place ``start``.

    ``torch.export`` asks whether a slice is contiguous, and the answer would hold for some sizes of x only. While it
    traces, the entries are gathered instead.
    """
    if autodiff.values_known():
        return features[(..., *[slice(start, start + n) for n in size])]
    for dim, n in enumerate(size, 2):
        features = features.index_select(dim, torch.arange(start, start + n, device=features.device))
    return features


def replicate_border(inputs: Tensor, radius: int, stride: int) -> Tensor:
    """Replicate the border by ``radius`` pixels, and on the far side up to a multiple of ``stride``.

    ``F.pad`` would keep its input for the backward pass, and its backward does not compile (torch 2.13, inductor).
    """
    for dim in range(2, inputs.ndim):
        shape, n = list(inputs.shape), inputs.shape[dim]
        first, last = inputs.narrow(dim, 0, 1), inputs.narrow(dim, n - 1, 1)
        before, after = (
            [*shape[:dim], wide, *shape[dim + 1 :]] for wide in (radius, radius + (stride - n % stride) % stride)
        )
        inputs = torch.cat([first.expand(before), inputs, last.expand(after)], dim)
    return inputs


def real_channels(x: Tensor) -> Tensor:
    """Convert C complex channels to 2C real ones, all real parts first."""
    return split_complex(x, 1).flatten(1, 2)


def complex_channels(x: Tensor) -> Tensor:
    """Undo :func:`real_channels`."""
    return join_complex(x.unflatten(1, (2, x.shape[1] // 2)), 1)
