"""Simulate the k-space of a volume of magnitudes: coils, phase, noise and undersampling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arguments.checks import check_count, check_number, check_whole
from ...core import MetaoptError, random
from ...data import write_fastmri
from ...data.formats.nifti_volume import Volume, read_nifti
from ...files import check_output
from ...operators import Fourier
from ...tasks import coil_maps, smooth_phase
from .masks import kind_of, usual_centre

COARSE = 32  # points a side of the grid on which the sensitivities of coils are computed
WHITE = 0.999  # the share of voxels that are darker than 1
MOST_COILS = 256


def simulate_file(
    volume: Path,
    out: Path,
    acceleration: float = 4.0,
    coils: int = 8,
    noise: float = 0.02,
    mask: str = "gaussian",
    seed: int = 0,
    center: float | None = None,
) -> None:
    """Simulate the k-space of a NIfTI volume, slice by slice, and write it as fastMRI does, with the true pictures.

    The magnitudes get a random smooth phase, and each coil a sensitivity that varies smoothly in the volume; the sum of
    squares of the coils is 1. All slices have the same mask, which the file holds, as it does the level of the noise.

    Args:
        volume: The NIfTI file.
        out: The HDF5 file to write, .h5.
        acceleration: Number of points over number of samples.
        coils: Number of coils. One has no sensitivity.
        noise: The standard deviation of the real and of the imaginary part of the noise, relative to the intensity that
            0.1 % of the voxels exceed.
        mask: "gaussian" (points of a Gaussian density), "poisson", "radial", "spiral", "partial" (as "gaussian", within
            5/8 of the columns), or whole columns: "gaussian-columns", "columns" (each as likely), "equispaced".
        seed: The seed of phase, coils, mask and noise.
        center: How much of the middle of k-space is sampled in full: of columns the share, else the half axes of an
            ellipse, as a share of the sides of k-space. None: 0.1, or as much as maps of several coils take.

    Raises:
        MetaoptError: The volume cannot be read, has nothing to see or negative values, the file cannot be written, or
            an argument is out of range.
    """
    kind = kind_of(mask)
    check_number("The acceleration", acceleration, 1)
    check_count("The number of coils", coils, high=MOST_COILS)
    check_number("The noise", noise, 0)
    check_whole("The seed", seed)
    if center is not None:
        check_number("The centre", center, 0, 1)
    _check_out(out, volume)
    given = read_nifti(volume)
    white = _white(given, volume)
    shape = (given.pictures.shape[1], given.pictures.shape[2])
    if acceleration > shape[0] * shape[1] / 4 or (kind.columns and acceleration > shape[1] / 2):
        raise MetaoptError(f"An acceleration of {acceleration:g} leaves hardly a sample of {shape[0]} x {shape[1]}.")
    centre = usual_centre(kind, shape, acceleration, coils) if center is None else center
    kept = torch.fft.fftshift(kind.draw(shape, acceleration, centre, random.derive(seed, 0)))
    reached = kept.numel() / float(kept.sum())
    attributes: dict[str, str | float] = {"acceleration": reached, "seed": seed, "simulated_from": volume.name}
    attributes["simulated_mask"] = mask
    if noise > 0:
        attributes["noise"] = noise * white
    slices = _slices(given.pictures, kept, coils, noise * white, seed)
    write_fastmri(out, slices, given.voxel, kept, iter(given.pictures), given.affine, attributes)


def _check_out(out: Path, volume: Path) -> None:
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise MetaoptError(f"{out} does not say that it is HDF5; end it in .h5.")
    check_output(out, volume)


def _white(volume: Volume, path: Path) -> float:
    """Return the intensity that few voxels exceed."""
    values = volume.pictures.flatten()
    if bool((values < 0).any()):
        raise MetaoptError(f"{path} has voxels below 0, such as {float(values.min()):g}; it should hold magnitudes.")
    white = float(values.kthvalue(max(1, int(WHITE * values.numel()))).values) or float(values.max())
    if not white > 0:
        raise MetaoptError(f"{path} is 0 everywhere, so there is nothing to measure.")
    return white


def _slices(pictures: Tensor, mask: Tensor, coils: int, noise: float, seed: int) -> Iterator[Tensor]:
    """Yield the k-space (C, H, W) of one slice after the other."""
    space = tuple(pictures.shape)
    phase = smooth_phase(space, random.generator(seed, 1))
    coarse = coil_maps([min(n, COARSE) for n in space], coils, random.generator(seed, 2)) if coils > 1 else None
    fourier = Fourier(mask, centred=True)
    for index, picture in enumerate(pictures):
        x = (picture * phase[index])[None]
        x = x if coarse is None else x * _at(coarse, index, space)
        generator = random.generator(seed, 3, index)
        drawn = torch.view_as_complex(torch.randn(*x.shape, 2, generator=generator))
        yield fourier(x[None])[0] + noise * mask * drawn


def _at(coarse: Tensor, index: int, space: tuple[int, ...]) -> Tensor:
    """Return the maps (C, H, W) of a slice, interpolated, with sum of squares 1."""
    depth = coarse.shape[1]
    place = index * (depth - 1) / max(1, space[0] - 1)
    low = min(int(place), depth - 1)
    high = min(low + 1, depth - 1)
    between = torch.lerp(torch.view_as_real(coarse[:, low]), torch.view_as_real(coarse[:, high]), place - low).movedim(
        -1, 0
    )
    fine = F.interpolate(between, space[1:], mode="bicubic", align_corners=True)
    maps = torch.complex(fine[0], fine[1])
    return maps / torch.linalg.vector_norm(maps, dim=0)
