"""Compute the pictures of a problem by the methods that the command knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ...arguments.checks import check_count, check_number
from ...core import MetaoptError, MetaoptWarning
from ...models import load
from ...problems import InverseProblem
from ...weights import check_task
from .classical import cg_sense, l1_wavelet, total_variation

METHODS = ("rim", "cs", "tv", "cg", "zero")
CLASSICAL: Mapping[str, tuple[Callable[..., Tensor], float, int]] = MappingProxyType(
    # by name: the function, its weight times the noise where pictures reach 1, and the most steps
    {"cs": (l1_wavelet, 0.25, 60), "tv": (total_variation, 0.15, 150), "cg": (cg_sense, 1.2, 60)}
)


@dataclass(frozen=True)
class Settings:
    """Say how pictures are computed.

    Args:
        method: "rim", a trained network; "cs", sparse wavelets; "tv", small total variation; "cg", least squares; or
            "zero", zeros where nothing was measured.
        network: Of "rim", a shipped network or a file of weights.
        steps: The number of steps of the network, or the most of a classical method. None: the usual.
        weight: Of a classical method, the weight as of :func:`l1_wavelet`, :func:`total_variation` and
            :func:`cg_sense`, for pictures that reach 1; a larger one gives smoother pictures. None:
            0.25 (cs), 0.15 (tv) or 1.2 (cg) over the noise, tuned on heads at 4x, noise of 0.005 to 0.05.

    Raises:
        MetaoptError: There is no such method, or a setting is not of it.
    """

    method: str = "rim"
    network: str = "mri"
    steps: int | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MetaoptError(f"There is no method {self.method!r:.80}; choose among {', '.join(METHODS)}.")
        if self.steps is not None:
            check_count("The number of steps", self.steps)
            if self.method == "zero":
                raise MetaoptError("The method zero takes no steps; leave --steps out, or choose another method.")
        if self.weight is not None:
            check_number("The weight", self.weight, 0)
            if self.method not in CLASSICAL:
                raise MetaoptError(f"The method {self.method} has no weight; cs, tv and cg have one.")

    @property
    def most_steps(self) -> int | None:
        """The most steps of a classical method, those that were asked for of the network, or None: as trained."""
        return CLASSICAL[self.method][2] if self.steps is None and self.method in CLASSICAL else self.steps


class Method:
    """Compute pictures; a network is loaded once.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.warned: dict[str, None] = {}
        self.net: Any = None
        if settings.method == "rim":
            check_task(settings.network, "reconstruct MRI")
            self.net = load(settings.network)
            self.net.requires_grad_(False)

    @property
    def steps(self) -> int:
        """The number of steps, or the most of them."""
        if self.settings.method == "zero":
            return 0
        steps = self.settings.most_steps
        return self.net.steps if steps is None else steps

    def pictures(self, problem: InverseProblem, every: bool = False) -> list[Tensor]:
        """Return pictures (B, S, H, W): the last alone, or those of every step from ``problem.start()`` on.

        Args:
            problem: The problem.
            every: Whether those of every step are returned.
        """
        if self.settings.method == "zero":
            return [problem.start()]
        if self.net is not None:
            outputs = self._learned(problem)
            return [problem.start(), *outputs] if every else outputs[-1:]
        function, given = CLASSICAL[self.settings.method][0], self.settings.weight
        if given is None:
            given = usual_weight(self.settings.method, float(torch.as_tensor(problem.noise).amin()))
        kept: list[Tensor] = []
        callback = (lambda k, state, residual: kept.append(state.x)) if every else None
        x = function(problem, given, max_steps=self.steps, callback=callback)
        return [problem.start(), *kept] if every else [x]

    def _learned(self, problem: InverseProblem) -> list[Tensor]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outputs = self.net(problem, steps=self.settings.steps).outputs
        for warning in caught:
            if issubclass(warning.category, MetaoptWarning):
                self.warned.setdefault(str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return outputs


def usual_weight(method: str, noise: float) -> float:
    """Return the weight of a classical method that is taken where none is given: 0.25, 0.15 or 1.2 over the noise.

    The energy is ``|A x - y|^2 / (2 noise^2) + weight R(x)``. With 0.25 (cs) and 0.15 (tv) the picture does not depend
    on its units. The numbers are those of least regret on four heads of IXI that belong to no test (a slice of 2 mm of
    each), 4 times undersampled by :func:`~metaopt.operators.gaussian_mask` with a full centre, with one coil and with
    eight, noise of 0.005, 0.02 and 0.05. The best of each case are between 0.025 and 0.75 (cs), 0.05 and 0.25 (tv), 0.2
    and 2 (cg, eight coils); the numbers lose up to 0.6 dB to them at noise of 0.005 and 0.02, up to 1.2 dB at 0.05.

    Args:
        method: "cs", "tv" or "cg".
        noise: The standard deviation of a real component of k-space, where pictures reach 1.
    """
    return CLASSICAL[method][1] / noise
