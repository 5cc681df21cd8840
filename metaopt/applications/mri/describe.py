"""Say in plain text what a file of k-space holds."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from torch import Tensor

from ...core import MetaoptError
from ...data import KSpace
from .calibration import calibration_region
from .memory import free_bytes, size, whole_bytes
from .planes import planes_of
from .preparation import known_noise

WIDTH = 100
AXES = ("slice", "row", "column")


def describe(kspace: KSpace) -> str:
    """Return what was found in a file of k-space, a line each: axes, coils, sampling, noise, geometry and its doubts.

    One slice, in the middle, is looked at.

    Args:
        kspace: What :func:`open_kspace` found.
    """
    lines = [str(kspace.path)]
    for name, text in _entries(kspace):
        lines += wrap(text, WIDTH, initial_indent=f"  {name + ':':14}", subsequent_indent=" " * 16)
    return "\n".join(lines)


def _entries(kspace: KSpace) -> Iterator[tuple[str, str]]:
    what = "slice" if kspace.dims == 2 else "volume"
    yield "format", kspace.format
    yield "axes", kspace.axes
    counts = f"{_counted(kspace.coils, 'coil')}, {_counted(kspace.slices, what)}"
    yield "k-space", f"{_by(kspace.shape)} points, {counts}"
    yield from _sampling(kspace)
    yield "noise", _noise(kspace)
    yield "picture", _picture(kspace)
    yield "place", "known (affine matrix)" if kspace.affine is not None else "not known"
    yield "centring", kspace.centring.note or "frequency 0 and the picture are in the middle"
    yield "reference", "pictures of full k-space" if kspace.has_reference else "none"
    if isinstance(volume := kspace.attributes.get("simulated_from"), str):
        named = "" if (mask := kspace.attributes.get("simulated_mask")) is None else f" with the mask {mask!s:.40}"
        yield "simulated", f"from {volume:.200}{named}, so that nothing here was measured"
    for note in kspace.notes:
        if note != kspace.centring.note:
            yield "note", note
    if kspace.calibration is None and kspace.stored.calibration is None and kspace.coils > 1:
        yield "asks for", "maps of the coils (--maps), or --method zero"


def _sampling(kspace: KSpace) -> Iterator[tuple[str, str]]:
    count = int(kspace.mask.sum())
    pattern = _pattern(kspace.mask)
    yield "sampled", f"{count:,} of {kspace.mask.numel():,} points, {pattern}; acceleration {kspace.acceleration:.3g}"
    try:
        yield (
            "calibration",
            f"the middle {_by(calibration_region(kspace.mask, centred=True))} points are sampled in full",
        )
    except MetaoptError:
        yield "calibration", "none: the middle of k-space is not sampled in full"
    if min(kspace.partial_fourier) < 1:
        shares = [f"{share:.0%} along {word}" for share, word in _named(kspace) if share < 1]
        yield "partial", f"k-space is sampled over {', '.join(shares)}"
    if kspace.dims == 3:
        planes = planes_of(kspace, volume=0)
        if planes.whole:
            needed = size(whole_bytes(kspace.shape, kspace.coils))
            yield (
                "planes",
                "none, since no axis is sampled in full: it is reconstructed as a whole, by the methods cs, tv, cg and "
                f"zero, in about {needed} of memory",
            )
        else:
            yield "planes", f"reconstructed across {AXES[planes.axis]}, the readout"


def _named(kspace: KSpace) -> Iterator[tuple[float, str]]:
    return zip(kspace.partial_fourier, AXES[-kspace.dims :], strict=True)


def _pattern(mask: Tensor) -> str:
    if bool(mask.all()):
        return "all"
    for axis, word in zip(range(mask.ndim), AXES[-mask.ndim :], strict=True):
        others = [i for i in range(mask.ndim) if i != axis]
        if bool((mask == mask.amax(others, keepdim=True)).all()):
            return f"whole lines at some {word}s"
    return "single points" if mask.ndim == 2 else "lines or points"


def _noise(kspace: KSpace) -> str:
    if kspace.dims == 2:
        probed = [kspace.read(kspace.slices // 2)]
    else:
        planes = planes_of(kspace, volume=0)
        if planes.whole and whole_bytes(kspace.shape, kspace.coils) > free_bytes():
            return "not looked at, since the volume does not fit into memory"
        probed = [planes.read(planes.count // 2)[0]]
    try:
        noise = known_noise(kspace, probed, None, needed=True)
    except MetaoptError as error:
        return str(error)
    return "not known" if noise is None else f"{noise.level:.4g} for a real component, {noise.source}"


def _picture(kspace: KSpace) -> str:
    text = f"{_by(kspace.picture_shape)} pixels"
    if kspace.voxel is None:
        return f"{text}; their size is not known"
    column, row, depth = kspace.voxel
    sides = [n * size for n, size in zip(kspace.picture_shape[-2:], (row, column), strict=True)]
    return (
        f"{text} of {row:.4g} x {column:.4g} mm, {depth:.4g} mm thick; field of view {sides[0]:.4g} x {sides[1]:.4g} mm"
    )


def _by(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
