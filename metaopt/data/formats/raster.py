"""Decode image files by Pillow, and restore what it drops: the low bytes and the transparency of 16-bit samples."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require

LARGEST = 80_000_000  # pixels; a picture of more is refused
TOO_LARGE = f"has more than {LARGEST // 10**6} million pixels; make it smaller or cut it into pieces."
SUSPICIOUS = 200  # bytes of samples a byte of the file, from which a picture of more than the next is refused
HARMLESS = 2**26  # bytes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_READ = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
_BITS = {"1": 1, "L": 8, "LA": 16, "La": 16, "P": 24, "PA": 32, "RGBA": 32, "RGBa": 32, "CMYK": 32, "I": 32, "F": 32}


class Decoded(NamedTuple):
    """Hold samples, (H, W) or (H, W, C) of whole numbers, the ICC profile, and the number that is white or opaque."""

    samples: np.ndarray
    profile: bytes | None
    white: int


def check_frame(width: int, height: int, frames: int, bits: int, size: int) -> None:
    """Check what the header of a file states, before anything is decoded.

    Args:
        width: Pixels along a row.
        height: Number of rows.
        frames: Number of pictures.
        bits: Bits of a pixel.
        size: Bytes of the file.

    Raises:
        MetaoptError: The picture is empty, too large, far larger than such a file can hold in earnest, or not alone.
    """
    if width < 1 or height < 1:
        raise MetaoptError(f"holds a picture of {width} x {height} pixels; there is nothing to read.")
    if width * height > LARGEST:
        raise MetaoptError(TOO_LARGE)
    count = width * height * bits // 8
    if count > max(HARMLESS, SUSPICIOUS * size):
        raise MetaoptError(
            f"has {size} bytes but claims {width} x {height} pixels, {count // 10**6} MB; if you trust it, save it "
            "without compression."
        )
    if frames > 1:
        raise MetaoptError(f"holds {frames} pictures (it is animated or has pages); save the one you want by itself.")


def size_of(file: BinaryIO) -> int:
    """Return the number of bytes of a file, and go back to its beginning."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def refuse_samples(kind: str) -> MetaoptError:
    """Return the error about samples that cannot be read, to be raised.

    Args:
        kind: What they are.
    """
    return MetaoptError(f"holds {kind} samples; only whole numbers of 8 or 16 bit are read, so convert it first.")


def read_raster(file: BinaryIO, head: bytes) -> Decoded:
    """Decode a file of any format but 16-bit TIFF.

    Args:
        file: The open file.
        head: Its first 26 bytes.

    Raises:
        MetaoptError: As for :func:`check_frame`, or the samples are not whole numbers of at most 16 bits.
    """
    Image = require("PIL.Image", "pictures")

    size, deep_png = size_of(file), head.startswith(PNG_SIGNATURE) and head[24:25] == b"\x10"
    with Image.open(file, formats=_READ) as image:
        # A camera's JPEG may carry its own preview as a second frame: that is MPO, and its first frame is the picture.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        check_frame(image.width, image.height, frames, (2 if deep_png else 1) * _BITS.get(image.mode, 24), size)
        if not deep_png:
            _scale_transparency(image, head)
            samples = _samples(image)
            profile = None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
            return Decoded(samples, profile, int(np.iinfo(samples.dtype).max))
    file.seek(0)
    return (_read_deep_grey_alpha_png if head[25] == PNG_COLOUR_TYPE[2] else read_halves)(file)


def _scale_transparency(image: Any, head: bytes) -> None:
    """Scale the grey that a PNG of 2 or 4 bits declares transparent as Pillow scales its samples."""
    grey = image.info.get("transparency") if image.format == "PNG" and head[25] == 0 else None
    if isinstance(grey, int) and head[24] in (2, 4):
        levels = 2 ** head[24]
        image.info["transparency"] = grey % levels * (255 // (levels - 1))  # the bits above count for nothing


def _samples(image: Any) -> np.ndarray:
    """Return the samples of a picture that Pillow holds completely, turned upright."""
    ImageOps = require("PIL.ImageOps", "pictures")

    if image.mode in ("I", "F"):
        raise refuse_samples("32-bit")
    if not image.mode.startswith("I;16"):
        grey, alpha = image.mode in ("1", "L", "LA", "La"), image.has_transparency_data
        image = image.convert("L") if image.mode == "1" and "transparency" not in image.info else image
        image = image.convert(("L" if grey else "RGB") + ("A" if alpha else ""))
    samples = np.asarray(ImageOps.exif_transpose(image))
    return samples.astype(np.uint16) if samples.dtype.itemsize == 2 else samples


def read_halves(file: BinaryIO) -> Decoded:
    """Decode 16-bit samples by Pillow, which keeps only the high byte of a colour picture's samples.

    Decoded again in the other byte order, it keeps the low byte. The colour that a PNG declares transparent is looked
    for in all 16 bits.

    Args:
        file: The open file.

    Raises:
        MetaoptError: The samples are packed in a way that gives no halves.
    """
    Image = require("PIL.Image", "pictures")

    with Image.open(file, formats=_READ) as image:
        profile, hidden = image.info.get("icc_profile"), image.info.pop("transparency", None)
        samples = _samples(image)
    if samples.dtype != np.uint16:
        with Image.open(file, formats=_READ) as image:
            image.info.pop("transparency", None)
            image.tile = [tile._replace(args=_other_byte_order(tile.args)) for tile in image.tile]
            samples = samples.astype(np.uint16) << 8 | _samples(image)
    if hidden is not None:
        planes = np.atleast_3d(samples)
        opaque = (planes != np.asarray(hidden)).any(-1, keepdims=True)
        samples = np.concatenate([planes, np.where(opaque, 65535, 0).astype(np.uint16)], axis=-1)
    return Decoded(samples, profile, 65535)


def _other_byte_order(args: Any) -> Any:
    raw, *rest = [args] if isinstance(args, str) else args
    if ";16" not in raw or "a" in raw:
        raise refuse_samples("unusually packed 16-bit")
    little = raw[-1] == "L" or (raw[-1] == "N" and sys.byteorder == "little")
    raw = raw[:-1] + ("B" if little else "L")
    return raw if isinstance(args, str) else (raw, *rest)


def _read_deep_grey_alpha_png(file: BinaryIO) -> Decoded:
    """Read the file as an 8-bit RGBA picture, which has as many bytes per pixel; Pillow drops none of them."""
    data = bytearray(file.read())
    data[24:26] = bytes([8, PNG_COLOUR_TYPE[4]])
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    samples, profile, _ = read_raster(io.BytesIO(data), bytes(data[:26]))
    return Decoded(samples[..., 0::2].astype(np.uint16) << 8 | samples[..., 1::2], profile, 65535)
