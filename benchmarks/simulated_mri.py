"""Simulated k-space of people whom no training saw, and how well a method reconstructs it.

A case is a slice with a random smooth phase, random coil maps, a mask and noise, all drawn by the case's number. Every
method gets the same problems, with the true maps and noise level. The weight and the step of a classical row are the
best on validation slices, the weight from a grid whose best point is inside. Peak: the target's maximum; pictures are
magnitudes. BART scales its pictures by itself, so its rows are compared after the best scale.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.tuning import best_weight
from metaopt.core import random
from metaopt.data import data_path, read_slices
from metaopt.metrics import psnr, ssim
from metaopt.operators import Fourier, Sense, cartesian_mask, gaussian_mask
from metaopt.tasks import coil_maps, smooth_phase

from .rows import Row

HEADS, HEARTS = "mri/ixi_t1_2mm", "mri/cardiac_100"
VALIDATION, TEST = range(26, 30), range(30, 34)  # heads; of hearts, these pictures
EVERY, SPARSE = 30, 45  # slices between those of test people, and of validation heads
RATIO = 2.0  # of neighbouring weights

Pictures = Sequence[Tensor]  # (1, 1, H, W) after every step, or one alone


class Setting(NamedTuple):
    """How k-space is simulated."""

    acceleration: float = 4
    noise: float = 0.02
    coils: int = 1
    columns: bool = False
    share: float = 1.0  # of each axis of k-space that the picture is made of: below 1 its pixels are larger
    hearts: bool = False

    def __str__(self) -> str:
        mask = "columns" if self.columns else "2-D Gaussian"
        size = "" if self.share == 1 else f", pixels of {2 / self.share:.2g} mm"
        what = ", hearts" if self.hearts else size
        return f"{self.acceleration:g}x {mask}, noise {self.noise:g}, {self.coils} coil{'s'[: self.coils > 1]}{what}"


class Simulated(NamedTuple):
    """A problem, its maps (S, C, H, W) and its target (1, 1, H, W)."""

    problem: mo.InverseProblem
    maps: Tensor
    target: Tensor


Run = Callable[[Simulated], Pictures]


@functools.cache
def slices(person: int, every: int) -> list[Tensor]:
    """The axial slices of a head, (1, 1, 120, 120) in [0, 1]."""
    found = read_slices(HEADS, first=person, last=person + 1, every=every)
    return [picture[None].float() / 255 for picture in found if picture.shape[-2:] == (120, 120)]


@functools.cache
def heart(number: int) -> Tensor:
    """A picture of a heart, (1, 1, 256, 256) in [0, 1]; none of them was trained on."""
    import h5py

    with h5py.File(data_path(HEARTS) / f"im-{number:02d}.mat") as file:
        picture = torch.from_numpy(file["im_ori"][()].astype("float32")).T
    return (picture / picture.max()).contiguous()[None, None]


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


def cases(setting: Setting, people: Sequence[int], every: int) -> Iterator[tuple[int, Simulated]]:
    """(person, problem) of every slice."""
    for person in people:
        for i, magnitude in enumerate([heart(person)] if setting.hearts else slices(person, every)):
            yield person, simulate(magnitude, setting, 1000 * person + i)


class Scores(NamedTuple):
    """Of one picture, or means over pictures; the spread is the standard deviation of PSNR over people."""

    psnr: float
    ssim: float
    nmse: float
    spread: float = 0.0


def scores(picture: Tensor, target: Tensor, scaled: bool = False) -> Scores:
    """PSNR in dB, SSIM and NMSE of magnitudes, after the best scale where ``scaled``."""
    found, wanted, peak = _compared(picture, target, scaled)
    nmse = float((found - wanted).square().sum() / wanted.square().sum())
    return Scores(float(psnr(found, wanted, peak)), float(ssim(found, wanted, peak)), nmse)


def _compared(picture: Tensor, target: Tensor, scaled: bool) -> tuple[Tensor, Tensor, float]:
    found, wanted = picture.abs(), target.abs()
    if scaled:
        found = found * ((found * wanted).sum() / found.square().sum())
    return found, wanted, float(wanted.max())


def _mean(by_person: dict[int, list[Scores]]) -> Scores:
    people = [statistics.mean(s.psnr for s in found) for found in by_person.values()]
    everyone = [s for found in by_person.values() for s in found]
    spread = statistics.stdev(people) if len(people) > 1 else 0.0
    ssims, nmses = (statistics.mean(s[i] for s in everyone) for i in (1, 2))
    return Scores(statistics.mean(people), ssims, nmses, spread)


@torch.inference_mode()
def quality(run: Run, setting: Setting, every: int, step: int | None = None, scaled: bool = False) -> Row:
    """Means over test pictures at ``step`` (from 1; None: the last) and, under ``steps``, at 1 to 10 and each tenth."""
    at: dict[int, dict[int, list[Scores]]] = {}
    for person, case in cases(setting, TEST, every):
        pictures = run(case)
        last = len(pictures) if step is None else min(step, len(pictures))
        for number in {last, *(n for n in range(1, len(pictures) + 1) if n <= 10 or n % 10 == 0)}:
            found = scores(pictures[number - 1], case.target, scaled)
            at.setdefault(number, {}).setdefault(person, []).append(found)
    curve = {number: _mean(at[number]) for number in sorted(at)}
    columns = {name: [round(s[i], 5) for s in curve.values()] for i, name in enumerate(Scores._fields)}
    return {**curve[last]._asdict(), "step": last, "steps": {"step": list(curve), **columns}}


def zero_filled(setting: Setting, every: int) -> Row:
    return quality(lambda case: [case.problem.start()], setting, every)


@torch.inference_mode()
def classical(method: Callable[[float], Run], start: float, scaled: bool, setting: Setting, every: int) -> Row:
    """The row of the weight and the step that are best on validation pictures."""
    chosen = [case for _, case in cases(setting, VALIDATION, SPARSE)]
    curves: dict[float, list[float]] = {}

    def score(weight: float) -> float:
        each = [[_psnr(x, case.target, scaled) for x in method(weight)(case)] for case in chosen]
        curves[weight] = [statistics.mean(step) for step in zip(*each, strict=True)]
        return max(curves[weight])

    weight = best_weight(score, start, RATIO)[0]
    step = curves[weight].index(max(curves[weight])) + 1
    return {**quality(method(weight), setting, every, step, scaled), "weight": weight}


def _psnr(picture: Tensor, target: Tensor, scaled: bool) -> float:
    return float(psnr(*_compared(picture, target, scaled)))
