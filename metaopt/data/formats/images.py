"""Read and write image files: PNG, JPEG and TIFF, grey or colour, 8 or 16 bit, of any size."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
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

from ...core.errors import MetaoptError
from ...extras import require
from ...files import replacing

LARGEST = 80_000_000  # pixels; a picture of more is refused

_FILTERS = threading.RLock()  # the filters of warnings are those of all threads, so one at a time changes them
_TOO_LARGE = f"has more than {LARGEST // 10**6} million pixels; make it smaller or cut it into pieces."
_READ = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


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
    are turned upright. 16-bit files keep all their bits.

    Args:
        path: The file.

    Returns:
        The picture.

    Raises:
        MetaoptError: The file is missing, empty, cut short, not an image, has several frames, has samples other than 8
            or 16 bit integers, or has more than ``LARGEST`` pixels; or Pillow or tifffile is not installed.
    """
    path, Image = Path(path), require("PIL.Image", "pictures")
    require("tifffile", "pictures")  # needed to write some files; missing, it is better noticed before long work
    with _opened(path) as file, _named(path), _FILTERS, warnings.catch_warnings():
        Image.init()
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        head = file.read(26)
        file.seek(0)
        samples, profile = _read_tiff(file) if head[:4] in (b"II*\0", b"MM\0*") else _read_other(file, head)
    return _picture(samples, profile)


def check_writable(path: str | os.PathLike[str], picture: Picture | None = None) -> None:
    """Check that :func:`write_image` can write to ``path``, which is best called before long work.

    Args:
        path: The file to write.
        picture: The picture to write, where it is known.

    Raises:
        MetaoptError: The extension is unknown, the folder is missing or cannot be written to, or the format cannot hold
            something that the picture has.
    """
    path = Path(path).resolve()
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
    path = Path(path).resolve()
    _check_picture(picture)
    check_writable(path, picture)
    with replacing(path) as file:
        file.write(_ENCODERS[path.suffix.lower()](picture))


def _check_picture(picture: Picture) -> None:
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
        file = path.open("rb")
    except OSError as error:
        raise MetaoptError(f"{path} cannot be opened ({error.strerror}); check its name and permissions.") from error
    with file:
        if path.is_file() and path.stat().st_size == 0:
            raise MetaoptError(f"{path} is empty (0 bytes); it was probably not saved or copied whole.")
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
        raise MetaoptError(f"{path} {_TOO_LARGE}") from None
    except PIL.UnidentifiedImageError:
        raise MetaoptError(
            f"{path} is not an image that can be read, or not all of it; PNG, JPEG and TIFF are."
        ) from None
    except MemoryError:
        raise MetaoptError(f"{path} does not fit into memory; make it smaller or cut it into pieces.") from None
    except Exception as error:
        raise MetaoptError(f"{path} is damaged or cut short ({error}); copy or save it again.") from error


def _check_frame(width: int, height: int, frames: int) -> None:
    if width < 1 or height < 1:
        raise MetaoptError(f"holds a picture of {width} x {height} pixels; there is nothing to read.")
    if width * height > LARGEST:
        raise MetaoptError(_TOO_LARGE)
    if frames > 1:
        raise MetaoptError(f"holds {frames} pictures (it is animated or has pages); save the one you want by itself.")


def _refuse_samples(kind: str) -> MetaoptError:
    return MetaoptError(f"holds {kind} samples; only whole numbers of 8 or 16 bit are read, so convert it first.")


def _read_other(file: BinaryIO, head: bytes) -> tuple[np.ndarray, bytes | None]:
    Image = require("PIL.Image", "pictures")

    deep_png = head.startswith(_PNG_SIGNATURE) and head[24:25] == b"\x10"
    with Image.open(file, formats=_READ) as image:
        # A camera's JPEG may carry its own preview as a second frame: that is MPO, and its first frame is the picture.
        width, height = image.size
        _check_frame(width, height, 1 if image.format == "MPO" else getattr(image, "n_frames", 1))
        if not deep_png:
            return _samples(image), None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
    file.seek(0)
    return (_read_deep_grey_alpha_png if head[25] == _PNG_COLOUR_TYPE[2] else _read_halves)(file)


def _samples(image: Any) -> np.ndarray:
    """Return the samples of a picture that Pillow holds completely, turned upright."""
    ImageOps = require("PIL.ImageOps", "pictures")

    if image.mode in ("I", "F"):
        raise _refuse_samples("32-bit")
    if not image.mode.startswith("I;16"):
        grey, alpha = image.mode in ("1", "L", "LA", "La"), image.has_transparency_data
        image = image.convert(("L" if grey else "RGB") + ("A" if alpha else ""))
    return np.asarray(ImageOps.exif_transpose(image))


def _read_halves(file: BinaryIO) -> tuple[np.ndarray, bytes | None]:
    """Read 16-bit samples through Pillow, which keeps only the high byte of a colour picture's samples.

    Decoded again in the other byte order, it keeps the low byte.
    """
    Image = require("PIL.Image", "pictures")

    with Image.open(file, formats=_READ) as image:
        profile, high = image.info.get("icc_profile"), _samples(image)
    if high.dtype == np.uint16:
        return high, profile
    with Image.open(file, formats=_READ) as image:
        image.tile = [tile._replace(args=_other_byte_order(tile.args)) for tile in image.tile]
        return high.astype(np.uint16) << 8 | _samples(image), profile


def _other_byte_order(args: Any) -> Any:
    raw, *rest = [args] if isinstance(args, str) else args
    if ";16" not in raw:
        raise _refuse_samples("unusually packed 16-bit")
    little = raw[-1] == "L" or (raw[-1] == "N" and sys.byteorder == "little")
    raw = raw[:-1] + ("B" if little else "L")
    return raw if isinstance(args, str) else (raw, *rest)


def _read_deep_grey_alpha_png(file: BinaryIO) -> tuple[np.ndarray, bytes | None]:
    """Read the file as an 8-bit RGBA picture, which has as many bytes per pixel; Pillow drops none of them."""
    data = bytearray(file.read())
    data[24:26] = bytes([8, _PNG_COLOUR_TYPE[4]])
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    samples, profile = _read_other(io.BytesIO(data), bytes(data[:26]))
    return samples[..., 0::2].astype(np.uint16) << 8 | samples[..., 1::2], profile


def _read_tiff(file: BinaryIO) -> tuple[np.ndarray, bytes | None]:
    tifffile = require("tifffile", "pictures")

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        _check_frame(page.imagewidth, page.imagelength, len(tiff.pages))
        if page.bitspersample > 16 or page.sampleformat not in (None, 1):
            raise _refuse_samples(f"{page.bitspersample}-bit {tifffile.SAMPLEFORMAT(page.sampleformat or 1).name}")
        deep, turned = page.bitspersample == 16, page.tags.valueof("Orientation", default=1) != 1
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        samples = _deep_samples(page) if deep and not turned else None
        profile = page.tags.valueof("InterColorProfile")
    if samples is None:
        file.seek(0)
        samples, profile = _read_halves(file) if deep else _read_other(file, b"")
    return (65535 - samples if deep and inverted else samples), profile


def _deep_samples(page: Any) -> np.ndarray | None:
    """Return a TIFF page's 16-bit samples, or None where tifffile lacks the codec (LZW, which Pillow has)."""
    tifffile = require("tifffile", "pictures")

    if page.photometric.name not in ("MINISBLACK", "MINISWHITE", "RGB") or page.samplesperpixel > 4:
        raise _refuse_samples(f"16-bit {page.photometric.name} of {page.samplesperpixel} channels as")
    try:
        samples = page.asarray()
    except (ValueError, ImportError):
        return None
    planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    samples = np.moveaxis(samples, 0, -1) if planar else samples
    if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        colours, alpha = samples[..., :-1] * 65535.0, samples[..., -1:]
        samples = np.append(
            np.minimum(np.rint(colours / np.maximum(alpha, 1)), 65535).astype(np.uint16), alpha, axis=-1
        )
    return samples


def _picture(samples: np.ndarray, profile: bytes | None) -> Picture:
    """Return the picture of integer samples."""
    scale = np.iinfo(samples.dtype).max
    values = torch.from_numpy(
        np.ascontiguousarray(np.moveaxis(np.atleast_3d(samples), -1, 0)).astype(np.float32) / scale
    )
    colours = 1 if len(values) < 3 else 3
    alpha = values[colours:] if len(values) > colours else None
    return Picture(values[:colours], 8 * samples.dtype.itemsize, alpha, profile)


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
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPE[channels], 0, 0, 0)
    colours = [b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)] if profile else []
    chunks = [b"IHDR" + header, *colours, b"IDAT" + zlib.compress(filtered.tobytes()), b"IEND"]
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return _PNG_SIGNATURE + b"".join(framed)


_ENCODERS = {
    ".png": _encode_png,
    ".jpg": _encode_jpeg,
    ".jpeg": _encode_jpeg,
    ".tif": _encode_tiff,
    ".tiff": _encode_tiff,
}
