"""What a page or a figure shows of one inverse problem: the iterates of an algorithm, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..core.errors import MetaoptError
from . import pictures


@dataclass(frozen=True)
class Iterates:
    """The estimates of an iterative algorithm after every step; number 0 of a sequence is before the first step.

    Args:
        estimates: (H, W) or (3, H, W) in [0, 1] each, real.
        psnr: In dB, one for every estimate.
        trained_steps: How many steps it was trained for; the page opens there.
        method: The algorithm's name.
    """

    estimates: Sequence[Tensor]
    psnr: Sequence[float]
    trained_steps: int
    method: str = "RIM"


@dataclass(frozen=True)
class Baseline:
    """What another algorithm makes of the same measurement.

    Args:
        name: The algorithm's name.
        picture: Its estimate, of the target's shape.
        psnr: In dB, drawn as a level line.
        path: Its PSNR after each step, before the first one first, drawn as far as the iterates go. May be empty.
    """

    name: str
    picture: Tensor
    psnr: float
    path: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table: how good a method is after so many steps, and how many seconds each of them takes."""

    method: str
    psnr: float
    ssim: float
    steps: int
    seconds_per_step: float


@dataclass(frozen=True)
class Section:
    """An inverse problem and what came of it.

    Args:
        title: Its name.
        text: What is shown: data, operator, noise; plain sentences.
        target: (H, W) or (3, H, W) in [0, 1], real.
        iterates: The estimates that the slider goes through.
        baselines: The algorithms to compare with.
        rows: The table.
        given: The measurement, to look at: pictures (the noisy picture, the mask of k-space, A^T y) by their names.
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
