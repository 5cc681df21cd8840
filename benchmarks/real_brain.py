"""A measured brain of 8 coils at accelerations 2, 3 and 4, and its reconstructions; nothing is simulated.

The data are the 168 measured phase encodes of a slice of 320 x 168 points, whose field of view is smaller than the
head. Kept are every R-th line and the 24 in the middle; from these 24 come two sets of ESPIRiT maps (BART's where it is
installed, else the library's). The reference is the soft-SENSE picture of all lines with the same maps (BART's ``pics
-l2 -r 0.0001``, else ``cg_sense``). Compared are roots of the sum of squares over the sets, after the best scale; the
peak is the reference's maximum. Each classical row has the weight that is best on this very slice, and ours stop at
their own best step.
A network is told the noise of the border of k-space and runs for as many steps as it was made for; a second row of it,
as each classical row, is told what is best on this very slice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import step_size_for
from metaopt.applications.mri import border_noise, cg_sense, espirit, root_sum_of_squares
from metaopt.applications.tuning import best_weight
from metaopt.core import Unrolled
from metaopt.data import data_path
from metaopt.models import load
from metaopt.operators import Fourier, Sense
from metaopt.priors import HAAR, CycleSpinning, TotalVariation, Wavelet

from .rows import Row, Rows
from .solvers import mri as rivals

FILE = "mri/real_8coil_full/brain_alias_8ch.mat"
MEASURED = slice(44, 212)  # phase encodes
CENTRE = 24  # lines that are always kept, and from which the maps come
ACCELERATIONS = (2, 3, 4)
RATIO = 2**0.5  # of neighbouring weights

Pictures = Sequence[Tensor]  # (1, S, H, W) after every step, or one alone
Method = Callable[[mo.InverseProblem], Pictures]


class Scan(NamedTuple):
    """A measurement with what it is compared to; the picture's maximum is about 1."""

    problem: mo.InverseProblem
    maps: Tensor
    reference: Tensor

    @property
    def kspace(self) -> Tensor:
        return self.problem.y


@functools.cache
def kspace() -> Tensor:
    """All measured lines, (1, 8, 320, 168), centred."""
    from scipy.io import loadmat

    stored = loadmat(data_path(FILE))["DATA"][:, MEASURED]
    return torch.from_numpy(np.moveaxis(stored, -1, 0)[None].astype(np.complex64))


@functools.cache
def maps_and_reference() -> tuple[Tensor, Tensor]:
    """Two sets of maps (2, 8, 320, 168) from the middle lines, and the picture (1, 2, 320, 168) of all lines."""
    y = kspace()
    middle = mask(y.shape[-1] + 1)
    if rivals.bart_is_missing():
        maps = espirit(y * middle, calibration=CENTRE, sets=2, centred=True).maps[0]
        problem = mo.InverseProblem(Fourier(centred=True) @ Sense(maps), y)
        return maps, cg_sense(problem, 1e-4, until=mo.Settled(relative=1e-5))
    maps = rivals.bart_maps(y * middle, CENTRE, sets=2)
    return maps, rivals.bart_pics(y, maps, "-l2 -r 0.0001")


def mask(acceleration: int) -> Tensor:
    """Which of the 168 lines are kept, as zeros and ones; with an acceleration above 168 only the middle."""
    lines = torch.arange(kspace().shape[-1])
    middle = (2 * lines + 1 - len(lines)).abs() < CENTRE
    every = lines % acceleration == 0 if acceleration <= len(lines) else torch.zeros_like(middle)
    return (every | middle).float()


def scan(acceleration: int) -> Scan:
    """The problem of one acceleration, with the noise level from the border of k-space."""
    maps, reference = maps_and_reference()
    kept = mask(acceleration)
    operator = Fourier(kept, centred=True) @ Sense(maps)
    y = kept * kspace()
    scale = float(operator.adjoint(y).abs().max())
    covariance = border_noise(kspace(), centred=True)
    level = float((covariance.diagonal().real.mean() / 2).sqrt())
    return Scan(mo.InverseProblem(operator, y / scale, level / scale), maps, reference)


def quality(picture: Tensor, reference: Tensor) -> float:
    """PSNR in dB of the root sum of squares over sets, after the best scale; the peak is the reference's maximum."""
    found, target = (root_sum_of_squares(x).double() for x in (picture, reference))
    scale = (found * target).sum() / found.square().sum()
    return float(10 * torch.log10(target.max() ** 2 / (scale * found - target).square().mean()))


@torch.inference_mode()
def measured(given: Scan, method: Method) -> Row:
    """Quality at the best step and at the last."""
    found = [quality(picture, given.reference) for picture in method(given.problem)]
    best = max(range(len(found)), key=found.__getitem__)
    return {"psnr": found[best], "step": best + 1, "last": found[-1]}


def tuned(given: Scan, method: Callable[[float], Method], start: float) -> Row:
    """The row of the best weight, which has a worse one on each side."""
    rows: dict[float, Row] = {}

    def score(weight: float) -> float:
        rows[weight] = {**measured(given, method(weight)), "weight": weight}
        return rows[weight]["psnr"]

    return rows[best_weight(score, start, RATIO)[0]]


def learned(net: Unrolled[Any, Any, Any], steps: int | None = None) -> Method:
    """The pictures of a network after every step."""
    return lambda problem: net(problem, steps=steps).outputs


def unrolled(build: Callable[[mo.InverseProblem, float], mo.Algorithm[Any, Any, Tensor]], steps: int) -> Any:
    """A function from a weight, in units of the picture, to a method that keeps every step."""

    def of(weight: float) -> Method:
        def run(problem: mo.InverseProblem) -> Pictures:
            precision = 1 / float(problem.noise.square())  # the energy is in units of noise^2
            return mo.unroll(build(problem, weight * precision), steps)(problem).outputs

        return run

    return of


def _wavelet(problem: mo.InverseProblem, weight: float) -> mo.Algorithm[Any, Any, Tensor]:
    return mo.Fista(CycleSpinning(Wavelet(weight, taps=HAAR)), step_size_for(problem, iterations=20))


def _total_variation(problem: mo.InverseProblem, weight: float) -> mo.Algorithm[Any, Any, Tensor]:
    prior = TotalVariation(weight, isotropic=False, periodic=True)
    return mo.PrimalDual(prior, step_size_for(problem, iterations=20))


OURS: Mapping[str, tuple[Any, float]] = {
    "L1-wavelet": (unrolled(_wavelet, 60), 2e-3),
    "TV": (unrolled(_total_variation, 120), 7e-4),
    "CG-SENSE": (unrolled(lambda problem, weight: mo.ConjugateGradient(weight), 40), 1e-2),
}


def rows_of(acceleration: int, saved: Rows, networks: Mapping[str, Path], quick: bool) -> list[dict[str, Any]]:
    """Zero-filled, our rows, other people's and those of networks (by name, their weights) at one acceleration."""
    given = scan(acceleration)
    methods: dict[str, tuple[Callable[[], Row], list[Path]]] = {
        "zero-filled": (lambda: measured(given, lambda p: [p.start()]), [])
    }
    for name, (method, start) in OURS.items():
        methods[name] = (functools.partial(tuned, given, method, start), [])
    missing = {"BART": rivals.bart_is_missing(), "sigpy": rivals.sigpy_is_missing()}
    for name, (solve, start) in {} if quick else {**rivals.BART, **rivals.SIGPY}.items():
        if reason := missing[name.split()[0]]:
            print(f"R = {acceleration} {name}: skipped, since {reason}", flush=True)
            continue
        one = lambda weight, solve=solve: lambda problem: [solve(given.kspace, given.maps, weight)]  # noqa: E731
        methods[name] = (functools.partial(tuned, given, one, start), [])
    for name, weights in networks.items():
        net = load(weights)
        told = lambda factor, net=net: lambda problem: learned(net)(_told(problem, factor))  # noqa: E731
        methods[name] = (functools.partial(at_its_end, given, learned(net)), [weights])
        methods[f"{name}, noise level tuned on the slice"] = (functools.partial(tuned, given, told, 1.0), [weights])
    rows = []
    for name, (compute, weights) in methods.items():
        found = saved.row(f"real brain R = {acceleration}: {name}", compute, [FILE, *weights])
        rows.append({"setting": f"real brain, R = {acceleration}", "method": name, **found})
        print(f"R = {acceleration} {name}: {rows[-1]['psnr']:.2f} dB", flush=True)
    return rows


def at_its_end(given: Scan, method: Method) -> Row:
    """Quality after the last step, which nobody chose."""
    row = measured(given, method)
    return {**row, "psnr": row["last"], "best": row["psnr"]}


def _told(problem: mo.InverseProblem, factor: float) -> mo.InverseProblem:
    return mo.InverseProblem(problem.operator, problem.y, factor * problem.noise)
