"""Decode TIFF files: those of 16 bits, and of 8 with an alpha, by tifffile if it has the codec, and else by Pillow."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require
from .raster import Decoded, check_frame, read_halves, read_raster, refuse_samples, size_of

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little and big endian, TIFF and BigTIFF
_DEFLATE = (8, 32946)  # numbers of compression
_PLAIN = ("MINISBLACK", "MINISWHITE", "RGB")
_DECODED_BY_TIFFFILE = (1, *_DEFLATE)  # without codecs that are not installed with it

# How the samples of each orientation of the TIFF standard are turned upright.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def read_tiff(file: BinaryIO) -> Decoded:
    """Decode a TIFF or BigTIFF file.

    Args:
        file: The open file.

    Raises:
        MetaoptError: As for :func:`~metaopt.data.formats.raster.read_raster`; it has channels of which it does not say
            what they mean, or strips that hold more than the header says.
    """
    tifffile = require("tifffile", "pictures")

    size = size_of(file)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        bits = page.bitspersample
        if not isinstance(bits, int) or bits > 16 or page.sampleformat not in (None, 1):
            kind = tifffile.SAMPLEFORMAT(page.sampleformat or 1).name if isinstance(page.sampleformat, int) else "mixed"
            raise refuse_samples(f"{bits}-bit {kind}")
        check_frame(page.imagewidth, page.imagelength, len(tiff.pages), page.samplesperpixel * bits, size)
        _check_extra(page)
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        upright = _UPRIGHT.get(page.tags.valueof("Orientation", default=1), lambda a: a)
        white = _white(page, bits)
        samples = upright(_whole_samples(page)) if _is_decoded_here(page, bits) else None
        profile, photometric = page.tags.valueof("InterColorProfile"), page.photometric.name
        channels, associated = page.samplesperpixel, tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples
    file.seek(0)
    if associated and inverted:
        raise MetaoptError("is multiplied by its transparency, with white as 0; save it with black as 0.")
    if samples is None and bits <= 8:
        return read_raster(file, b"")
    if samples is None:
        _check_deep(photometric, channels)
        if (bits < 16 and (bits, channels, inverted) != (12, 1, False)) or associated:
            raise refuse_samples(f"{bits}-bit, packed {photometric}")
        samples, profile, _ = read_halves(file)
    white = 2**bits - 1 if samples.max() > white else white  # then what the file states cannot be its depth
    samples = _divided(samples, white) if associated else samples
    return Decoded(_inverted(samples, white, channels) if inverted else samples, profile, white)


def _white(page: Any, bits: int) -> int:
    """Return the number that is white: the largest of the stated depth."""
    stated = page.tags.valueof("MaxSampleValue", default=None)
    stated = max(stated) if isinstance(stated, tuple) else stated
    depths = [2**depth - 1 for depth in range(9, 16)]
    return stated if bits == 16 and stated in depths else 2**bits - 1


def _inverted(samples: np.ndarray, white: int, channels: int) -> np.ndarray:
    """Return grey samples of which 0 was white; an alpha after them stays."""
    if channels == 1:
        return white - samples
    return np.concatenate([white - samples[..., :1], samples[..., 1:]], axis=-1)


def _divided(samples: np.ndarray, white: int) -> np.ndarray:
    """Return samples whose colours are not multiplied by the alpha after them, to the nearest number."""
    alpha = samples[..., -1:].astype(np.int64)
    whole = np.maximum(alpha, 1)
    colours = np.minimum((samples[..., :-1] * np.int64(2 * white) + whole) // (2 * whole), white)
    return np.concatenate([colours, alpha], axis=-1).astype(samples.dtype)


def _is_decoded_here(page: Any, bits: int) -> bool:
    """Return whether tifffile decodes the page.

    Pillow rounds an alpha's colours down, knows few layouts of it, and takes no BigTIFF of big-endian numbers.
    """
    apart = page.extrasamples or page.parent.is_bigtiff
    wanted = bits == 16 or (bits == 8 and apart and page.photometric.name in _PLAIN)
    return bool(wanted) and page.compression in _DECODED_BY_TIFFFILE


def _check_extra(page: Any) -> None:
    """Raise if the page has channels that are neither colours nor one alpha."""
    tifffile = require("tifffile", "pictures")

    extra = page.extrasamples
    if len(extra) > 1 or tifffile.EXTRASAMPLE.UNSPECIFIED in extra:
        raise MetaoptError(
            f"holds {page.samplesperpixel} channels and does not say what the last means; save it without that, or as "
            "transparency."
        )


def _check_deep(photometric: str, channels: int) -> None:
    if photometric not in _PLAIN or channels > 4:
        raise refuse_samples(f"16-bit {photometric} of {channels} channels as")


def _whole_samples(page: Any) -> np.ndarray:
    """Return a page's samples of 8 or 16 bits as they are stored, the channels last."""
    tifffile = require("tifffile", "pictures")

    _check_deep(page.photometric.name, page.samplesperpixel)
    _check_strips(page)
    samples = page.asarray()
    planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    samples = np.moveaxis(samples, 0, -1) if planar else samples
    return samples.astype(np.uint8 if page.bitspersample == 8 else np.uint16)


def _check_strips(page: Any) -> None:
    """Raise if a compressed strip or tile holds more than the header says, before it is decoded whole."""
    if page.compression not in _DEFLATE:
        return
    expected = int(np.prod(page.chunks)) * page.bitspersample // 8
    file = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        decoder = zlib.decompressobj()
        if len(decoder.decompress(file.read(count), expected + 1)) > expected:
            raise MetaoptError("has a strip that holds more than its header says; it is damaged or made to harm.")
