"""Simulate what an interferometer observes of a picture of the sky."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...arguments.contracts import Count, NotNegative, Positive, checked
from ...core.errors import MetaoptError
from ...core.random import derive
from ...data import (
    Antennas,
    SkyPicture,
    VisibilityChunk,
    read_coverage,
    read_sky_picture,
    write_measurement_set,
    write_visibilities,
)
from ...files import check_output
from ...operators import visibility_operator
from ...tasks import radio

ROWS = 2**24  # visibilities that are computed together
START = 5.0e9  # seconds of modified Julian date of the first row, in the year 2017


@checked
@dataclass(frozen=True)
class Observation:
    """What an array does: how long it looks, how finely it measures, and at which frequencies.

    Args:
        array: The name of an array, or the path of a table of stations.
        duration: The length in seconds; 0 is a snapshot.
        integration: The seconds of a row.
        frequency: The middle of the band in hertz. None: that of the picture, or else of the array.
        bandwidth: The width of the band in hertz.
        channels: Its number of channels.
        hour_angle: Of the middle of the observation, in radians.
        sefd: The system equivalent flux density of a station in jansky; 0 for no noise. None: that of the array.
    """

    array: str = "vla-a"
    duration: NotNegative = 3600.0
    integration: Positive = 60.0
    frequency: Positive | None = None
    bandwidth: Positive = 64e6
    channels: Count = 1
    hour_angle: float = 0.0
    sefd: NotNegative | None = None


@checked
def simulate(
    sky: SkyPicture, observation: Observation, seed: int = 0
) -> tuple[Iterator[VisibilityChunk], Tensor, Antennas]:
    """Simulate the visibilities of a picture, with thermal noise.

    Args:
        sky: The picture, with cell and direction; in several channels the nearest is seen at each frequency.
        observation: What the array does.
        seed: Of the noise.

    Returns:
        The chunks, the frequencies (F,) and the stations.

    Raises:
        MetaoptError: The picture has no place, its cells are too coarse for the array, or the source never rises.
    """
    sky = sky.per_pixel()
    if sky.cell is None or sky.direction is None:
        raise MetaoptError("The picture does not say the size of a pixel or where it is; give the cell and direction.")
    stations, known = radio.read_array(observation.array), observation.array.lower() in radio.array_names()
    frequency = _frequency(sky, observation, known)
    cover = radio.synthesize(
        stations.positions, sky.direction[1], observation.duration, observation.integration, observation.hour_angle
    )
    sefd, efficiency = radio.sefd(observation.array) if known else (observation.sefd or 0.0, 1.0)
    sefd = sefd if observation.sefd is None else float(observation.sefd)
    width = observation.bandwidth / observation.channels
    sigma = radio.thermal_noise(sefd, width, observation.integration, efficiency) if sefd else 0.0
    weights = torch.full((len(cover.uvw), len(frequency)), sigma**-2 if sigma else 1.0)
    none = torch.zeros(1, 1, dtype=torch.complex64)
    given = VisibilityChunk(cover.uvw, none, weights, START + cover.time, cover.antenna1, cover.antenna2)
    _check_room(sky, cover.uvw, frequency)
    return _observed(sky, iter([given]), frequency, sigma > 0, seed), frequency, stations


@checked
def simulate_file(
    sky: str | Path,
    out: str | Path,
    observation: Observation,
    seed: int = 0,
    cell: Positive | None = None,
    like: str | Path | None = None,
) -> None:
    """Simulate the visibilities of a picture of FITS, and write them.

    Args:
        sky: The picture, in Jy/pixel or Jy/beam.
        out: What to write: a measurement set (.ms) or an archive of NumPy (.npz).
        observation: What the array does.
        seed: Of the noise.
        cell: The size of a pixel in radians, where the picture does not say it.
        like: A set of visibilities whose baselines, flags, weights and frequencies are taken, in the place of
            ``observation``.

    Raises:
        MetaoptError: A file cannot be read or written, or the observation does not fit the picture.
    """
    out = Path(out)
    if out.suffix not in (".ms", ".npz"):
        raise MetaoptError(f"{out} ends neither in .ms nor in .npz; name a measurement set or an archive of NumPy.")
    if out.suffix == ".npz":
        check_output(out, Path(sky))
    elif out.exists() or not out.parent.is_dir():
        raise MetaoptError(f"{out} exists already, or its folder does not exist; write elsewhere.")
    picture = read_sky_picture(sky)
    if cell is not None:
        picture = replace(picture, cell=float(cell))
    if like is None:
        if picture.direction is None:
            picture = replace(picture, direction=(0.0, _overhead(observation)))
        chunks, frequency, antennas = simulate(picture, observation, seed)
    else:
        found = read_coverage(like)
        picture, frequency = replace(picture.per_pixel(), direction=found.direction), found.frequency
        names = max(int(torch.maximum(c.antenna1, c.antenna2).max()) for c in found.chunks()) + 1
        blank = Antennas(tuple(map(str, range(names))), torch.zeros(names, 3).double(), torch.zeros(names).double())
        antennas = found.antennas or blank
        if picture.cell is None:
            raise MetaoptError(f"{sky} does not say the size of a pixel; give it by the cell.")
        for chunk in found.chunks():
            _check_room(picture, chunk.uvw, frequency)
        chunks = _observed(picture, found.chunks(), frequency, True, seed)
    direction = picture.direction or (0.0, 0.0)
    if out.suffix == ".ms":
        write_measurement_set(out, chunks, frequency, direction, antennas, telescope=observation.array.upper())
    else:
        write_visibilities(out, chunks, frequency, direction, antennas)


def _overhead(observation: Observation) -> float:
    """Return the declination that passes overhead, for a picture that is nowhere."""
    middle = radio.read_array(observation.array).positions.mean(0)
    return math.asin(float(middle[2] / middle.norm()))


def _frequency(sky: SkyPicture, observation: Observation, known: bool) -> Tensor:
    middle = observation.frequency
    if middle is None and sky.frequency is not None:
        middle = float(sky.frequency.mean())
    if middle is None:
        if not known:
            raise MetaoptError("Neither the picture nor the table of stations says the frequency; give it in hertz.")
        middle = radio.band(observation.array)
    if observation.bandwidth >= 2 * middle:
        raise MetaoptError(f"A band of {observation.bandwidth:.6g} Hz about {middle:.6g} Hz reaches below 0.")
    steps = (torch.arange(observation.channels, dtype=torch.float64) + 0.5) / observation.channels - 0.5
    return middle + steps * observation.bandwidth


def _check_room(sky: SkyPicture, uvw: Tensor, frequency: Tensor) -> None:
    """Refuse a picture that is too coarse before anything is written."""
    visibility_operator(uvw, frequency, tuple(sky.pixels.shape[-2:]), float(sky.cell or 0))


def _observed(
    sky: SkyPicture, chunks: Iterator[VisibilityChunk], frequency: Tensor, noisy: bool, seed: int
) -> Iterator[VisibilityChunk]:
    """Yield the chunks with the visibilities of the picture and their noise."""
    pixels = sky.pixels.double()
    if sky.frequency is None or len(pixels) == 1:
        pixels = pixels[:1]
    else:
        nearest = (frequency[:, None] - sky.frequency.double()).abs().argmin(1)
        pixels = pixels[nearest]
    for number, chunk in enumerate(chunks):
        step = max(1, ROWS // len(frequency))
        for start in range(0, len(chunk.uvw), step):
            part = VisibilityChunk(*(t[start : start + step] for t in chunk))
            operator = visibility_operator(
                *(part.uvw, frequency, tuple(pixels.shape[-2:]), float(sky.cell or 0)), planes=len(pixels)
            )
            seen = operator(pixels[None])[0]
            if noisy:
                seen = radio.add_thermal_noise(seen, part.weights, derive(seed, number, start))
            seen = torch.where(part.weights > 0, seen, 0)
            yield part._replace(visibilities=seen.to(torch.complex64))
