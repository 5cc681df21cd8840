"""Simulated visibilities of radio skies that no training saw, and how well a picture fits its sky.

A case is a sky, an array with its length of observation, and noise. Skies are in Jy/pixel and have 1 Jy in total; the
size of a pixel is a third of the finest fringe of the array (a quarter less than what it needs), and the noise is
thermal, from the stations' SEFD, 64 MHz and the seconds of a row. One setting has the uvw, flags, weights and channels
of a real measurement set of ATCA; there the noise is scaled to what 350 Jy would give.

Of each class of galaxies, by their sorted names, the last 12 are for tests and the 12 before them for validation.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import metaopt as mo
from metaopt.data import Antennas, VisibilityChunk, data_path, read_coverage, read_sky_picture
from metaopt.metrics import ssim
from metaopt.operators import Visibilities
from metaopt.tasks import radio

SIDE = 128
ATCA_SET = "radio/atca_measurement_set/0332-391.ms"
GALAXIES, CYGNI, MODELS = "radio/mirabest/mirabest_first_center128.npz", "radio/sky_3c353", "radio/sky_models"
"""Data below the folder of data."""
ANTENNAS = "radio/antennas"
CLIPPED = 4.5e-4  # Jy/beam in the galaxies' pictures, 3 standard deviations of their noise
HELD_OUT = 12  # galaxies of each class for tests, and as many for validation
FINEST = 3.0  # pixels in the period of the finest fringe
BAND = 64e6  # Hz
LIGHT = 299_792_458.0
SEED = 353
TEST = ("3C353", "M31", "galaxy FR I", "galaxy FR II")
VALIDATION = ("validation FR I", "validation FR II, enlarged")


class Setting(NamedTuple):
    """An array, the declination of the source in degrees, and minutes of the whole and of a row; 0: a snapshot."""

    array: str
    declination: float
    minutes: float
    row: float

    def __str__(self) -> str:
        if self.array == "atca-set":
            return "ATCA, a real set's coverage"
        name = {"vla-a": "VLA-A", "meerkat": "MeerKAT", "ska1-mid": "SKA1-MID", "atca": "ATCA"}[self.array]
        return f"{name}, " + (f"{self.minutes / 60:g} h" if self.minutes else f"snapshot of {self.row:g} min")


SETTINGS = (
    Setting("vla-a", 25, 0, 2),
    Setting("vla-a", 25, 240, 5),
    Setting("meerkat", -35, 0, 2),
    Setting("meerkat", -35, 120, 6),
    Setting("ska1-mid", -35, 0, 2),
    Setting("ska1-mid", -35, 60, 12),
    Setting("atca", -40, 600, 2),
    Setting("atca-set", 0, 0, 0),
)
QUICK = SETTINGS[0]


class Case(NamedTuple):
    """What was measured, where, and of what: the sky is (1, 1, H, W) in Jy/pixel."""

    data: VisibilityChunk
    frequency: Tensor
    cell: float
    antennas: Antennas
    direction: tuple[float, float]
    sky: Tensor

    @property
    def operator(self) -> Visibilities:
        flat = self.data.uvw.clone()
        flat[:, 2] = 0  # the field is small enough for every method
        return Visibilities(flat, self.frequency, tuple(self.sky.shape[-2:]), self.cell, self.data.weights)

    @property
    def problem(self) -> mo.InverseProblem:
        """The likelihood of the visibilities, whose noise is 1 once they are whitened."""
        operator = self.operator
        return mo.InverseProblem(operator, operator.whiten(self.data.visibilities[None]), noise=1.0)


@functools.cache
def galaxies() -> dict[str, dict[str, Tensor]]:
    """Galaxies (1, 1, 128, 128) by name, of ``test`` and ``validation`` FR I and FR II."""
    with np.load(data_path(GALAXIES)) as file:
        pictures = dict(zip(map(str, file["names"]), file["images"], strict=True))
    found: dict[str, dict[str, Tensor]] = {}
    for kind, begin in (("FR I", "100_"), ("FR II", "200_")):
        names = sorted(name for name in pictures if name.startswith(begin))
        for part, last in (("test", None), ("validation", -HELD_OUT)):
            kept = names[:last][-HELD_OUT:]
            found[f"{part} {kind}"] = {n: torch.from_numpy(pictures[n]).double()[None, None] for n in kept}
    return found


def _brightest(part: str, number: int) -> Tensor:
    """One of the galaxies with most flux above the noise, which it is cut at."""
    clipped = [torch.where(x > CLIPPED, x, 0) for x in galaxies()[part].values()]
    return sorted(clipped, key=lambda x: -float(x.sum()))[number]


@functools.cache
def sky(name: str) -> Tensor:
    """A sky of 1 Jy, (1, 1, 128, 128) float64 in Jy/pixel."""
    if name == "3C353":
        x = read_sky_picture(data_path(CYGNI) / "3c353_gdth.fits").pixels[None].double()
    elif name == "M31":
        x = read_sky_picture(data_path(MODELS) / "M31_256.fits").pixels[None].double()
    elif name.startswith("galaxy"):
        x = _brightest(name.replace("galaxy", "test"), 0)
    else:
        x = _brightest(name.removesuffix(", enlarged"), 0)
    if name.endswith("enlarged"):
        x = F.interpolate(x[..., 32:96, 32:96], scale_factor=2, mode="bicubic")
    x = F.avg_pool2d(x, x.shape[-1] // SIDE).clamp(min=0)
    return x / x.sum()


@functools.cache
def coverage(setting: Setting) -> tuple[VisibilityChunk, Tensor, Antennas, tuple[float, float]]:
    """Baselines and weights without visibilities, the frequencies, the stations and where they look."""
    if setting.array == "atca-set":
        found = read_coverage(data_path(ATCA_SET))
        chunk = found.read()
        used = chunk.weights[chunk.weights > 0]
        seconds = float(chunk.time.unique().diff().median())
        width = float(found.frequency.diff().abs().median())
        sigma = radio.thermal_noise(radio.sefd("atca")[0], width, seconds, radio.sefd("atca")[1])
        scaled = chunk.weights.double() / used.double().mean() / sigma**2
        return chunk._replace(weights=scaled), found.frequency, _named(found.antennas, chunk), found.direction
    stations = radio.read_array(setting.array)
    direction = (0.0, math.radians(setting.declination))
    rows = radio.synthesize(stations.positions, direction[1], 60 * setting.minutes, 60 * setting.row)
    sefd, efficiency = radio.sefd(setting.array)
    sigma = radio.thermal_noise(sefd, BAND, 60 * setting.row, efficiency)
    weights = torch.full((len(rows.uvw), 1), sigma**-2, dtype=torch.float64)
    blank = torch.zeros_like(weights, dtype=torch.complex128)
    chunk = VisibilityChunk(rows.uvw, blank, weights, 5e9 + rows.time, rows.antenna1, rows.antenna2)
    return chunk, torch.tensor([radio.band(setting.array)], dtype=torch.float64), stations, direction


def _named(stations: Antennas | None, chunk: VisibilityChunk) -> Antennas:
    count = int(torch.maximum(chunk.antenna1, chunk.antenna2).max()) + 1
    names, blank = tuple(map(str, range(count))), torch.zeros(count, 3, dtype=torch.float64)
    return Antennas(names, blank, blank[:, 0]) if stations is None else stations


@functools.cache
def case(setting: Setting, name: str) -> Case:
    """The case of a setting and a sky; its noise has a seed of its own."""
    chunk, frequency, antennas, direction = coverage(setting)
    longest = float((chunk.uvw[:, :2].norm(dim=1) * (chunk.weights > 0).any(1)).max() * frequency.max() / LIGHT)
    cell = 1 / (FINEST * longest)
    given = Case(chunk, frequency, cell, antennas, direction, sky(name))
    seen = given.operator.weighted(None)(given.sky)[0]
    seed = SEED + 100 * SETTINGS.index(setting) + (*TEST, *VALIDATION).index(name)
    noisy = torch.where(chunk.weights > 0, radio.add_thermal_noise(seen, chunk.weights, seed), 0)
    # As a file holds them, so that every program reads the same.
    return given._replace(data=chunk._replace(visibilities=noisy.to(torch.complex64), weights=chunk.weights.float()))


class Scores(NamedTuple):
    """Of a picture: SNR and log-SNR in dB and SSIM at the best scale; of its model: the residual and dynamic range."""

    snr: float
    log_snr: float
    ssim: float
    residual: float
    dynamic_range: float


def snr(picture: Tensor, wanted: Tensor) -> float:
    """``20 log10(|x| / |x - s picture|)`` with the scale s that makes it largest; 0 for an empty picture."""
    found, x = picture.double(), wanted.double()
    return float(20 * torch.log10(x.norm() / (x - _scaled(found, x)).norm()))


def _scaled(found: Tensor, wanted: Tensor) -> Tensor:
    return found * ((found * wanted).sum() / found.square().sum().clamp_min(1e-300))


def log_snr(picture: Tensor, wanted: Tensor) -> float:
    """The SNR after ``x -> log(1 + a x / peak) / log(a)``, where a is the sky's dynamic range: of what is faint, too.

    The dynamic range is that of the sky's own pixels above 1e-4 of their peak (Aghabiglou et al., The R2D2 deep neural
    network series, 2024, doi:10.3847/1538-4365/ad46f5). The scale is that of :func:`snr`, and what is negative is 0.
    """
    x = wanted.double()
    peak = x.max()
    base = (peak / x[x > 1e-4 * peak].min()).clamp(min=2)

    def bent(image: Tensor) -> Tensor:
        return torch.log1p(base * image.clamp(min=0) / peak) / base.log()

    return snr(bent(_scaled(picture.double(), x)), bent(x))


def residual_over_thermal(given: Case, model: Tensor) -> float:
    """The root mean square of the whitened residuals of real and imaginary parts: 1 for the sky itself."""
    problem = given.problem
    off = problem.y - problem.operator(model.to(torch.float64))
    count = 2 * int((given.data.weights > 0).sum())
    return float((torch.view_as_real(off).square().sum() / count).sqrt())


def dynamic_range(given: Case, model: Tensor) -> float:
    """The peak of the model seen with the dirty beam over the rms of the dirty residual, with natural weights."""
    problem = given.problem
    seen = problem.operator.normal(model.to(torch.float64))
    off = problem.start() - seen
    return float(seen.max() / off.square().mean().sqrt())


def scores(given: Case, picture: Tensor, model: Tensor | None = None) -> Scores:
    """Of a picture (1, 1, H, W) in any unit, and of its model in Jy/pixel, which is the picture where none is given."""
    model = picture if model is None else model
    x, found = given.sky, _scaled(picture.double(), given.sky)
    return Scores(
        snr(picture, x),
        log_snr(picture, x),
        float(ssim(found, x, float(x.max()))),
        residual_over_thermal(given, model),
        dynamic_range(given, model),
    )


def processor_seconds(run: Callable[[], Sequence[Tensor]]) -> tuple[Sequence[Tensor], float]:
    """What a function returns, and the seconds of this process's CPU time that it took."""
    begin = time.process_time()
    found = run()
    return found, time.process_time() - begin
