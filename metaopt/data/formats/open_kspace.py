"""Open k-space of any format: recognise the format, and look at one slice of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors
from .fastmri import open_fastmri
from .kspace import KSpace, check_values, pieces, sampled, trim_mask
from .kspace_arrays import open_cfl, open_hdf5_array, open_matlab, open_numpy, open_numpy_archive
from .kspace_hdf5 import contents
from .kspace_sampling import Centring, calibration_region, find_centring
from .kspace_stored import Request, Stored
from .mrd import open_mrd


@checked
def open_kspace(
    path: str | os.PathLike[str],
    axes: str | None = None,
    variable: str | None = None,
    select: Mapping[str, int] | None = None,
    centred: bool | None = None,
    keep_oversampling: bool = False,
) -> KSpace:
    """Open a file of k-space: fastMRI or ISMRMRD HDF5, BART .cfl, MATLAB, NumPy .npy and .npz, or a plain HDF5 array.

    Nothing but what describes the file and a slice of it is read. The format is recognised by the file's content.

    Args:
        path: The file; of BART's pair the .cfl, the .hdr, or their common name.
        axes: What each axis of the file's array is, a word each: slice, coil, depth, row, column; one for an axis of
            size 1, complex for real and imaginary parts, and other words for axes of which ``select`` names the entry.
            None: what the format says, or what the sizes leave no doubt about.
        variable: The name of the array, or of the group of an ISMRMRD file. None: the only one.
        select: The entry to read of axes that are never mixed, as in ``{"contrast": 1, "repetition": 0}``; of ISMRMRD
            files also the ``encoding``.
        centred: Whether frequency 0, and the middle of the picture, are stored at index n // 2 (True) or at index 0
            (False) of every axis. None: where their energy is.
        keep_oversampling: Whether the oversampling of the readout is left in.

    Returns:
        What was found.

    Raises:
        MetaoptError: The file is missing, damaged, cut short, of no known format, or leaves doubt about its meaning; or
            its k-space is empty, real, all zero or not finite.
    """
    path = Path(path)
    request = Request(path, axes, variable, {word.lower(): entry for word, entry in (select or {}).items()})
    with named_errors(path, "k-space"):
        stored = _opener(path)(request)
        kspace = _probed(path, stored, centred)
        return kspace if keep_oversampling else _without_oversampling(kspace)


def _opener(path: Path) -> Callable[[Request], Stored]:
    """Return the reader of a file's format, by its first bytes."""
    if path.suffix in (".cfl", ".hdr") or (not path.is_file() and path.with_name(path.name + ".hdr").is_file()):
        return open_cfl
    if path.is_dir():
        raise MetaoptError("is a folder, not a file of k-space; name a file in it.")
    if path.exists() and not path.is_file():
        raise MetaoptError("is a pipe or a device, not a file of k-space; write it to a file first.")
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise MetaoptError("is empty (0 bytes); it was probably not saved or copied whole.")
    if b"\x89HDF\r\n\x1a\n" in (head[:8], head[512:]):
        return _hdf5_opener(path)
    if head.startswith(b"\x93NUMPY"):
        return open_numpy
    if head.startswith(b"PK\x03\x04"):
        return open_numpy_archive
    if head.startswith(b"MATLAB 5.0") or path.suffix == ".mat":
        return open_matlab
    raise MetaoptError(
        "is not k-space of a known format; fastMRI and ISMRMRD HDF5, BART .cfl, MATLAB .mat, NumPy .npy and .npz are."
    )


def _hdf5_opener(path: Path) -> Callable[[Request], Stored]:
    found = contents(path)
    if found.acquisitions:
        return open_mrd
    if "kspace" in found.arrays:
        return open_fastmri
    return open_hdf5_array


def _probed(path: Path, stored: Stored, centred: bool | None) -> KSpace:
    """Look at a slice in the middle, or where that is empty at the first or last."""
    layout, part, index = stored.layout, pieces(stored)[0], 0
    values = np.zeros((1, *layout.shape), np.complex64)
    for index in dict.fromkeys((layout.slices // 2, 0, layout.slices - 1)):
        values = stored.load(index, part)
        if values.any():
            break
    check_values(values, index)
    if centred is None:
        words = ("depth", "row", "column")[-len(layout.shape) :]
        centring = find_centring(values, words, counted=stored.counted is not None)
    else:
        centring = Centring((not centred,) * len(layout.shape), (not centred,) * len(layout.shape))
    mask = sampled(stored, index, centring)
    notes = [*stored.notes, *filter(None, [centring.note])]
    if calibration_region(mask) is None:
        notes.append("the middle of k-space was not sampled, so there is no calibration region to compute coil maps of")
    return KSpace(
        path, layout.shape, torch.from_numpy(mask.astype(np.float32)), stored.geometry, centring, tuple(notes), stored
    )


def _without_oversampling(kspace: KSpace) -> KSpace:
    """Cut the readout to the picture's field of view, where all of it was sampled."""
    axis, factor = kspace.geometry.readout, kspace.geometry.oversampling()
    if axis is None or factor < 1.01:
        return kspace
    lines = np.moveaxis(kspace.mask.numpy() > 0, axis, -1)
    if (lines.any(-1) != lines.all(-1)).any():
        note = "the readout is oversampled, but not sampled in full (partial echo), so it is cut after reconstruction"
        return replace(kspace, notes=(*kspace.notes, note))
    shape = list(kspace.shape)
    shape[axis] = round(shape[axis] / factor)
    mask = torch.from_numpy(trim_mask(kspace.mask.numpy(), axis, tuple(shape)))
    note = f"the readout's {factor:g}-fold oversampling ({kspace.shape[axis]} points) is removed ({shape[axis]} points)"
    geometry = kspace.geometry.trimmed(shape[axis] / kspace.shape[axis])
    return replace(kspace, shape=tuple(shape), mask=mask, geometry=geometry, notes=(*kspace.notes, note))
