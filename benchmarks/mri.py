"""Reconstructs simulated k-space of people whom no training saw, by networks and by the classical ways.

A case is a slice with a random smooth phase, random coil maps, a mask and noise, all drawn by the case's number. Every
method gets the same problems, with the true maps and noise level. The weight and the step of each classical row are the
best on slices of four validation heads, the weight from a grid whose best point is inside. Reported are means over the
slices of four test people, and the standard deviation over people. Peak: the target's maximum; pictures are magnitudes.
BART scales its pictures by itself and has one step, so its rows are compared after the best scale.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.tuning import best_weight
from metaopt.core import random
from metaopt.data import read_slices
from metaopt.metrics import psnr, ssim
from metaopt.models import load
from metaopt.operators import Fourier, Sense, cartesian_mask, gaussian_mask
from metaopt.tasks import coil_maps, smooth_phase

from .real_brain import FILE, OURS, Pictures
from .real_brain import learned as by_network
from .real_brain import measured as on_real_brain
from .real_brain import scan as real_scan
from .report import need, parse_options, table
from .rows import Row, Rows, weights_of
from .solvers import mri as rivals

HEADS = "mri/ixi_t1_2mm"
VALIDATION, TEST = range(26, 30), range(30, 34)
EVERY, SPARSE = 15, 45  # slices between those of test people, and of validation heads
RATIO = 2.0  # of neighbouring weights
NETWORK = "mri"


class Setting(NamedTuple):
    """How k-space is simulated."""

    acceleration: float = 4
    noise: float = 0.02
    coils: int = 1
    columns: bool = False
    share: float = 1.0  # of each axis of k-space that the picture is made of: below 1 its pixels are larger

    def __str__(self) -> str:
        mask = "columns" if self.columns else "2-D Gaussian"
        size = "" if self.share == 1 else f", pixels of {2 / self.share:.2g} mm"
        return f"{self.acceleration:g}x {mask}, noise {self.noise:g}, {self.coils} coil{'s'[: self.coils > 1]}{size}"


class Simulated(NamedTuple):
    """A problem, its maps (S, C, H, W) and its target (1, 1, H, W)."""

    problem: mo.InverseProblem
    maps: Tensor
    target: Tensor


MAIN = [Setting(a) for a in (2, 3, 4, 6)]
LOW_NOISE, COILS = Setting(noise=0.005), Setting(coils=8)
SETTINGS = [
    *MAIN,
    LOW_NOISE,
    COILS,
    *(Setting(noise=noise) for noise in (0.002, 0.05)),
    *(Setting(a, coils=8) for a in (6,)),
    *(Setting(coils=coils, columns=True) for coils in (1, 8)),
    Setting(share=2 / 3),
]


@functools.cache
def slices(person: int, every: int = EVERY) -> list[Tensor]:
    """The axial slices of a head, (1, 1, 120, 120) in [0, 1]."""
    found = read_slices(HEADS, first=person, last=person + 1, every=every)
    return [picture[None].float() / 255 for picture in found if picture.shape[-2:] == (120, 120)]


def simulate(magnitude: Tensor, setting: Setting, seed: int) -> Simulated:
    """The problem of a slice; ``seed`` draws phase, maps, mask and noise."""
    generator = random.generator(1609, seed)
    if setting.share < 1:
        magnitude = _coarse(magnitude, setting.share)
    shape = tuple(magnitude.shape[-2:])
    target = magnitude * smooth_phase(shape, generator)
    maps = coil_maps(shape, setting.coils, generator)[None] if setting.coils > 1 else torch.ones(1, 1, *shape) + 0j
    if setting.columns:
        mask = cartesian_mask(shape, setting.acceleration, 0.08, seed)
    else:
        mask = gaussian_mask(shape, setting.acceleration, 0.02, seed)
    fourier = Fourier(torch.fft.fftshift(mask), centred=True)
    operator = fourier @ Sense(maps) if setting.coils > 1 else fourier
    y = fourier(Sense(maps)(target) + setting.noise * _complex_noise((1, setting.coils, *shape), generator))
    return Simulated(mo.InverseProblem(operator, y, setting.noise), maps, target)


def _coarse(magnitude: Tensor, share: float) -> Tensor:
    """The picture of the middle of k-space alone, with fewer and larger pixels."""
    sizes = [round(n * share) for n in magnitude.shape[-2:]]
    kspace = Fourier(centred=True)(magnitude + 0j)
    starts = [(n - m) // 2 for n, m in zip(magnitude.shape[-2:], sizes, strict=True)]
    kept = kspace[..., starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]
    return (Fourier(centred=True).adjoint(kept).abs() * share).clamp(0, 1)


def _complex_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.complex(*(torch.randn(shape, generator=generator) for _ in range(2)))


def cases(setting: Setting, people: Sequence[int], every: int = EVERY) -> Iterator[tuple[int, Simulated]]:
    """(person, problem) of every slice."""
    for person in people:
        for i, magnitude in enumerate(slices(person, every)):
            yield person, simulate(magnitude, setting, 1000 * person + i)


class Scores(NamedTuple):
    """Of one picture."""

    psnr: float
    ssim: float
    nmse: float


def scores(picture: Tensor, target: Tensor, scaled: bool = False) -> Scores:
    """PSNR in dB, SSIM and NMSE of magnitudes, after the best scale where ``scaled``."""
    found, wanted = picture.abs(), target.abs()
    if scaled:
        found = found * ((found * wanted).sum() / found.square().sum())
    peak = float(wanted.max())
    nmse = float((found - wanted).square().sum() / wanted.square().sum())
    return Scores(float(psnr(found, wanted, peak)), float(ssim(found, wanted, peak)), nmse)


Run = Callable[[Simulated], Pictures]


@torch.inference_mode()
def quality(run: Run, given: Sequence[tuple[int, Simulated]], step: int | None = None, scaled: bool = False) -> Row:
    """Means over pictures at ``step`` (from 1; None: the last), with the spread over people and PSNR at every step."""
    by_person: dict[int, list[Scores]] = {}
    curves, seconds = [], 0.0
    for person, case in given:
        begin = time.perf_counter()
        pictures = run(case)
        seconds += time.perf_counter() - begin
        curves.append([scores(picture, case.target, scaled).psnr for picture in pictures])
        at = pictures[-1 if step is None else min(step, len(pictures)) - 1]
        by_person.setdefault(person, []).append(scores(at, case.target, scaled))
    people = [statistics.mean(s.psnr for s in found) for found in by_person.values()]
    everyone = [s for found in by_person.values() for s in found]
    return {
        "psnr": statistics.mean(people),
        "spread": statistics.stdev(people) if len(people) > 1 else 0.0,
        "ssim": statistics.mean(s.ssim for s in everyone),
        "nmse": statistics.mean(s.nmse for s in everyone),
        "steps": [statistics.mean(step) for step in zip(*curves, strict=True)],
        "seconds": seconds / len(curves),
    }


def classical(method: Callable[[float], Run], start: float, setting: Setting, every: int, scaled: bool) -> Row:
    """The row of the weight and the step that are best on validation heads."""
    rows: dict[float, Row] = {}
    chosen = list(cases(setting, VALIDATION, SPARSE))

    def score(weight: float) -> float:
        rows[weight] = quality(method(weight), chosen, scaled=scaled)
        return max(rows[weight]["steps"])

    weight = best_weight(score, start, RATIO)[0]
    curve = rows[weight]["steps"]
    step = curve.index(max(curve)) + 1
    return {**quality(method(weight), list(cases(setting, TEST, every)), step, scaled), "weight": weight, "step": step}


def methods(setting: Setting, quick: bool) -> Mapping[str, Callable[[int], Row]]:
    """What each row of a setting computes, of the distance between slices."""
    found: dict[str, Callable[[int], Row]] = {
        "zero-filled": lambda every: quality(lambda case: [case.problem.start()], list(cases(setting, TEST, every)))
    }
    for name, (method, start) in OURS.items():
        ours = lambda weight, method=method: lambda case: method(weight)(case.problem)  # noqa: E731
        found[name] = lambda every, ours=ours, start=start: classical(ours, start, setting, every, False)
    missing = {"BART": rivals.bart_is_missing(), "sigpy": rivals.sigpy_is_missing()}
    for name, (solve, start) in {} if quick else {**rivals.BART, **rivals.SIGPY}.items():
        if reason := missing[name.split()[0]]:
            print(f"{setting} {name}: skipped, since {reason}", flush=True)
            continue
        one = lambda weight, solve=solve: lambda case: [solve(case.problem.y, case.maps, weight)]  # noqa: E731
        found[name] = lambda every, one=one, start=start: classical(one, start, setting, every, True)
    net = load(NETWORK)
    run: Run = lambda case: net(case.problem).outputs  # noqa: E731
    found["RIM"] = lambda every: quality(run, list(cases(setting, TEST, every)))
    return found


def rows_of(setting: Setting, saved: Rows, quick: bool) -> list[Row]:
    rows = []
    every = SPARSE if quick else EVERY
    for name, compute in methods(setting, quick).items():
        reads = [HEADS, *([weights_of(NETWORK)] if name == "RIM" else [])]
        row = saved.row(f"{setting}: {name}", functools.partial(compute, every), reads)
        rows.append({"setting": str(setting), "method": name, **row})
        print(f"{setting} {name}: {row['psnr']:.2f} dB", flush=True)
    return rows


def headline(rows: Sequence[Row]) -> dict[str, float]:
    """The figures that the README and other pages take."""

    def best(setting: Setting) -> float:
        return max(r["psnr"] for r in rows if r["setting"] == str(setting) and r["method"] != "RIM")

    def of(setting: Setting, method: str) -> float:
        return next(r["psnr"] for r in rows if r["setting"] == str(setting) and r["method"] == method)

    four, six = Setting(4), Setting(6)
    found = {
        "zero_filled_4x": of(four, "zero-filled"),
        "classical_4x": best(four),
        "rim_4x": of(four, "RIM"),
        "classical_6x": best(six),
        "rim_6x": of(six, "RIM"),
        "low_noise_gain_4x": of(LOW_NOISE, "RIM") - best(LOW_NOISE),
        "coils8_gain_4x": of(COILS, "RIM") - best(COILS),
    }
    return {name: round(value, 2) for name, value in found.items() if math.isfinite(value)}


def main() -> None:
    options = parse_options(__doc__)
    need(options, [HEADS, FILE], ["nibabel", "scipy"])
    settings = [Setting(4)] if options.quick else SETTINGS
    saved = Rows("mri", {"every": EVERY, "ratio": RATIO, "settings": [str(s) for s in settings]}, options)
    rows = [row for setting in settings for row in rows_of(setting, saved, options.quick)]
    net = load(NETWORK)
    row = saved.row("real brain R = 4: RIM", lambda: on_real_brain(real_scan(4), by_network(net)), [FILE])
    rows.append({"setting": "real brain, R = 4", "method": "RIM", **row})
    print("\n" + table(rows, ["setting", "method", "psnr", "spread", "ssim", "nmse", "weight", "step", "seconds"]))
    figures = {} if options.quick else headline(rows)
    saved.write({**figures, "real8_r4": round(row["psnr"], 2)}, rows, [1609])


if __name__ == "__main__":
    main()
