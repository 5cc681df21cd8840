"""Read and write image files: PNG, JPEG and TIFF, grey or colour, 8 or 16 bit, of any size."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_instance, check_tensor, said
from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import open_input, replacing
from ...foundation.extras import require
from .raster import LARGEST, PNG_COLOUR_TYPE, PNG_SIGNATURE, TOO_LARGE, Decoded, read_raster
from .tiff import TIFF_SIGNATURES, read_tiff

__all__ = ["LARGEST", "Picture", "check_writable", "read_image", "write_image"]

_FILTERS = threading.RLock()  # the filters of warnings are those of all threads, so one at a time changes them


@checked
@dataclass(frozen=True)
class Picture:
    """Hold the content of an image file.

    Args:
        pixels: (C, H, W) float32 in [0, 1]; C is 1 for grey and 3 for colour (red, green, blue).
        bits: Bits of one sample in the file, 8 or 16.
        alpha: The opacity, (1, H, W) float32 in [0, 1], or None. It is written back unchanged.
        profile: The ICC colour profile of the pixels, or None for the usual one (sRGB).
    """

    pixels: Tensor
    bits: int = 8
    alpha: Tensor | None = None
    profile: bytes | None = None


def read_image(path: str | os.PathLike[str]) -> Picture:
    """Read an image file.

    Palette and CMYK pictures are converted to RGB, 1-bit pictures to grey. Pictures that the camera marked as turned
    are turned upright. White is the largest number that the file's stated depth can hold (BitsPerSample; of a TIFF with
    16 bits MaxSampleValue too, where it is that of 9 to 15 bits), whatever values it has; 9 to 16 bits are kept as 16.

    Args:
        path: The file.

    Returns:
        The picture.

    Raises:
        MetaoptError: The file is missing, empty, cut short, not an image, has several frames, has samples other than
            whole numbers of at most 16 bits, has more than ``LARGEST`` pixels, or is suspiciously small for its
            contents; or Pillow or tifffile is not installed.
    """
    path, Image = _path(path), require("PIL.Image", "pictures")
    require("tifffile", "pictures")  # needed to write some files; missing, it is better noticed before long work
    if not (logger := logging.getLogger("tifffile")).handlers:
        logger.addHandler(logging.NullHandler())  # or what it logs of damaged files goes to standard error
    with _opened(path) as file, _named(path), _FILTERS, warnings.catch_warnings():
        Image.init()
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        head = file.read(26)
        file.seek(0)
        decoded = read_tiff(file) if head[:4] in TIFF_SIGNATURES else read_raster(file, head)
    with _named(path):
        return _picture(decoded)


def check_writable(path: str | os.PathLike[str], picture: Picture | None = None) -> None:
    """Check that :func:`write_image` can write to ``path``, which is best called before long work.

    Args:
        path: The file to write.
        picture: The picture to write, where it is known.

    Raises:
        MetaoptError: The extension is unknown, the folder is missing or cannot be written to, or the format cannot hold
            something that the picture has.
    """
    path = _path(path).resolve()
    if picture is not None:
        check_instance("A picture to write", picture, Picture, "read_image gives one")
    if path.suffix.lower() not in _ENCODERS:
        raise MetaoptError(f"{path} does not say a format that can be written; end it in {', '.join(_ENCODERS)}.")
    if picture is not None and picture.alpha is not None and _ENCODERS[path.suffix.lower()] is _encode_jpeg:
        raise MetaoptError(f"{path} is a JPEG, which holds no transparency, but the picture has some; write a .png.")
    if path.is_dir():
        raise MetaoptError(f"{path} is a folder; give the name of a file to write.")
    if not path.parent.is_dir():
        raise MetaoptError(f"The folder {path.parent} does not exist; make it first, or write elsewhere.")
    with replacing(path, keep=False):
        pass


def write_image(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture in the format of the file's extension; the file appears complete or not at all.

    PNG and TIFF hold 8 or 16 bit, as ``picture.bits`` says, and JPEG 8 bit. Values outside [0, 1] are clipped.

    Args:
        path: The file to write.
        picture: The picture.

    Raises:
        MetaoptError: As for :func:`check_writable`; the disk is full, or the picture is malformed or not finite.
    """
    path = _path(path).resolve()
    _check_picture(picture)
    check_writable(path, picture)
    with replacing(path) as file:
        file.write(_ENCODERS[path.suffix.lower()](picture))


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or "\0" in str(path):
        raise MetaoptError(f"An image file is named by a path, not by {said(path)}.")
    return Path(path)


def _check_picture(picture: Picture) -> None:
    check_instance("A picture to write", picture, Picture, "read_image gives one")
    check_tensor("The pixels of a picture", picture.pixels)
    if picture.alpha is not None:
        check_tensor("The alpha of a picture", picture.alpha)
    shape = tuple(picture.pixels.shape)
    if len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
        raise MetaoptError(f"A picture's pixels are (1 or 3, H, W), but these are {shape}.")
    if picture.bits not in (8, 16):
        raise MetaoptError(f"A picture has 8 or 16 bits, not {picture.bits}.")
    if picture.alpha is not None and tuple(picture.alpha.shape) != (1, *shape[1:]):
        raise MetaoptError(f"The alpha of a picture {shape} is {(1, *shape[1:])}, not {tuple(picture.alpha.shape)}.")
    if not torch.isfinite(picture.pixels).all():
        raise MetaoptError("The picture has NaN or infinite values, so it was not written; look at what made it.")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise MetaoptError(f"{path} is a folder, not an image file; name a file in it.")
    try:
        file = open_input(path)
    except OSError as error:
        raise MetaoptError(f"{path} cannot be opened ({error.strerror}); check its name and permissions.") from error
    with file:
        if path.is_file() and path.stat().st_size == 0:
            raise MetaoptError(f"{path} is empty (0 bytes); it was probably not saved or copied whole.")
        if not file.seekable():
            raise MetaoptError(f"{path} is a pipe, in which nothing can be looked at twice; write it to a file first.")
        yield file


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the exceptions of decoders, which may be of any type on a damaged file, into sentences about ``path``."""
    PIL, Image = require("PIL", "pictures"), require("PIL.Image", "pictures")

    try:
        yield
    except MetaoptError as error:
        raise MetaoptError(f"{path} {error}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise MetaoptError(f"{path} {TOO_LARGE}") from None
    except PIL.UnidentifiedImageError:
        raise MetaoptError(
            f"{path} is not an image that can be read, or not all of it; PNG, JPEG and TIFF are."
        ) from None
    except MemoryError:
        raise MetaoptError(f"{path} does not fit into memory; make it smaller or cut it into pieces.") from None
    except Exception as error:
        raise MetaoptError(f"{path} is damaged or cut short ({error}); copy or save it again.") from error


def _picture(decoded: Decoded) -> Picture:
    """Return the picture of integer samples, one channel after the other, since large pictures fill the memory."""
    samples = np.atleast_3d(decoded.samples)
    values = torch.empty(samples.shape[2], *samples.shape[:2])
    for channel, plane in enumerate(values):
        plane.copy_(torch.from_numpy(samples[..., channel].astype(np.float32)))
    values = values.div_(decoded.white).clamp_(0, 1)
    colours = 1 if len(values) < 3 else 3
    alpha = values[colours:] if len(values) > colours else None
    return Picture(values[:colours], 8 if decoded.white < 256 else 16, alpha, decoded.profile)


def _whole_numbers(picture: Picture, bits: int) -> np.ndarray:
    """(H, W) or (H, W, C) uint8 or uint16, the alpha last."""
    planes = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha.to(picture.pixels)])
    scaled = planes.detach().cpu().double().clamp(0, 1).mul(2**bits - 1).round().permute(1, 2, 0)
    samples = np.ascontiguousarray(scaled.numpy().astype(np.uint16 if bits == 16 else np.uint8))
    return samples[..., 0] if samples.shape[-1] == 1 else samples


def _encode_png(picture: Picture) -> bytes:
    return _deep_png(_whole_numbers(picture, 16), picture.profile) if picture.bits == 16 else _encoded(picture, "PNG")


def _encode_jpeg(picture: Picture) -> bytes:
    return _encoded(picture, "JPEG", quality=95, subsampling=0)


def _encoded(picture: Picture, kind: str, **options: Any) -> bytes:
    Image = require("PIL.Image", "pictures")

    buffer = io.BytesIO()
    Image.fromarray(_whole_numbers(picture, 8)).save(buffer, kind, icc_profile=picture.profile, **options)
    return buffer.getvalue()


def _encode_tiff(picture: Picture) -> bytes:
    tifffile = require("tifffile", "pictures")

    samples, buffer = _whole_numbers(picture, picture.bits), io.BytesIO()
    layout = {"photometric": "rgb" if len(picture.pixels) == 3 else "minisblack"}
    layout |= {"planarconfig": "contig"} if samples.ndim == 3 else {}
    layout |= {"extrasamples": ["unassalpha"]} if picture.alpha is not None else {}
    tifffile.imwrite(buffer, samples, compression="zlib", iccprofile=picture.profile, metadata=None, **layout)
    return buffer.getvalue()


def _deep_png(samples: np.ndarray, profile: bytes | None) -> bytes:
    """Encode uint16 samples as PNG, each row as its difference to the one above (PNG filter 2).

    Pillow cannot write 16-bit colour. The format: https://www.w3.org/TR/png-3/.
    """
    height, width, channels = *samples.shape[:2], 1 if samples.ndim == 2 else samples.shape[2]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOUR_TYPE[channels], 0, 0, 0)
    colours = [b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)] if profile else []
    chunks = [b"IHDR" + header, *colours, b"IDAT" + zlib.compress(filtered.tobytes()), b"IEND"]
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return PNG_SIGNATURE + b"".join(framed)


_ENCODERS = {
    ".png": _encode_png,
    ".jpg": _encode_jpeg,
    ".jpeg": _encode_jpeg,
    ".tif": _encode_tiff,
    ".tiff": _encode_tiff,
}
