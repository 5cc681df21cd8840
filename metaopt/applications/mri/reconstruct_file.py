"""Reconstruct a file of k-space to a NIfTI file; an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import __version__
from ...core import MetaoptError
from ...data import KSpace, write_nifti
from ...data.formats.nifti import ENDINGS
from ...data.formats.nifti_volume import read_nifti
from ...files import check_output, named_errors, read_bytes, replacing
from ...foundation.extras import require
from ...weights.cards import weight_file
from .memory import check_volume
from .methods import Method, Settings
from .partial import Store, resumable
from .planes import planes_of
from .preparation import prepare
from .reconstruct import Reconstruction, chosen_planes, fill, finished

LARGEST = 2**30  # bytes of a mask or of maps


@dataclass(frozen=True)
class Request:
    """Say what of a file is reconstructed, and to which files.

    Args:
        out: The NIfTI file to write.
        noise: The standard deviation of a real component of the noise in the units of the file, or None.
        mask: A .npy file of which samples are used, or None.
        maps: A .npy file of maps of the coils, or None.
        sets: Number of sets of maps.
        slices: The first plane, and the one to stop before, or None.
        volume: Which volume, or None.
        steps_out: The .npz file to write the pictures of every step to, or None.
    """

    out: Path
    noise: float | None = None
    mask: Path | None = None
    maps: Path | None = None
    sets: int = 1
    slices: tuple[int | None, int | None] = (None, None)
    volume: int | None = None
    steps_out: Path | None = None


@torch.inference_mode()
def reconstruct_file(
    kspace: KSpace, request: Request, settings: Settings, target: Path | None = None
) -> Reconstruction:
    """Reconstruct pictures and write them as NIfTI, plane by plane in bounded memory.

    After an interruption (Ctrl-C) what is done stays in a hidden folder beside the file, and the same call goes on.

    Args:
        kspace: What :func:`open_kspace` found.
        request: What is reconstructed.
        settings: The method and its settings.
        target: A NIfTI file of the true picture, which is kept beside every step. None: the file's own, if it has one.

    Returns:
        The reconstruction, without the pictures, which are in the file.

    Raises:
        MetaoptError: As for :func:`reconstruct`; a file cannot be read or written.
    """
    read = (kspace.path, request.mask, request.maps, target)
    _check_writable(request.out, read, ENDINGS, "NIfTI", "in .nii or .nii.gz")
    if request.steps_out is not None:
        _check_writable(request.steps_out, read, (".npz",), "an archive of NumPy", "in .npz")
    if target is not None and request.steps_out is None:
        raise MetaoptError("A target is kept beside the pictures of every step; give --steps-out too.")
    mask, maps = (None if path is None else _array(path) for path in (request.mask, request.maps))
    planes = planes_of(kspace, mask, request.volume, request.out.parent)
    chosen = chosen_planes(request.slices, planes)
    every_step = request.steps_out is not None
    check_volume(kspace, planes, settings, request.sets, every_step)
    truth = None if target is None else read_nifti(target).pictures
    shape = planes.volume(len(chosen))
    if truth is not None and tuple(truth.shape) != shape:
        raise MetaoptError(f"The target {target} is {tuple(truth.shape)}, but the pictures are {shape}.")
    method = Method(settings)
    preparation = prepare(kspace, planes, request.noise, maps, request.sets, settings.method != "zero")
    identity = _identity(kspace, request, settings, (mask, maps))
    with resumable(request.out, len(chosen), identity) as store:
        _run(store, fill(store, preparation, method, chosen, every_step), len(chosen))
        found = finished(store, kspace, preparation, method, chosen, every_step)
        if every_step:
            truth = _reference(kspace, chosen, shape) if truth is None else truth
            _write_steps(request.steps_out, found, settings.method, truth)
        voxel = None if found.spacing is None else found.spacing[::-1]
        write_nifti(request.out, found.pictures, voxel, found.affine)
        empty = torch.empty(0)
        return Reconstruction(
            empty, found.affine, found.spacing, found.residual, found.noise, found.axis, None, found.mask
        )


def _run(store: Store, planes: Any, count: int) -> None:
    from tqdm import tqdm

    done = count - len(store.missing)
    with tqdm(total=count, initial=done, desc="slices", mininterval=1.0, delay=1.0) as bar:
        for some in planes:
            bar.update(some)


def _check_writable(path: Path, read: tuple[Path | None, ...], endings: tuple[str, ...], what: str, how: str) -> None:
    if not path.name.lower().endswith(endings):
        raise MetaoptError(f"{path} does not say that it is {what}; end it {how}.")
    check_output(path, *read)


def _array(path: Path) -> Tensor:
    """Return the array of a .npy file."""
    with named_errors(path, "array of NumPy"):
        if path.suffix.lower() != ".npy":
            raise MetaoptError("is not an array of NumPy; save it by numpy.save, as a .npy file.")
        if path.exists() and not path.is_file():
            raise MetaoptError("is not a file; give the array as one.")
        if path.stat().st_size > LARGEST:
            raise MetaoptError(f"has more than {LARGEST:,} bytes, which no mask and no maps need.")
        values = np.load(path, allow_pickle=False)
        if values.dtype.kind not in "biufc" or not values.size:
            raise MetaoptError(f"holds an array {values.shape} of {values.dtype}, which are no numbers.")
        if values.dtype.kind in "iub":
            values = values.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(values))


def _identity(
    kspace: KSpace, request: Request, settings: Settings, arrays: tuple[Tensor | None, ...]
) -> dict[str, Any]:
    """Return all that the pictures depend on, as JSON holds it."""
    found = kspace.path.stat() if kspace.path.exists() else None
    entries: dict[str, Any] = {key: str(value) for key, value in asdict(request).items() if key != "out"}
    entries |= asdict(settings) | {"version": __version__, "axes": kspace.axes, "shape": list(kspace.shape)}
    entries["centring"] = str(kspace.centring)
    entries["file"] = [str(kspace.path.resolve()), *([found.st_size, found.st_mtime_ns] if found else [])]
    entries["arrays"] = [None if a is None else hashlib.sha256(a.numpy().tobytes()).hexdigest() for a in arrays]
    if settings.method == "rim":
        entries["weights"] = hashlib.sha256(read_bytes(weight_file(settings.network), LARGEST)).hexdigest()
    return entries


def _reference(kspace: KSpace, chosen: range, shape: tuple[int, ...]) -> Tensor | None:
    """Return the pictures that the file holds, where they are as large as those that are made of it."""
    if not kspace.has_reference or kspace.dims != 2:
        return None
    pictures = torch.stack([kspace.reference(index).float() for index in chosen])
    if tuple(pictures.shape[1:]) == kspace.shape:
        pictures = kspace.crop(pictures)
    return pictures if tuple(pictures.shape) == shape else None


def _write_steps(path: Path | None, found: Reconstruction, method: str, truth: Tensor | None) -> None:
    if path is None or found.steps is None:
        return
    arrays = {f"estimates_{method}": found.steps.numpy()}
    if found.mask.shape == found.steps.shape[2:]:  # and not across rows or columns
        arrays["mask"] = found.mask.to(torch.uint8).numpy()
    if found.spacing is not None:
        arrays["spacing"] = np.array(found.spacing)
    if truth is not None:
        arrays["target"] = truth.float().numpy()
    if found.affine is not None:
        codes = require("nibabel", "mri").aff2axcodes(found.affine.numpy())
        arrays["axes"] = np.array("".join(codes[::-1]))  # those of NIfTI begin with the fastest axis, W
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
