"""Read and write k-space as the HDF5 files of fastMRI hold it: https://fastmri.med.nyu.edu, arXiv:1811.08839."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_instance, check_tensor
from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import replacing
from ...foundation.extras import require
from . import kspace_hdf5
from .hdf5_file import late_errors
from .kspace_axes import Layout, axis_words, is_complex
from .kspace_geometry import Geometry
from .kspace_header import Encoding, read_header, write_header
from .kspace_stored import Request, Stored

AXES = {
    2: "row column",
    3: "slice row column",
    4: "slice coil row column",
    5: "slice coil depth row column",
}
REFERENCES = ("reconstruction_rss", "reconstruction_esc")
HEADER = "ismrmrd_header"


def open_fastmri(request: Request) -> Stored:
    """Open a fastMRI file: ``kspace``, (slice, coil, row, column) or without the coil, a header and perhaps a mask.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: The k-space is not complex, or its coils, mask, pictures or header contradict it.
    """
    found = kspace_hdf5.contents(request.path)
    name = request.variable or "kspace"
    if name not in found.arrays:
        raise MetaoptError(f"has no array {name!r}; there are: {', '.join(found.arrays)}.")
    shape, dtype = found.arrays[name]
    words = axis_words(shape, is_complex(dtype), request.axes, request.select, AXES.get(len(shape)))
    attributes, header, mask = _read_rest(request.path, found)
    layout = words.layout("fastMRI", shape, attributes)
    references = [(key, found.arrays[key][0]) for key in REFERENCES if key in found.arrays]
    notes = [] if not attributes.get("acquisition") else [f"the scan is called {attributes['acquisition']}"]
    geometry = _geometry(header, layout, attributes, request.axes is None, notes)
    if references:
        _check_references(references[0], layout)
    sampled = None if mask is None else _fitted_mask(mask, layout)
    if sampled is not None:
        notes.append("the file's mask says which samples are used")

    def load(index: int, coils: slice) -> np.ndarray:
        with kspace_hdf5.opened(request.path, name) as array:
            kspace = words.read(array, index, coils)
        return kspace if sampled is None else kspace * sampled

    def reference(index: int) -> np.ndarray:
        with kspace_hdf5.opened(request.path, references[0][0]) as array:
            return np.asarray(array[index])

    return Stored(layout, load, geometry, reference=reference if references else None, notes=tuple(notes))


def _read_rest(path: Path, found: kspace_hdf5.Contents) -> tuple[dict[str, Any], Encoding | None, np.ndarray | None]:
    """Return the attributes, the header and the mask."""
    h5py, header, mask = require("h5py", "mri"), None, None
    with h5py.File(path, "r") as file:
        attributes = {key: _plain(value) for key, value in file.attrs.items()}
        if HEADER in found.arrays:
            text = file[HEADER][()] if file[HEADER].shape == () else file[HEADER][0]
            header = read_header(text)[0]
        if "mask" in found.arrays:
            if np.prod(found.arrays["mask"][0], dtype=float) > 2**28:
                raise MetaoptError(f"has a mask {found.arrays['mask'][0]}, which is no mask of lines or points.")
            mask = np.asarray(file["mask"])
    return attributes, header, mask


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _geometry(
    header: Encoding | None, layout: Layout, attributes: Mapping[str, Any], usual: bool, notes: list[str]
) -> Geometry:
    """Return the geometry of the header; a row is a point of the readout, and a column a step of phase encoding."""
    said = np.asarray(attributes.get("affine"))
    affine = said.astype(float) if said.shape == (4, 4) and said.dtype.kind in "fiu" else None
    if header is None:
        notes.append("there is no header, so sizes in millimetres and the picture's field of view are unknown")
        return Geometry(affine=affine)
    if header.channels is not None and header.channels != layout.coils and header.channels == layout.slices:
        raise MetaoptError(
            f"has {layout.coils} coils and {layout.slices} slices, but its header says {header.channels} coils; if its "
            "axes are in another order, say so by axes=, as in 'coil slice row column'."
        )
    if header.channels not in (None, layout.coils):
        notes.append(f"the header says {header.channels} coils, but there are {layout.coils}")
    order = (2, 0, 1)[-len(layout.shape) :] if len(layout.shape) == 3 else (0, 1)
    matrix = tuple(header.matrix[axis] for axis in order)
    if usual and matrix != layout.shape and matrix[::-1] == layout.shape:
        raise MetaoptError(
            f"has rows and columns {layout.shape}, but its header says {matrix}: they are exchanged; say so by axes=, "
            "as in 'slice coil column row'."
        )
    if matrix != layout.shape:
        notes.append(f"the header's matrix {matrix} is not that of k-space {layout.shape}, so its sizes are left aside")
        return Geometry(affine=affine)
    return Geometry(
        tuple(header.field_of_view[axis] for axis in order),
        tuple(header.picture_field_of_view[axis] for axis in order),
        tuple(header.picture_matrix[axis] for axis in order),
        readout=order.index(0),
        spacing=header.field_of_view[2] if len(order) == 2 else None,
        affine=affine,
    )


def _check_references(reference: tuple[str, tuple[int, ...]], layout: Layout) -> None:
    name, shape = reference
    if len(shape) != 1 + len(layout.shape) or shape[0] != layout.slices:
        raise MetaoptError(
            f"has k-space of {layout.slices} slices ({layout.axes}), but pictures {name} {shape}; if the axes are in "
            "another order or one is missing, say so by axes=."
        )


def _fitted_mask(mask: np.ndarray, layout: Layout) -> np.ndarray:
    """Return a mask of columns, or of points, that multiplies k-space."""
    size = tuple(n for n in mask.shape if n != 1)
    if size not in (layout.shape[-1:], layout.shape) or mask.dtype.kind not in "biuf":
        raise MetaoptError(
            f"has a mask {mask.shape} of {mask.dtype}, but k-space of {layout.shape} points; a mask holds 0 or 1 for "
            f"each of {layout.shape[-1]} columns, or for each point."
        )
    return (mask.reshape(size) != 0).astype(np.float32)


@checked
def write_fastmri(
    path: str | os.PathLike[str],
    slices: Sequence[Tensor] | Iterator[Tensor],
    voxel: Sequence[float],
    mask: Tensor | None = None,
    references: Sequence[Tensor] | Iterator[Tensor] | None = None,
    affine: Tensor | None = None,
    attributes: Mapping[str, str | float] | None = None,
) -> None:
    """Write k-space as fastMRI does, slice by slice; the file appears complete or not at all.

    Args:
        path: The file to write.
        slices: The k-space of each slice, (C, row, column) complex, or of each volume (C, depth, row, column); centred.
            They are taken one after the other, so they may come from a generator.
        voxel: Millimetres of a voxel along column, row and slice.
        mask: (column,), or as large as space: 1 where k-space was sampled. It is written beside k-space.
        references: The picture of each slice, real, as of the full k-space; as many as slices.
        affine: (4, 4) from (column, row, slice) to millimetres (RAS), which :func:`open_kspace` finds again.
        attributes: Further entries, such as the noise.

    Raises:
        MetaoptError: There is no slice, they are unlike, not complex or not finite; or the file cannot be written.
    """
    h5py, path = require("h5py", "mri"), Path(path)
    if len(voxel) != 3 or not all(0 < size < 1e6 for size in voxel):
        raise MetaoptError(f"A voxel has three sizes in millimetres above 0, not {list(voxel)}.")
    with replacing(path) as file, late_errors(file) as kept, h5py.File(kept, "w") as target:
        shape = _write_rows(target, "kspace", slices, complex_=True)
        if len(shape) not in (4, 5):
            raise MetaoptError(f"K-space of a slice is (C, row, column) or (C, depth, row, column), not {shape[1:]}.")
        if references is not None:
            pictures = _write_rows(target, REFERENCES[0], references, complex_=False)
            if pictures[0] != shape[0]:
                raise MetaoptError(f"There are {pictures[0]} pictures of {shape[0]} slices; each slice has one.")
        if mask is not None:
            check_tensor("The mask", mask, "any")
            _fitted_mask(mask.cpu().float().numpy(force=True), Layout("", "", shape[0], shape[1], shape[2:], {}))
            target["mask"] = mask.cpu().float().numpy(force=True)
        matrix = (shape[-2], shape[-1], shape[2] if len(shape) == 5 else 1)
        extent = [n * size for n, size in zip(matrix, (voxel[1], voxel[0], voxel[2]), strict=True)]
        target[HEADER] = write_header(matrix, extent, shape[1])
        for key, value in (attributes or {}).items():
            if not isinstance(key, str) or not key or "\0" in f"{key}{value}":
                raise MetaoptError(f"The attribute {key!r} has a name or text that HDF5 cannot hold.")
            target.attrs[key] = value
        if affine is not None:
            if tuple(check_tensor("The affine", affine).shape) != (4, 4):
                raise MetaoptError(f"An affine matrix is (4, 4), not {tuple(affine.shape)}.")
            target.attrs["affine"] = affine.double().numpy(force=True)


def _writable(row: Tensor) -> np.ndarray:
    """Return an array of 32 or 64 bits a number, which HDF5 has types for."""
    small = torch.complex64 if row.is_complex() else torch.float32
    return (row if row.dtype in (torch.complex128, torch.float64) else row.to(small)).numpy(force=True)


def _write_rows(target: Any, name: str, rows: Iterable[Tensor], complex_: bool) -> tuple[int, ...]:
    """Write an array one entry after the other, and return its shape."""
    dataset = None
    for index, row in enumerate(rows):
        check_instance(f"Entry {index} of {name}", row, Tensor)
        check_tensor(f"Entry {index} of {name}", row, "real or complex")
        if row.is_complex() != complex_:
            kinds = ("complex", "real") if complex_ else ("real", "complex")
            raise MetaoptError(f"Entry {index} of {name} has to be {kinds[0]}, but is {kinds[1]} ({row.dtype}).")
        if not torch.isfinite(row).all():
            raise MetaoptError(f"Entry {index} of {name} has NaN or infinite values, so nothing was written.")
        values = _writable(row)
        if dataset is None:
            size = (0, *values.shape)
            chunk = (1, *[1] * max(0, values.ndim - 2), *values.shape[-2:])
            dataset = target.create_dataset(name, size, values.dtype, maxshape=(None, *size[1:]), chunks=chunk)
        if values.shape != dataset.shape[1:]:
            raise MetaoptError(f"Entry {index} of {name} is {values.shape}, but those before are {dataset.shape[1:]}.")
        dataset.resize(index + 1, axis=0)
        dataset[index] = values
    if dataset is None:
        raise MetaoptError(f"There is no slice to write as {name}.")
    return tuple(dataset.shape)
