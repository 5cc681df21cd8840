"""The Recurrent Inference Machine's cell: a convolutional gated recurrent unit that reads gradients.

Putzky and Welling, arXiv:1706.04008.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import MetaoptError, tree
from ..core.tree import describe
from ..problems.noise import per_sample, variance

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def convolution_of(dims: int) -> Callable[..., nn.Module]:
    """The convolution over ``dims`` axes."""
    if dims not in CONVOLUTIONS:
        raise MetaoptError(f"Convolutions have 1, 2 or 3 dims, not {dims!r}.")
    return CONVOLUTIONS[dims]


class ConvGruCell(nn.Module):
    """A gated recurrent unit whose matrices are convolutions (with a 1x1 kernel: ``torch.nn.GRUCell`` at every pixel).

    r, z = sigmoid(W_r u + U_r s), sigmoid(W_z u + U_z s);  n = tanh(W_n u + r * (U_n s));  s' = (1 - z) n + z s.

    Input u and state s are (B, features, ...). Cho et al., arXiv:1406.1078.
    """

    def __init__(self, features: int, kernel: int, dilation: int = 1, dims: int = 2):
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


class CoarseMemory(nn.Module):
    """A GRU that sees the features averaged over ``scale`` pixels a side, and adds its state, interpolated, to them.

    What is smooth over many pixels is remembered there at a fraction of the cost. Before training it adds nothing.
    """

    def __init__(self, features: int, scale: int, dims: int = 2):
        super().__init__()
        self.scale, self.dims = scale, dims
        self.cell = ConvGruCell(features, 3, 1, dims)
        self.project = convolution_of(dims)(features, features, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self.dims - 1]
        mode = ("linear", "bilinear", "trilinear")[self.dims - 1]
        window = [min(self.scale, n) for n in features.shape[2:]]  # 3-D pooling refuses one larger than the volume
        state = self.cell(pool(features, window, ceil_mode=True), state)
        fine = F.interpolate(self.project(state), scale_factor=self.scale, mode=mode, align_corners=False)
        return features + fine[(..., *[slice(0, n) for n in features.shape[2:]])], state


class ConvGru(nn.Module):
    """The update of the Recurrent Inference Machine.

    (x, gradient, log noise) -> convolution 5x5 -> GRU -> [convolution 3x3 -> GRU ...] -> two convolutions 3x3, which
    give a correction and a step size for every pixel: change = correction - step size * gradient. The step sizes are 0
    before training (the paper's cell is the one where they stay so); they make data consistency easy to learn.

    Where the problem gives its log noise level as first context, the gradient is multiplied by noise^2, so that its
    size does not depend on the level (A^H (A x - y) for a Gaussian likelihood); the level is an input map of its own.

    Args:
        channels: C, real channels of x, which is (B, C, ...). For complex x see :class:`RealImaginary`.
        hidden: features everywhere between the first and the last convolution.
        kernels: kernel size of each GRU. ``(3,)`` is the slides' cell, ``(1, 1)`` the two-GRU form used for MRI.
        dilation: of every convolution of kernel 3 between the first and the last.
        stride: 2 embeds at half resolution, which is 4 times cheaper in 2-D; any size of x is served.
        scales: of further GRUs on features averaged over so many (embedded) pixels a side, for what is smooth.
        dims: 2 for images, 3 for volumes, 1 for signals.
        context: how many context tensors the problem gives (1: the log noise; 0: none). Each is (B,), (1,) or a map
            that broadcasts with (B, 1, ...).
    """

    def __init__(
        self,
        channels: int,
        hidden: int = 64,
        kernels: Sequence[int] = (3,),
        dilation: int = 2,
        stride: int = 1,
        dims: int = 2,
        context: int = 1,
        scales: Sequence[int] = (),
    ):
        super().__init__()
        if any(kernel % 2 == 0 for kernel in kernels) or not kernels:
            raise MetaoptError(f"ConvGru needs at least one GRU, with odd kernels, but got kernels={tuple(kernels)}.")
        convolution = convolution_of(dims)
        self.channels, self.hidden, self.stride, self.dims, self.context = channels, hidden, stride, dims, context
        self.embed = convolution(2 * channels + context, hidden, 5, stride=stride)
        self.between = nn.ModuleList(
            convolution(hidden, hidden, 3, padding=dilation, dilation=dilation) for _ in kernels[1:]
        )
        self.memories = nn.ModuleList(ConvGruCell(hidden, k, dilation if k > 1 else 1, dims) for k in kernels)
        self.coarse = nn.ModuleList(CoarseMemory(hidden, scale, dims) for scale in scales)
        self.head, self.step_size = (to_image(hidden, channels, stride, dims) for _ in range(2))
        for parameter in self.step_size.parameters():
            nn.init.zeros_(parameter)

    @property
    def cell(self) -> int:
        """Shifting x by so many pixels shifts what is computed."""
        return self.stride * math.lcm(*(coarse.scale for coarse in self.coarse))  # type: ignore[misc]

    @property
    def reach(self) -> int:
        """How many pixels away a step sees at most: nothing beyond changes a pixel or the memory at it."""
        widths = [3 * coarse.scale for coarse in self.coarse]  # type: ignore[operator]
        kernels = [memory.input for memory in self.memories] + list(self.between)  # type: ignore[union-attr]
        widths += [k.padding[0] for k in kernels]  # type: ignore[union-attr, index]
        return 2 + self.stride * (sum(widths) + 2)

    def init(self, x: Tensor, context: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        """Zero states, one a GRU, each (B, hidden, ceil(size / stride) ...), then those at ``scales``."""
        if x.is_complex():
            raise MetaoptError(f"ConvGru updates real x, but x is {describe(x)}; wrap it in RealImaginary.")
        check_fits(x, context, self.channels, self.context, self.embed)
        size = [-(-n // self.stride) for n in x.shape[2:]]
        scales = [1] * len(self.memories) + [coarse.scale for coarse in self.coarse]  # type: ignore[misc]
        return tuple(
            self._laid_out(x.new_zeros(len(x), self.hidden, *(-(-n // scale) for n in size))) for scale in scales
        )

    def _laid_out(self, features: Tensor) -> Tensor:
        """Channels last, in 2-D: on CPUs a training update then takes 0.7 of the time."""
        return features.contiguous(memory_format=torch.channels_last) if self.dims == 2 else features

    def forward(
        self, gradient: Tensor, x: Tensor, memory: tuple[Tensor, ...], k: int, context: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        seen = replicate_border(gradient_features(gradient, x, context), 2, self.stride)
        seen = self._laid_out(seen)
        features = F.relu(self.embed(seen))
        fine, coarse = memory[: len(self.memories)], []
        for layer, state in zip(self.coarse, memory[len(self.memories) :], strict=True):
            features, state = layer(features, state)
            coarse.append(state)
        states = []
        for i, (cell, state) in enumerate(zip(self.memories, fine, strict=True)):
            features = cell(F.relu(self.between[i - 1](features)) if i else features, state)
            states.append(features)
        inside = (..., *[slice(0, n) for n in x.shape[2:]])
        scaled = seen[(slice(None), slice(self.channels, 2 * self.channels), *[slice(2, 2 + n) for n in x.shape[2:]])]
        change = self.head(features)[inside] - self.step_size(features)[inside] * scaled
        return change, (*states, *coarse)


def to_image(hidden: int, channels: int, stride: int, dims: int) -> nn.Module:
    """A convolution from features to channels, transposed where the features are at lower resolution."""
    if stride == 1:
        return convolution_of(dims)(hidden, channels, 3, padding=1)
    return TRANSPOSED[dims](hidden, channels, 2 * stride, stride, padding=stride // 2)


def check_fits(x: Tensor, context: tuple[Any, ...], channels: int, maps: int, convolution: nn.Module) -> None:
    """Raise unless x fits ``convolution``, which reads ``channels`` real channels and ``maps`` context tensors."""
    weight: Tensor = convolution.weight  # type: ignore[assignment]
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
    """What a network sees of a descent: x, the gradient times noise^2, and the context as maps, (B, channels, ...).

    The first context tensor, if there is one, is the log noise level. Complex x and gradient become real channels.
    """
    if x.is_complex():
        x, gradient = real_channels(x), real_channels(gradient)
    maps = [per_sample(c, x) for c in context]
    if maps:
        gradient = gradient * variance(maps[0], x)
    return torch.cat([x, gradient, *(m.expand(len(x), 1, *x.shape[2:]) for m in maps)], dim=1)


def replicate_border(inputs: Tensor, radius: int, stride: int) -> Tensor:
    """Replicate the border by ``radius``, and on the far side up to a multiple of ``stride``.

    ``F.pad`` would keep its input for the backward pass, and its backward does not compile (torch 2.13, inductor).
    """
    for dim in range(2, inputs.ndim):
        shape, n = list(inputs.shape), inputs.shape[dim]
        first, last = inputs.narrow(dim, 0, 1), inputs.narrow(dim, n - 1, 1)
        before, after = ([*shape[:dim], wide, *shape[dim + 1 :]] for wide in (radius, radius + (-n % stride)))
        inputs = torch.cat([first.expand(before), inputs, last.expand(after)], dim)
    return inputs


def real_channels(x: Tensor) -> Tensor:
    """C complex channels as 2C real ones, all real parts first."""
    return torch.cat([x.real, x.imag], dim=1)


class RealImaginary(nn.Module):
    """An update for complex x made of one for real x: C complex channels are its 2C real ones, real parts first."""

    def __init__(self, update: nn.Module):
        super().__init__()
        self.update = update

    def init(self, x: Tensor, context: tuple[Tensor, ...] = ()) -> Any:
        if not x.is_complex():
            raise MetaoptError(f"RealImaginary updates complex x, but x is {describe(x)}; leave it out for real x.")
        return self.update.init(real_channels(x), context)  # type: ignore[operator]

    def forward(
        self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Any]:
        change, memory = self.update(real_channels(gradient), real_channels(x), memory, k, context)
        return torch.complex(*change.to(x.real.dtype).chunk(2, dim=1)), memory


class EachPart(nn.Module):
    """An update for complex x: one for real pictures, applied to the real and to the imaginary part alike.

    It takes over what was learned from real pictures. ``offset`` is added to what the update sees, so that parts around
    0 look like pictures in [0, 1]. The level it is told is sqrt(noise^2 + extra^2), where ``extra``, a parameter, is
    what disturbs the estimate besides the measurement's noise, such as aliasing.
    """

    def __init__(self, update: nn.Module, offset: float = 0.5, extra: float = 0.05):
        super().__init__()
        self.update, self.offset = update, offset
        self.log_extra = nn.Parameter(torch.tensor(math.log(extra)))

    def init(self, x: Tensor, context: tuple[Tensor, ...]) -> Any:
        memory = self.update.init(_parts(x) + self.offset, (self._level(*context),))  # type: ignore[operator]
        return tree.map(lambda t: t.unflatten(0, (-1, 2)), memory)

    def forward(
        self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: tuple[Tensor, ...]
    ) -> tuple[Tensor, Any]:
        level, memory = self._level(*context), tree.map(lambda t: t.flatten(0, 1), memory)
        scaled = _parts(gradient * variance(context[0], x)) / variance(level, x)
        change, memory = self.update(scaled, _parts(x) + self.offset, memory, k, (level,))
        real, imaginary = change.to(x.real.dtype).unflatten(0, (-1, 2)).unbind(1)
        return torch.complex(real, imaginary), tree.map(lambda t: t.unflatten(0, (-1, 2)), memory)

    def _level(self, log_noise: Tensor) -> Tensor:
        level = torch.logaddexp(2 * log_noise, 2 * self.log_extra.to(log_noise)) / 2
        return level if len(level) == 1 else level.repeat_interleave(2, dim=0)


def _parts(x: Tensor) -> Tensor:
    """(B, C, ...) complex as (2B, C, ...) real: real and imaginary part of the first sample, of the second, ..."""
    return torch.stack([x.real, x.imag], dim=1).flatten(0, 1)
