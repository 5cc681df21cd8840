"""Deconvolve a picture by CLEAN, one or many components a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.checks import check_number
from ..arguments.contracts import NotNegative, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, autodiff, slot, tree
from ..problems import Gaussian, protocol
from ..problems.noise import per_sample
from .conjugate_gradient import inner

WIDTH = 3 / 16  # standard deviation of a component over its scale


class CleanState(NamedTuple):
    """Hold the model ``x``, its ``residual`` A^H W (y - A x), and the response ``peaks`` (B, S) to a unit component."""

    x: Tensor
    residual: Tensor
    peaks: Tensor


def brightness(gradient: Callable[[Tensor], Tensor], moment: Tensor, middle: Tensor) -> Tensor:
    """Return the flux, (B, 1, 1, 1), of a source whose response is as large as the moment, so that neither is lost.

    Args:
        gradient: That of the energy, the response to x minus the moment.
        moment: ``A^H W y``, (B, 1, H, W).
        middle: A source of 1 in the middle, of the same shape.
    """
    largest = moment.abs().amax((1, 2, 3), keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    flux = torch.ones_like(largest)
    for _ in range(3):  # from 1, whose response may be lost itself
        found = (gradient(flux * middle) + moment).abs().amax((1, 2, 3), keepdim=True)
        flux = flux * largest / torch.maximum(found, torch.finfo(moment.dtype).eps * largest)
    return flux


@checked
class Clean(Algorithm[Any, CleanState, Tensor]):
    """Build up a picture of the components that stand out of the residual, by Hogbom's or multi-scale CLEAN.

    A component is a Gaussian K_s of sum 1 whose standard deviation is 3/16 of its scale; scale 0 is a single pixel. The
    one at pixel i with flux ``f_s(i) = (K_s * r)(i) / p_s`` explains most of the residual r = A^H W (y - A x) there,
    where p_s is the response to a unit component at its own place. It would lower the energy by ``strength^2 / 2``,
    with ``strength = |K_s * r| / sqrt(p_s)``, which is in standard deviations of the noise. A step takes the components
    whose strength, times the bias of their scale, is at least ``share`` of the largest and at least ``threshold``, and
    adds their sum d as ``x <- x + gain * a d``, with the a that minimises the energy along d.

    With the defaults it takes the one pixel that is brightest, as Hogbom's CLEAN does. A share below 1 takes whole
    regions (Steer, Dewdney and Ito), in fewer steps, and several scales find extended emission (Cornwell). The energy
    never rises. The choice of components has no derivative, so of the slots the gain alone learns, unless ``softness``
    is positive: each of the two conditions is then a factor ``sigmoid((strength - least) / (softness * largest))``.

    The problem has a quadratic energy, whose curvature looks the same at every pixel (visibilities, k-space, a blur),
    and real x, (B, C, H, W).

    Args:
        gain: The share of a component that a step takes: a number or an opening of a slot.
        share: The least strength that is taken, over the largest of the sample.
        threshold: The least strength that is taken, in standard deviations of the noise. Below it nothing changes.
        scales: The scales in pixels, each at least 0.
        bias: A factor for the strength at all scales, or one for each scale, (S,).
        softness: The width of the choice, over the largest strength; 0 is a choice of yes or no.
        positive: Whether only components of positive flux are taken.

    Slots:
        gain: The gain, from 0 to 2.
        share: The share, from 0 to 1.
        threshold: The threshold, at least 0.
        bias: The factor or factors, at least 0.

    Raises:
        MetaoptError: An argument is none of these, x is not real or has other axes, the likelihood is not Gaussian, or
            the measurement says nothing of the pixel in the middle.

    Source:
        Hogbom, 1974, Astron. Astrophys. Suppl. 15, 417; Steer, Dewdney & Ito, 1984, Astron. Astrophys. 137, 159;
        Cornwell, Multi-scale CLEAN deconvolution of radio synthesis images, 2008, doi:10.1109/JSTSP.2008.2006388.
    """

    def __init__(
        self,
        gain: ValueSlot = 0.1,
        share: ValueSlot = 1.0,
        threshold: ValueSlot = 0.0,
        scales: Sequence[float] = (0.0,),
        bias: ValueSlot = 1.0,
        softness: NotNegative = 0.0,
        positive: bool = False,
    ):
        super().__init__()
        if not scales:
            raise MetaoptError("Clean needs at least one scale; scale 0 is a single pixel.")
        for scale in scales:
            check_number("A scale of Clean", scale, low=0)
        self.gain, self.share = slot(gain, within("gain", 0, 2)), slot(share, within("share", 0, 1))
        self.threshold, self.bias = slot(threshold, within("threshold", 0)), slot(bias, within("bias", 0))
        self.scales, self.softness, self.positive = tuple(map(float, scales)), softness, positive

    def init(self, problem: Any) -> CleanState:
        start = protocol.begin(problem, "Clean")
        x = torch.zeros_like(start)
        if x.ndim != 4 or x.is_complex():
            raise MetaoptError(f"Clean deconvolves real pictures (B, C, H, W), but x is {tree.describe(x)}.")
        if not isinstance(getattr(problem, "likelihood", Gaussian()), Gaussian):
            raise MetaoptError(
                "Clean lowers a quadratic energy, that of a Gaussian likelihood, not of "
                f"{type(problem.likelihood).__name__}; Descent and ProximalGradient take other energies."
            )
        gradient = protocol.at(problem, 0).gradient
        residual = -gradient(x)
        middle = torch.zeros_like(x)
        middle[..., x.shape[2] // 2, x.shape[3] // 2] = 1
        bright = brightness(gradient, residual, middle)
        peaks = []
        for scale in self.scales:
            component = _smoothed(middle, scale)
            curved = (gradient(bright * component) + residual) / bright
            peaks.append(inner(component, curved) / x.shape[1])
        found = torch.stack(peaks, dim=1)
        if autodiff.values_known() and not bool(((found > 0) & found.isfinite()).all()):
            raise MetaoptError(
                "The measurement says nothing of the pixel in the middle, whose response Clean takes for that of every "
                "pixel; it is for visibilities, k-space and blurs, and ProximalGradient for masks of pixels."
            )
        return CleanState(x, residual, found)

    def step(self, problem: Any, state: CleanState, k: int) -> CleanState:
        found = torch.stack([_smoothed(state.residual, scale) for scale in self.scales], dim=1)
        peaks = state.peaks.reshape(*state.peaks.shape, 1, 1, 1)
        size = found.relu() if self.positive else found.abs()
        bias = torch.as_tensor(self.bias(k)).to(found).reshape(-1, 1, 1, 1)
        flux = found / peaks * self._chosen(bias * size / peaks.sqrt(), k)
        added = torch.stack([_smoothed(part, s) for part, s in zip(flux.unbind(1), self.scales, strict=True)]).sum(0)
        # As large as x, since the curvature along a faint component would be lost in the rounding of the gradient at x.
        # The step does not depend on this factor, so it is no part of derivatives, where it would overflow.
        bright, faint = (t.detach().abs().amax((1, 2, 3), keepdim=True) for t in (state.x, added))
        added = added * (bright / torch.where(faint > 0, faint, 1)).clamp_min(1)
        curved = protocol.at(problem, k).gradient(state.x + added) + state.residual
        falls, bends = (inner(added, other) for other in (state.residual, curved))
        size = per_sample((self.gain(k) * falls / bends.clamp_min(torch.finfo(bends.dtype).tiny)).to(added), added)
        return CleanState(state.x + size * added, state.residual - size * curved, state.peaks)

    def readout(self, problem: Any, state: CleanState, k: int) -> Tensor:
        return state.x

    def _chosen(self, strength: Tensor, k: int) -> Tensor:
        largest = strength.amax((1, 2, 3, 4), keepdim=True)
        over = [strength - (self.share(k) * largest).to(strength), (strength - self.threshold(k)).to(strength)]
        if not self.softness:
            return (over[0] >= 0) & (over[1] >= 0) & (strength > 0)
        width = (self.softness * largest).clamp_min(torch.finfo(largest.dtype).tiny)
        return torch.sigmoid(over[0] / width) * torch.sigmoid(over[1] / width)


def _smoothed(x: Tensor, scale: float) -> Tensor:
    """Convolve x (B, C, H, W) with the component of a scale; 0 surrounds it, so that this is its own adjoint."""
    if not scale:
        return x
    deviation = WIDTH * scale
    radius = math.ceil(4 * deviation)
    profile = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64).square() / (2 * deviation**2))
    profile = (profile / profile.sum()).to(x)
    planes = x.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(planes, profile.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(planes, profile.view(1, 1, 1, -1), padding=(0, radius)).reshape(x.shape)
