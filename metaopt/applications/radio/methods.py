"""Make the picture of gridded visibilities by the methods that the command knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...algorithms import Clean, Fista, step_size_for
from ...arguments.checks import check_count, check_number
from ...core import MetaoptError, solve, tree
from ...core.run import Settled
from ...models import load
from ...priors import NonNegative, TotalVariation
from ...problems import InverseProblem
from ...weights import check_task
from ...weights.cards import shipped
from .gridding import Gridded, PointSpread

METHODS = ("rim", "clean", "tv", "nnls", "dirty")
WEIGHTINGS = ("natural", "uniform", "briggs")
NETWORK = "radio"
STEPS: Mapping[str, int] = MappingProxyType({"clean": 600, "tv": 500, "nnls": 500})  # at most
TV = 0.3  # the usual weight of total variation, in units of the square root of the sum of the weights
STOP = 3.0  # standard deviations of the noise, at which CLEAN stops
SCALES = (0.0, 3.0, 9.0, 27.0)  # pixels; of those a picture takes the ones below a quarter of its side
GAIN, SHARE, BIAS = 0.5, 0.7, 0.7  # of CLEAN: the bias is that of a scale against the one before


@dataclass(frozen=True)
class Imaging:
    """Say how pictures are computed.

    Args:
        method: "rim", a trained network; "clean", multi-scale CLEAN; "tv", no negative brightness and small total
            variation; "nnls", no negative brightness alone; or "dirty", the dirty picture.
        weighting: Of "dirty" and "clean": "natural", "uniform" or "briggs". The others weigh by the noise alone.
        robust: Of "briggs", from 2 (natural) to -2 (uniform).
        network: Of "rim": a shipped network or a file of weights.
        steps: The number of steps of the network, or the most of another method. None: the usual.
        weight: Of "tv", the weight in units of the square root of the sum of the weights, 1 / Jy. None: 0.3.

    Raises:
        MetaoptError: There is no such method or weighting, or a setting is not of it.
    """

    method: str = "clean"
    weighting: str = "natural"
    robust: float = 0.0
    network: str = NETWORK
    steps: int | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MetaoptError(f"There is no method {self.method!r:.80}; choose among {', '.join(METHODS)}.")
        if self.weighting not in WEIGHTINGS:
            raise MetaoptError(f"There is no weighting {self.weighting!r:.80}; choose among {', '.join(WEIGHTINGS)}.")
        if self.weighting != "natural" and self.method not in ("dirty", "clean"):
            raise MetaoptError(
                f"The method {self.method} weighs visibilities by their noise, natural weighting; {self.weighting} is "
                "for the methods dirty and clean."
            )
        check_number("The robustness", self.robust, -100, 100)
        if self.steps is not None:
            check_count("The number of steps", self.steps)
            if self.method == "dirty":
                raise MetaoptError("The method dirty takes no steps; leave --steps out, or choose another method.")
        if self.weight is not None:
            check_number("The weight", self.weight, 0)
            if self.method != "tv":
                raise MetaoptError(f"The method {self.method} has no weight; tv has one.")


class Made(NamedTuple):
    """A picture of one sky: the model x in Jy/pixel, None for the dirty picture, and the residual A^H W (y - A x)."""

    model: Tensor | None
    residual: Tensor


def load_network(settings: Imaging) -> Any:
    """Return the network of "rim", ready for use, and None for other methods.

    Args:
        settings: The settings.

    Raises:
        MetaoptError: It is not shipped with this version, or is for something else.
    """
    if settings.method != "rim":
        return None
    if settings.network == NETWORK and NETWORK not in shipped():
        raise MetaoptError(
            "The method rim needs the trained network radio, which does not come with this version of metaopt; choose "
            "the method clean or tv, or name a file of weights by --weights."
        )
    check_task(settings.network, "image visibilities")
    return load(settings.network).requires_grad_(False)


@torch.no_grad()
def make(gridded: Gridded, settings: Imaging, net: Any = None) -> Made:
    """Make a picture.

    Args:
        gridded: The visibilities.
        settings: The method and its settings.
        net: Of "rim", what :func:`load_network` gave.

    Returns:
        The picture, float32.

    Raises:
        MetaoptError: It is not finite.
    """
    problem = _single(gridded.problem)
    if settings.method == "dirty":
        return Made(None, problem.start())
    if settings.method == "rim":
        x = net(problem, steps=settings.steps).final
    elif settings.method == "clean":
        x = _clean(gridded, problem, settings.steps or STEPS["clean"])
    else:
        x = _minimised(gridded, problem, settings)
    if not bool(x.isfinite().all()):
        raise MetaoptError(
            f"The picture by {settings.method} is not finite; look at the weights of the set, or choose another method."
        )
    return Made(x, -problem.gradient(x))


def _single(problem: InverseProblem) -> InverseProblem:
    """Return the problem in float32; baselines in memory stay as they are, since their last digits count."""
    return tree.to(problem, torch.float32) if isinstance(problem.operator, PointSpread) else problem


def _clean(gridded: Gridded, problem: InverseProblem, steps: int) -> Tensor:
    side = min(problem.start().shape[-2:])
    scales = tuple(scale for scale in SCALES if scale < side / 4)
    bias = torch.tensor([BIAS**i for i in range(len(scales))])
    threshold = STOP * gridded.level / gridded.weight**0.5  # CLEAN counts in the noise of natural weights
    algorithm = Clean(GAIN, SHARE, threshold, scales, bias)

    def done(_: Any, before: Any, after: Any) -> bool:
        return torch.equal(before.x, after.x)

    return solve(algorithm, problem, steps, done).final


def _minimised(gridded: Gridded, problem: InverseProblem, settings: Imaging) -> Tensor:
    prior = None
    if settings.method == "tv":
        weight = TV if settings.weight is None else settings.weight
        prior = TotalVariation(weight * gridded.weight**0.5, inner=10, isotropic=False)
    algorithm = Fista(NonNegative(prior), _step_size(problem))
    zero = torch.zeros_like(problem.start())
    state = algorithm.init(problem)._replace(x=zero, ahead=zero)
    most = settings.steps or STEPS[settings.method]
    return solve(algorithm, problem, most, Settled(relative=1e-4, absolute=0.0), state=state).final


def _step_size(problem: InverseProblem) -> float | Tensor:
    """Return 1/L; of a convolution the largest value of its transfer function bounds L."""
    operator: Any = problem.operator
    if isinstance(operator, PointSpread):
        return 1 / float(operator.spectrum.abs().max() * operator.gain.square().max())
    return step_size_for(problem, iterations=20)
