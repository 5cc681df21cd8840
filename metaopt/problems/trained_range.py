"""Solve a problem in the units that a network was trained in, and say where it was not trained for it.

A linear problem has no units of its own: ``c y = A (c x) + c noise``. A network has, because its weights were trained
on x of a certain size and on certain noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import said
from ..core import MetaoptError, autodiff, tree
from ..foundation.errors import warn_user
from .inverse import InverseProblem
from .likelihood import Gaussian
from .noise import per_sample

PIXELS = "pixels in [0, 1]"
UNITS = (1.0, 255.0, 4095.0, 65535.0)  # and 1 times every power of ten: what users measure intensity in
FIT = (0.4, 1.1)  # a usual unit is taken where the brightest part of x then lies in this share of what was trained
FILL = 0.8  # the share of it that x fills where no usual unit fits
OPTIONAL = ("acceleration", "pixels", "voxel")
SLACK = 1.02  # relative difference of a noise level from a bound that is not worth a word


@dataclass(frozen=True)
class TrainedRange:
    """Say what problems a network was trained for, and bring others into that range by a change of units.

    The factor c of each sample is estimated from y, the operator and the noise. It is 1 where both the intensity and
    the noise are in range, so that such problems are not touched. Where the intensity is not, or the noise is below its
    range, c fills the range of intensity: by a usual unit if one fits (a power of ten, or 255, 4095 or 65535 grey
    levels), because then the result is c times that of the problem in that unit, and else by the estimate itself. Where
    the noise would exceed its range, c is smaller. The result is divided by c again.

    Values are not looked at, and nothing is changed, under ``torch.func`` transforms of y, and where torch compiles or
    exports: such programs take problems in trained units.

    Args:
        intensity: (low, high) of the brightest part of ``|x|`` in training.
        noise: (low, high) of the noise level in training, in the units of y.
        is_complex: Whether x is complex.
        units: The units of x in words.
        name: What the network is called.
        acceleration: (low, high) of the number of points of k-space over that of samples. None, here and below: not
            said. What reads k-space warns outside of these, which a problem does not tell.
        pixels: (low, high) of the pixels along a side of x.
        voxel: (low, high) of the size of detail that a pixel shows, in millimetres.

    Raises:
        MetaoptError: A range is not two numbers, the smaller first, or what must be positive is not.
    """

    intensity: tuple[float, float]
    noise: tuple[float, float]
    is_complex: bool = False
    units: str = PIXELS
    name: str = "of this network"
    acceleration: tuple[float, float] | None = None
    pixels: tuple[float, float] | None = None
    voxel: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        positive, optional = math.ulp(0.0), [what for what in OPTIONAL if getattr(self, what) is not None]
        for what, least in (("intensity", 0.0), ("noise", positive), *((what, positive) for what in optional)):
            bounds = getattr(self, what)
            fits = isinstance(bounds, list | tuple) and len(bounds) == 2 and all(_is_number(b) for b in bounds)
            if not fits or not least <= bounds[0] <= bounds[1] < math.inf or not bounds[1] > 0:
                raise MetaoptError(
                    f"The trained range of {what} is two numbers, the smaller first, not {said(bounds)}."
                )
            object.__setattr__(self, what, tuple(map(float, bounds)))

    def enter(self, problem: Any, state: Any = None) -> tuple[Any, Any, Callable[[Any], Any]]:
        """Return the problem and the state in trained units, and what brings x and states back to the caller's units.

        Args:
            problem: What the network was given. One that has a ``scale`` is in trained units already.
            state: A state to start from, whose field ``x`` is an estimate, or None.

        Raises:
            MetaoptError: The network was not given a problem, its noise is unknown, or its x is real where the network
                is for complex x, or the other way round.
        """
        given = self.scaled(problem) if isinstance(problem, InverseProblem) and problem.scale is None else problem
        if given is problem:
            self._check_problem(problem)
            return problem, state, lambda value: value
        factor: Any = given.scale
        return given, _times(state, factor), lambda value: _times(value, 1 / factor)

    def scaled(self, problem: InverseProblem, factor: Tensor | None = None) -> InverseProblem:
        """Return the problem in trained units, itself if it is in range, and warn where no units bring it there.

        Args:
            problem: The problem.
            factor: The factor, (B,) or (1,). None: it is estimated.

        Raises:
            MetaoptError: As for :meth:`enter`.
        """
        if factor is None:
            with torch.no_grad():
                start = problem.start()
                if not _is_known(start):
                    return problem
                self._check(problem, start)
                factors = self._factors(problem, start)
            if all(c == 1 for c in factors) or not isinstance(problem.likelihood, Gaussian):
                return problem
            factor = torch.tensor(factors, dtype=start.real.dtype, device=start.device)
        changes: dict[str, Any] = {name: _times(getattr(problem, name), factor) for name in ("y", "guess", "moment")}
        changes |= {name: _leveled(getattr(problem, name), factor) for name in ("noise", "level")}
        return tree.replace(problem, {**changes, "scale": factor})

    def fixed(self, problem: InverseProblem) -> InverseProblem:
        """Return the problem in trained units with a ``scale``, so that those of its parts are not estimated again.

        Args:
            problem: The whole problem.

        Raises:
            MetaoptError: As for :meth:`enter`.
        """
        scaled = self.scaled(problem)
        one = torch.ones(1, dtype=problem.y.real.dtype, device=problem.y.device)
        return tree.replace(scaled, {"scale": one}) if scaled.scale is None else scaled

    def _factors(self, problem: InverseProblem, start: Tensor) -> list[float]:
        """Return the factor of each sample, 1 where it is in range, and warn once of each kind that is not."""
        (estimate, gains), levels, found = _estimated(problem, start), _levels(problem, len(start)), set()
        overshoot = FIT[1] if self.is_complex or problem.operator.is_diagonal else 1.5  # elsewhere A^H y resembles x
        factors = []
        for sample, gain, level in zip(estimate, gains, levels, strict=True):
            spread = level * math.sqrt(gain)  # the noise in an estimate of x
            high = _quantile(sample.abs(), 0.999)
            peak = max(high - 2 * spread, high / 2)
            most = (overshoot if gain == 1 else 1.5) * self.intensity[1] + 2 * spread
            factors.append(self._factor(peak, level, peak <= most, found))
            if not 0.25 <= gain <= 4:
                norm = f"not of about {1 / math.sqrt(gain):.3g}; give the network problem.normalized()"
                found.add(f"with operators whose norm is 1, {norm}")
            least = 0.0 if sample.is_complex() or not problem.operator.is_diagonal else _quantile(sample, 0.001)
            if least < -(4 * level + 0.05 * peak):
                found.add(f"for {self.units}, not for negative ones such as {least:.4g}; add a constant to y")
        for what in sorted(found):
            warn_user(f"The weights {self.name} were trained {what}; look at the result twice.")
        return factors

    def _factor(self, peak: float, level: float, fits: bool, found: set[str]) -> float:
        """Return the factor of a sample; ``fits`` says that it is not too bright."""
        (dark, bright), (low, high) = self.intensity, self.noise
        usual = low <= level * SLACK and level <= high * SLACK
        inside = usual and fits and peak >= dark
        wanted = 1.0 if inside or not 0 < peak < math.inf else _unit(peak / bright)
        if wanted * level < low and low / level * peak <= FIT[1] * bright:
            wanted = low / level
        factor = wanted if inside else min(wanted, high / level)
        if factor * level * SLACK < low or (not usual and wanted * level > high * SLACK):
            grey = 255 if self.units == PIXELS else 1
            unit = " grey levels" if self.units == PIXELS else f" where intensities reach {bright:g}"
            found.add(f"for noise of {grey * low:g} to {grey * high:g}{unit}, not {grey * wanted * level:.4g}")
        return factor

    def _check(self, problem: InverseProblem, start: Tensor) -> None:
        if start.is_complex() != self.is_complex:
            kinds = ("real", "complex") if self.is_complex else ("complex", "real")
            raise MetaoptError(
                f"The weights {self.name} are for {kinds[1]} x, but this problem gives {kinds[0]} "
                f"{tree.describe(start)}; use other weights, or an operator and a y that are {kinds[1]}."
            )
        if problem.noise is None and isinstance(problem.likelihood, Gaussian):
            raise MetaoptError(
                f"The weights {self.name} need the noise level of y; give InverseProblem(operator, y, noise=...)."
            )

    def _check_problem(self, problem: Any) -> None:
        if not hasattr(problem, "start") or not hasattr(problem, "gradient"):
            what = tree.describe(problem) if isinstance(problem, Tensor) else type(problem).__name__
            raise MetaoptError(
                f"The weights {self.name} are for a problem, InverseProblem(operator, y, noise), but were given {what}."
            )


def _unit(peak: float) -> float:
    """Return the factor that brings a peak, relative to the brightest that was trained, to about 1."""
    decade = 10.0 ** math.ceil(math.log10(peak / FIT[1]))
    fitting = [1 / unit for unit in (*UNITS, decade) if FIT[0] <= peak / unit <= FIT[1]]
    return max(fitting, default=FILL / peak)


def _estimated(problem: InverseProblem, start: Tensor) -> tuple[Tensor, list[float]]:
    """Return a first estimate of the size of x, and for each sample the factor that A^H needs for it.

    It is the step of steepest descent from 0, or from the guess: ``|A^H y|^2 / |A A^H y|^2``, which is 1 for masks and
    unitary transforms.
    """
    moved = start if problem.guess is None else start - problem.guess
    pair = problem.operator(moved), moved
    forward, adjoint = (t.abs().double().square().unsqueeze(-1).flatten(1).sum(1) for t in pair)
    if len(forward) != len(start):
        return start, [1.0] * len(start)
    ratios = torch.where(forward > 0, adjoint / forward, 1.0)
    ratios = torch.where((ratios - 1).abs() < 1e-3, 1.0, ratios)
    return start + moved * per_sample(ratios.to(start.real.dtype) - 1, moved), ratios.tolist()


def _levels(problem: InverseProblem, count: int) -> list[float]:
    """Return the noise level of each sample, the median where it differs within one."""
    level = problem.noise if problem.level is None else problem.level
    if level is None:
        return [1.0] * count
    return torch.atleast_1d(level.detach()).unsqueeze(-1).flatten(1).median(1).values.expand(count).tolist()


def _quantile(values: Tensor, share: float) -> float:
    return float(values.flatten().float().kthvalue(max(1, math.ceil(share * values.numel()))).values)


def _is_known(tensor: Tensor) -> bool:
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # type: ignore[attr-defined]
    return autodiff.values_known() and not wrapped and tensor.device.type != "meta" and tensor.numel() > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _times(value: Any, factor: Tensor) -> Any:
    """Multiply a tensor (B, ...) by (B,), or the field x of a state; what is neither stays."""
    if isinstance(value, Tensor):
        return value * per_sample(factor, value)
    x = getattr(value, "x", None)
    return value._replace(x=_times(x, factor)) if isinstance(x, Tensor) else value


def _leveled(level: Tensor | None, factor: Tensor) -> Tensor | None:
    return None if level is None else level * (factor if level.ndim < 2 else per_sample(factor, level))
