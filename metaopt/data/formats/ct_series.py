"""Find the series of CT slices in a folder of DICOM files, and read one of them as a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.errors import MetaoptError
from ...files import named_errors
from .ct_grid import Grid, grid_of, said
from .ct_slices import Header, read_header, read_pixels
from .nifti_header import LARGEST

JITTER = 0.15  # of the distance of slices, by which their places may deviate from equal distances, as rounded ones do
TILT = 0.5  # degrees
SHIFT = 0.2  # mm, by which the places of slices may deviate from a straight line, as rounded ones do
SHOWN = 12  # series and names that an error lists
OTHERS = {"MR": "MR (magnetic resonance)", "PT": "PET", "CR": "radiography", "DX": "radiography", "US": "ultrasound"}
BEGIN, MAGIC = 128, b"DICM"


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM does.

    Args:
        path: The file.
    """
    with path.open("rb") as file:
        return file.read(BEGIN + 4)[BEGIN:] == MAGIC


def read_series(folder: Path, series: str | int | None) -> tuple[Tensor, Grid, tuple[str, ...]]:
    """Read the one series of CT slices in a folder, or that which was chosen.

    Args:
        folder: The folder; what is in folders within it is not read.
        series: The number of a series in the list that the error gives, its SeriesInstanceUID, or None.

    Returns:
        The volume (D, H, W) float32 in Hounsfield units, its grid, and notes on what was read and passed over.

    Raises:
        MetaoptError: As of :func:`~metaopt.data.read_ct`, in words that :func:`~metaopt.files.named_errors` completes.
    """
    headers, passed = _headers(folder)
    groups = _grouped(headers)
    chosen = _chosen(groups, series)
    slices, step = _ordered(chosen)
    first = slices[0]
    count = len(slices) * first.rows * first.columns
    if count > LARGEST:
        raise MetaoptError(f"holds {count:,} voxels, more than {LARGEST:,}; take fewer slices into a folder.")
    matrix = np.eye(4)
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    matrix[:3, :3] = np.stack([across * first.pixel[1], down * first.pixel[0], step], 1)
    matrix[:3, 3] = first.position
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix  # DICOM leads to the left and the back
    grid = grid_of(matrix, (first.columns, first.rows, len(slices)))
    stored = torch.empty(len(slices), first.rows, first.columns)
    for number, header in enumerate(slices):
        with named_errors(header.path, "DICOM slice"):
            stored[number] = torch.from_numpy(read_pixels(header))
    notes = [f"series {_named(chosen)} of {folder.name or folder}"]
    notes += [f"passed over: series {_named(group)}" for group in groups if group is not chosen]
    if passed:
        notes.append(f"passed over, since they are no DICOM pictures: {_listed([path.name for path in passed])}")
    return grid.brought(stored.permute(2, 1, 0)), grid, tuple(notes)


def _headers(folder: Path) -> tuple[list[Header], list[Path]]:
    """Return the headers of the pictures in a folder, and the files that are none."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    headers, passed = [], []
    for path in files:
        with named_errors(path, "DICOM slice"):
            if not is_dicom(path):
                if path.suffix.lower() in (".dcm", ".ima"):
                    raise MetaoptError(
                        "is named as a DICOM slice but does not begin as one; copy it again, write it with a head by "
                        "`dcmconv +F`, or take it out of the folder."
                    )
                passed.append(path)
                continue
            header = read_header(path)
        if header is None:
            passed.append(path)
        else:
            headers.append(header)
    if headers:
        return headers, passed
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not files and not inner:
        raise MetaoptError("is an empty folder; give that of the DICOM slices.")
    volumes = [path.name for path in passed if path.name.lower().endswith((".nii", ".nii.gz", ".nrrd"))]
    remedy = "give the folder of the slices"
    if volumes:
        remedy = f"give the volume itself, such as {folder / volumes[0]}"
    elif inner:
        remedy = f"what is in folders within it is not read, so give one of them, such as {inner[0]}"
    raise MetaoptError(f"holds no DICOM pictures among its {len(files)} files; {remedy}.")


def _grouped(headers: Sequence[Header]) -> list[list[Header]]:
    """Return the headers by series, and by what the slices of one volume share."""
    groups: dict[tuple, list[Header]] = {}
    for header in headers:
        facing = tuple(round(number, 2) + 0.0 for number in header.orientation)
        key = (header.number, header.series, header.modality, header.kind, header.rows, header.columns, facing)
        groups.setdefault(key, []).append(header)
    return [groups[key] for key in sorted(groups)]


def _chosen(groups: list[list[Header]], series: str | int | None) -> list[Header]:
    text = "" if series is None else str(series).strip()
    if text:
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
        chosen = [groups[number - 1]] if 1 <= number <= len(groups) else [g for g in groups if g[0].series == text]
        if len(chosen) != 1:
            raise MetaoptError(f"has no series {text!r:.80} alone; {_choices(groups)}.")
        if (modality := chosen[0][0].modality) != "CT":
            raise MetaoptError(f"holds no CT in series {text}, but {OTHERS.get(modality, modality or 'none')} images.")
        return chosen[0]
    scans = [group for group in groups if group[0].modality == "CT" and group[0].kind != "LOCALIZER"]
    if not scans:
        found = sorted({OTHERS.get(g[0].modality, g[0].modality or "images of no modality") for g in groups})
        what = "only CT localizers (scouts)" if "CT" in found else f"no CT but {', '.join(found)}"
        raise MetaoptError(f"holds {what}; give the folder of the axial slices of a CT.")
    several = [group for group in scans if len(group) > 1] or scans
    if len(several) > 1:
        raise MetaoptError(f"holds {len(several)} series of CT slices; {_choices(groups)}.")
    chosen = several[0]
    odd = [group[0] for group in scans if group is not chosen and group[0].series == chosen[0].series]
    if odd:
        raise MetaoptError(
            f"has slices of unlike sizes or directions in one series, such as {chosen[0].path.name} and "
            f"{odd[0].path.name}; take the odd ones out, or {_choices(groups)}."
        )
    return chosen


def _choices(groups: list[list[Header]]) -> str:
    shown = "; ".join(f"{number}: {_named(group)}" for number, group in enumerate(groups[:SHOWN], 1))
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    return f"choose one by its number, as series=1 or --series 1: {shown}{more}"


def _named(group: list[Header]) -> str:
    first = group[0]
    thick = "" if math.isnan(first.thickness) else f", {first.thickness:g} mm thick"
    kind = " (localizer)" if first.kind == "LOCALIZER" else ""
    size = f"{first.columns} x {first.rows}"
    return f"{first.description!r:.60}, {len(group)} {first.modality} slices{kind} of {size}{thick}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _ordered(headers: list[Header]) -> tuple[list[Header], np.ndarray]:
    """Return the slices in their order along the normal, and the vector from one to the next in mm (LPS)."""
    for header in headers:
        _check_geometry(header)
    first = headers[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    slices = sorted(headers, key=lambda header: float(np.dot(header.position, normal)))
    if len(slices) < 2:
        raise MetaoptError(f"holds a single slice, {first.path.name}; a CT volume has several.")
    for header in slices:
        if not np.allclose(header.pixel, first.pixel, rtol=1e-3):
            raise MetaoptError(
                f"has slices whose pixels have {said(first.pixel)} and {said(header.pixel)} mm ({first.path.name} and "
                f"{header.path.name}); slices of one scan share them, so take the others out."
            )
    places = np.array([header.position for header in slices])
    heights = places @ normal
    steps = np.diff(heights)
    usual = float(np.median(steps))
    _check_steps(slices, steps, usual)
    step = (places[-1] - places[0]) / (len(slices) - 1)
    tilt = math.degrees(math.acos(min(1.0, float(step @ normal) / float(np.linalg.norm(step)))))
    line = places[0] + np.arange(len(slices))[:, None] * step
    beside = np.linalg.norm((places - line) - ((places - line) @ normal)[:, None] * normal, axis=1)
    if tilt > TILT:
        raise MetaoptError(
            f"was scanned with a gantry tilted by {tilt:.1f} degrees, so that its slices are shifted against each "
            "other; resample it to perpendicular axes, as dcm2niix does."
        )
    if float(beside.max()) > SHIFT + JITTER * first.pixel[0]:
        odd = slices[int(beside.argmax())]
        raise MetaoptError(
            f"has a slice shifted by {float(beside.max()):.3g} mm against the others, {odd.path.name}; if it is "
            "of another scan, take it out."
        )
    return slices, step


def _check_steps(slices: list[Header], steps: np.ndarray, usual: float) -> None:
    same = np.nonzero(steps < max(1e-3, 0.05 * usual))[0]
    if len(same):
        a, b = slices[same[0]], slices[same[0] + 1]
        raise MetaoptError(
            f"has two slices at the same place, {a.path.name} and {b.path.name}"
            + (f", and {len(same) - 1} more such pairs" if len(same) > 1 else "")
            + "; take one of each pair out, or move the slices of one acquisition to a folder of their own."
        )
    wide = np.nonzero(steps > 1.5 * usual)[0]
    gaps = steps[wide] / usual
    if 0 < len(wide) < max(2, len(steps) / 3) and np.abs(gaps - gaps.round()).max() < 2 * JITTER:
        a, b, lacking = slices[wide[0]], slices[wide[0] + 1], int(gaps.round().sum()) - len(wide)
        raise MetaoptError(
            f"lacks {'1 slice' if lacking == 1 else f'{lacking} slices'}, the first between {a.path.name} and "
            f"{b.path.name}, which are {steps[wide[0]]:.4g} mm apart where others are "
            f"{usual:.4g} mm; copy the missing ones too."
        )
    even = np.linspace(0, steps.sum(), len(slices))
    away = np.abs(np.concatenate([[0.0], np.cumsum(steps)]) - even).max()
    if away > JITTER * usual + 0.01:
        raise MetaoptError(
            f"has slices at unequal distances, from {steps.min():.4g} to {steps.max():.4g} mm; resample them to equal "
            "ones, or take those of one distance to a folder of their own."
        )


def _check_geometry(header: Header) -> None:
    lacking = [
        name
        for name, value in (
            ("ImageOrientationPatient", header.orientation),
            ("ImagePositionPatient", header.position),
            ("PixelSpacing", header.pixel),
        )
        if not value
    ]
    if lacking:
        raise MetaoptError(
            f"has a slice, {header.path.name}, that does not say {' and '.join(lacking)}, so that its place or its "
            "size in mm is not known; export the series again with its whole header."
        )
    across, down = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    if np.abs(np.array([across @ across - 1, down @ down - 1, across @ down])).max() > 0.01 or min(header.pixel) <= 0:
        raise MetaoptError(
            f"has a slice, {header.path.name}, whose ImageOrientationPatient {list(header.orientation)} or "
            f"PixelSpacing {list(header.pixel)} cannot be; export the series again."
        )
