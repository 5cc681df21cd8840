"""What a file states of its depth, its transparency, its orientation and its size is heeded, or the file is refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from metaopt.core.errors import MetaoptError
from metaopt.data.formats.images import Picture, check_writable, read_image, write_image


def samples_of(path: Path, white: int = 65535) -> np.ndarray:
    """(H, W, C) of whole numbers, the alpha last."""
    picture = read_image(path)
    planes = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha])
    return np.rint(planes.double().numpy() * white).astype(int).transpose(1, 2, 0)


def random(*shape: int, stop: int = 2**16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, stop, shape).astype(np.uint8 if stop == 256 else np.uint16)


def write_tiff(path: Path, samples: np.ndarray, **options: Any) -> None:
    tifffile.imwrite(path, samples, **options)


def tiff_of(
    samples: bytes, shape: tuple[int, int], bits: int, *tags: tuple[int, int, int], deflate: bool = False
) -> bytes:
    """A little-endian grey TIFF of one strip, written by hand; a tag is (number, type, value)."""
    data = zlib.compress(samples) if deflate else samples
    given = {tag for tag, _, _ in tags}
    fields = [(256, 3, shape[1]), (257, 3, shape[0]), (258, 3, bits), (259, 3, 8 if deflate else 1), (262, 3, 1)]
    fields += [(273, 4, 0), (277, 3, 1), (278, 3, shape[0]), (279, 4, len(data))]
    fields = sorted([f for f in fields if f[0] not in given] + list(tags))
    start = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(struct.pack("<HHII", t, kind, 1, start if t == 273 else v) for t, kind, v in fields)
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + entries + bytes(4) + data


def packed(samples: np.ndarray) -> bytes:
    """12 bits each, the high ones first; every row begins a byte."""
    bits = (samples[..., None] >> np.arange(11, -1, -1) & 1).reshape(len(samples), -1).astype(np.uint8)
    return np.packbits(bits, axis=1).tobytes()


@pytest.mark.parametrize("deflate", [False, True])
def test_a_packed_12_bit_tiff_is_as_bright_as_it_says(tmp_path: Path, deflate: bool) -> None:
    samples = random(5, 7, stop=4096)
    (tmp_path / "a.tif").write_bytes(tiff_of(packed(samples), (5, 7), 12, deflate=deflate))
    assert read_image(tmp_path / "a.tif").bits == 16
    assert np.array_equal(samples_of(tmp_path / "a.tif", 4095)[..., 0], samples)


@pytest.mark.parametrize("depth", [10, 12, 14])
def test_a_depth_that_is_stated_beside_16_bits_is_white(tmp_path: Path, depth: int) -> None:
    white = 2**depth - 1
    samples = random(5, 7, stop=white + 1)
    (tmp_path / "a.tif").write_bytes(tiff_of(samples.astype("<u2").tobytes(), (5, 7), 16, (281, 3, white)))
    assert np.array_equal(samples_of(tmp_path / "a.tif", white)[..., 0], samples)


def test_without_a_stated_depth_16_bits_are_16_bits_however_dark(tmp_path: Path) -> None:
    """The largest value of a picture, which some programs store as MaxSampleValue, is no depth."""
    samples = random(5, 7, stop=1000)
    for tags in ((), ((281, 3, int(samples.max())),)):
        (tmp_path / "a.tif").write_bytes(tiff_of(samples.astype("<u2").tobytes(), (5, 7), 16, *tags))
        assert np.array_equal(samples_of(tmp_path / "a.tif")[..., 0], samples)


@pytest.mark.parametrize("bits", [9, 10, 14])
def test_packed_depths_that_nothing_decodes_are_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_of(bytes(200), (5, 7), bits))
    with pytest.raises(MetaoptError, match=f"{bits}-bit, packed"):
        read_image(tmp_path / "a.tif")


LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "big endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib"},
    "tiles": {"tile": (16, 16)},
    "turned": {"extratags": [(274, 3, 1, 6, True)]},
}


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("kind", ["grey", "white is zero", "colour", "grey and alpha", "colour and alpha"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiffs_of_8_and_16_bits_keep_every_sample(tmp_path: Path, layout: str, kind: str, big: bool) -> None:
    channels = {"colour": 3, "grey and alpha": 2, "colour and alpha": 4}.get(kind, 1)
    options: dict[str, Any] = {"photometric": "rgb" if "colour" in kind else "minisblack", **LAYOUTS[layout]}
    options |= {"photometric": "miniswhite"} if kind == "white is zero" else {}
    options |= {"extrasamples": ["unassalpha"]} if "alpha" in kind else {}
    options |= {"planarconfig": "contig"} if channels > 1 else {}
    for stop in (256, 65536):
        samples = random(33, 21, channels, stop=stop)
        write_tiff(tmp_path / "a.tif", samples if channels > 1 else samples[..., 0], bigtiff=big, **options)
        expected = stop - 1 - samples.astype(int) if kind == "white is zero" else samples
        expected = np.rot90(expected, -1) if layout == "turned" else expected
        assert np.array_equal(samples_of(tmp_path / "a.tif", stop - 1), expected)


ORIENTED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.fliplr(np.rot90(a, -1)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.flipud(np.rot90(a, -1)),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTED)
def test_pictures_are_turned_upright_in_every_format(tmp_path: Path, orientation: int) -> None:
    exif, deep, flat = Image.Exif(), random(5, 7, 3), random(5, 7, 4, stop=256)
    exif[274] = orientation
    write_tiff(tmp_path / "a.tif", deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(samples_of(tmp_path / "a.tif"), ORIENTED[orientation](deep))
    Image.fromarray(flat).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(samples_of(tmp_path / "a.png", 255), ORIENTED[orientation](flat))


def with_chunk(path: Path, kind: bytes, content: bytes) -> None:
    """Insert a chunk after the header of a PNG."""
    data = path.read_bytes()
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    path.write_bytes(data[:33] + chunk + data[33:])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_colour_that_a_16_bit_png_declares_transparent_is_so_in_all_bits(tmp_path: Path, channels: int) -> None:
    samples = random(6, 5, channels)
    samples[2, 3], samples[4, 4] = samples[0, 0], samples[0, 0] ^ 1  # the last differs in its low byte
    write_image(tmp_path / "a.png", Picture(torch.from_numpy(samples.transpose(2, 0, 1) / 65535).float(), 16))
    with_chunk(tmp_path / "a.png", b"tRNS", samples[0, 0].astype(">u2").tobytes())
    found = samples_of(tmp_path / "a.png")
    assert np.array_equal(found[..., :channels], samples)
    assert [tuple(place) for place in np.argwhere(found[..., channels] == 0)] == [(0, 0), (2, 3)]


def test_transparent_entries_of_palettes_greys_and_bits_are_an_alpha(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png", transparency=bytes([255, 0]))
    assert samples_of(tmp_path / "p.png", 255).tolist() == [
        [[255, 0, 0, 255], [0, 0, 255, 0]],
        [[0, 0, 255, 0], [255, 0, 0, 255]],
    ]
    Image.fromarray(np.array([[0, 9]], np.uint8)).save(tmp_path / "l.png", transparency=9)
    assert samples_of(tmp_path / "l.png", 255).tolist() == [[[0, 255], [9, 0]]]
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "1.png", transparency=1)
    assert samples_of(tmp_path / "1.png", 255).tolist() == [[[0, 255], [255, 0]]]


def test_colours_multiplied_by_the_alpha_are_divided_again(tmp_path: Path) -> None:
    alpha = np.full((3, 4, 1), 32768, np.uint16)
    half = np.append(np.full((3, 4, 3), 16384, np.uint16), alpha, axis=-1)
    for options in ({}, {"extratags": [(274, 3, 1, 3, True)]}):
        write_tiff(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["assocalpha"], **options)
        assert np.abs(samples_of(tmp_path / "a.tif") - [32768, 32768, 32768, 32768]).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra", [["unspecified"], ["unassalpha", "unspecified"]], ids=len)
def test_a_channel_without_a_meaning_is_refused(tmp_path: Path, dtype: Any, extra: list[str]) -> None:
    samples, options = np.ones((4, 5, 3 + len(extra)), dtype), {"planarconfig": "contig", "extrasamples": extra}
    write_tiff(tmp_path / "a.tif", samples, photometric="rgb", **options)
    with pytest.raises(MetaoptError, match="does not say what the last means"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int32, np.uint32, np.int8])
def test_samples_without_a_white_are_refused(tmp_path: Path, dtype: Any) -> None:
    for big in (False, True):
        write_tiff(tmp_path / "a.tif", np.ones((4, 5), dtype), bigtiff=big)
        with pytest.raises(MetaoptError, match="samples; only whole numbers of 8 or 16 bit are read"):
            read_image(tmp_path / "a.tif")


def flat_png(path: Path) -> None:
    """8,000 x 9,000 black pixels in 70 kB."""
    Image.new("L", (9_000, 8_000)).save(path, "PNG")


def swollen_tiff(path: Path) -> None:
    """10 x 10 pixels, whose strip inflates to 60 MB."""
    path.write_bytes(tiff_of(bytes(60_000_000), (10, 10), 16, deflate=True))


def promised_tiff(path: Path) -> None:
    """8,000 x 9,000 pixels, of which 200 bytes are there."""
    path.write_bytes(tiff_of(bytes(200), (8_000, 9_000), 16))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (flat_png, "bytes but claims 9000 x 8000 pixels, 72 MB"),
        (swollen_tiff, "holds more than its header says"),
        (promised_tiff, "bytes but claims 9000 x 8000 pixels, 144 MB"),
    ],
)
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "a")
    tracemalloc.start()
    try:
        with pytest.raises(MetaoptError, match=words):
            read_image(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", [None, 3, ["a.png"], b"a.png", "a\0.png"])
def test_what_is_no_path_is_a_sentence(path: Any) -> None:
    for call in (read_image, check_writable, lambda p: write_image(p, Picture(torch.zeros(1, 2, 2)))):
        with pytest.raises(MetaoptError, match="An image file is named by a path"):
            call(path)


BYTES: Any = torch.zeros(1, 2, 2, dtype=torch.uint8)


NO_PICTURES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "a tensor": lambda: BYTES,
    "an array": lambda: Picture(BYTES.numpy()),  # type: ignore[arg-type]
    "bytes": lambda: Picture(BYTES),
    "an alpha of bytes": lambda: Picture(BYTES / 1, 8, BYTES),
}


@pytest.mark.parametrize("make", NO_PICTURES.values(), ids=NO_PICTURES.keys())
def test_what_is_no_picture_is_a_sentence(tmp_path: Path, make: Callable[[], Any]) -> None:
    with pytest.raises(MetaoptError, match=r"(must be|needs) .*, but got"):
        write_image(tmp_path / "a.png", make())
