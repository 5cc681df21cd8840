"""Define the content of a page or figure for one inverse problem: the iterates of an algorithm, and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..arguments.contracts import checked
from ..core.errors import MetaoptError
from . import pictures


@checked
@dataclass(frozen=True)
class Iterates:
    """Hold the estimates of an iterative algorithm at every step; index 0 is before the first step.

    Args:
        estimates: Each (H, W) or (3, H, W) in [0, 1], real.
        psnr: PSNR in dB, one for every estimate.
        trained_steps: Number of steps of the training. The page opens there.
        method: Name of the algorithm.
    """

    estimates: Sequence[Tensor]
    psnr: Sequence[float]
    trained_steps: int
    method: str = "RIM"


@checked
@dataclass(frozen=True)
class Baseline:
    """Hold the result of another algorithm on the same measurement.

    Args:
        name: Name of the algorithm.
        picture: Its estimate, of the target's shape.
        psnr: PSNR in dB, drawn as a level line.
        path: PSNR before the first step and after each step, drawn as far as the iterates go. It may be empty.
    """

    name: str
    picture: Tensor
    psnr: float
    path: Sequence[float] = ()


@checked
@dataclass(frozen=True)
class Row:
    """Hold one row of the table of results.

    Args:
        method: Name of the algorithm.
        psnr: PSNR in dB after ``steps`` steps.
        ssim: SSIM after ``steps`` steps.
        steps: Number of steps.
        seconds_per_step: Time of a step in seconds.
    """

    method: str
    psnr: float
    ssim: float
    steps: int
    seconds_per_step: float


@checked
@dataclass(frozen=True)
class Section:
    """Hold everything that a page shows of one inverse problem.

    Args:
        title: Its title.
        text: A description of data, operator and noise; paragraphs are separated by blank lines.
        target: (H, W) or (3, H, W) in [0, 1], real.
        iterates: The estimates that the slider goes through.
        baselines: The algorithms to compare with.
        rows: The rows of the table.
        given: Pictures of the measurement by name, such as the noisy picture, the mask of k-space or A^T y.

    Raises:
        MetaoptError: The shapes of the pictures differ, a picture cannot be shown, or the numbers of estimates, PSNRs
            and trained steps do not fit each other.
    """

    title: str
    text: str
    target: Tensor
    iterates: Iterates
    baselines: Sequence[Baseline] = ()
    rows: Sequence[Row] = ()
    given: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        _check_iterates(self.title, self.iterates)
        shape = tuple(self.target.shape)
        shown = {f"estimate {t}": picture for t, picture in enumerate(self.iterates.estimates)}
        for name, picture in {"target": self.target, **shown, **{r.name: r.picture for r in self.baselines}}.items():
            if tuple(picture.shape) != shape:
                raise MetaoptError(f"{self.title}: {name} is {tuple(picture.shape)}, but the target is {shape}.")
            pictures.check(f"{self.title}: {name}", picture)
        for name, picture in self.given.items():
            pictures.check(f"{self.title}: {name}", picture)


def _check_iterates(title: str, iterates: Iterates) -> None:
    if len(iterates.psnr) != len(iterates.estimates) or len(iterates.estimates) < 2:
        raise MetaoptError(
            f"{title}: there must be one PSNR for each estimate and at least two estimates (before and after a "
            f"step), but here are {len(iterates.estimates)} estimates and {len(iterates.psnr)} PSNRs."
        )
    if not 1 <= iterates.trained_steps < len(iterates.estimates):
        steps = len(iterates.estimates) - 1
        raise MetaoptError(
            f"{title}: the iterates are of {steps} steps, so trained_steps cannot be {iterates.trained_steps}."
        )
