"""Transparency is what the standard of the format says: an alpha, a colour, entries of a palette, or a factor."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaopt.core.errors import MetaoptError
from metaopt.data.formats.images import read_image

from .test_image_depths import random, samples_of, write_tiff

GREY, COLOUR, PALETTE = 0, 2, 3  # colour types of PNG


def png_of(samples: np.ndarray, bits: int, kind: int, **chunks: bytes) -> bytes:
    """A PNG of the samples (H, W, C), written by hand without a filter."""

    def chunk(name: str, content: bytes) -> bytes:
        data = name.encode() + content
        return struct.pack(">I", len(content)) + data + struct.pack(">I", zlib.crc32(data))

    height, width = samples.shape[:2]
    binary = (samples.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1) & 1).reshape(height, -1).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(binary, axis=1))
    head = chunk("IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    rest = [chunk(name, content) for name, content in chunks.items()]
    return b"".join([b"\x89PNG\r\n\x1a\n", head, *rest, chunk("IDAT", zlib.compress(rows)), chunk("IEND", b"")])


@pytest.mark.parametrize(("bits", "above"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (2, 1), (4, 1), (8, 1)])
def test_the_grey_that_a_png_declares_transparent_is_one_of_its_depth(tmp_path: Path, bits: int, above: int) -> None:
    white, samples = 2**bits - 1, random(6, 7, 1, stop=2**16) >> (16 - bits)
    for grey in {0, 1, int(samples[2, 2, 0]), white}:
        value = struct.pack(">H", grey + (above << bits))  # of which the standard takes the lower bits
        (tmp_path / "a.png").write_bytes(png_of(samples, bits, GREY, tRNS=value))
        wanted = np.append(samples, np.where(samples == grey, 0, white), axis=-1)
        assert np.array_equal(samples_of(tmp_path / "a.png", white), wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_colour_that_a_png_declares_transparent_is_one_in_all_channels(tmp_path: Path, bits: int) -> None:
    white, samples = 2**bits - 1, random(6, 7, 3) >> (16 - bits)
    samples[2, 3], samples[4, 4] = samples[0, 0], samples[0, 0] ^ 1
    (tmp_path / "a.png").write_bytes(png_of(samples, bits, COLOUR, tRNS=samples[0, 0].astype(">u2").tobytes()))
    found = samples_of(tmp_path / "a.png", white)
    assert np.array_equal(found[..., :3], samples)
    assert [tuple(place) for place in np.argwhere(found[..., 3] != white)] == [(0, 0), (2, 3)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_entries_of_a_palette_are_as_opaque_as_they_say_and_the_rest_wholly(
    tmp_path: Path, bits: int, part: float
) -> None:
    count, samples = 2**bits, random(6, 7) >> (16 - bits)
    entries = random(count, 4, stop=256)
    given = max(1, int(part * count))
    entries[given:, 3] = 255
    chunks = {"PLTE": entries[:, :3].tobytes(), "tRNS": entries[:given, 3].tobytes()}
    (tmp_path / "a.png").write_bytes(png_of(samples, bits, PALETTE, **chunks))
    assert np.array_equal(samples_of(tmp_path / "a.png", 255), entries[samples])


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"compression": "zlib"}], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
def test_colours_multiplied_by_the_alpha_are_divided_in_the_depth_that_the_file_states(
    tmp_path: Path, white: int, channels: int, options: dict[str, Any]
) -> None:
    alpha = np.linspace(0, white, 42).round().astype(int).reshape(6, 7, 1)
    stored = np.append(random(6, 7, channels) % (alpha + 1), alpha, axis=-1)
    stored[5, 5, 0] = stored[5, 5, -1] + 1  # brighter than white, which some programs write
    wanted = stored.astype(float)
    wanted[..., :-1] = (wanted[..., :-1] * white / alpha.clip(1)).clip(max=white)
    layout = {"planarconfig": "contig", "photometric": "rgb" if channels == 3 else "minisblack", **options}
    if white in (1023, 4095):
        layout["extratags"] = [(281, 3, channels + 1, (white,) * (channels + 1), True)]
    stored = stored.astype(np.uint8 if white == 255 else np.uint16)
    planes = np.moveaxis(stored, -1, 0) if "planarconfig" in options else stored
    write_tiff(tmp_path / "a.tif", planes, extrasamples=["assocalpha"], **layout)
    found = samples_of(tmp_path / "a.tif", white)
    assert found.shape == wanted.shape and np.abs(found - wanted).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whether_white_is_0_before_or_after_the_factor_is_not_guessed(tmp_path: Path, dtype: Any) -> None:
    options: dict[str, Any] = {"photometric": "miniswhite", "planarconfig": "contig"}
    write_tiff(tmp_path / "a.tif", np.ones((4, 5, 2), dtype), extrasamples=["assocalpha"], **options)
    with pytest.raises(MetaoptError, match="multiplied by its transparency, with white as 0; save it with black as 0"):
        read_image(tmp_path / "a.tif")
    write_tiff(tmp_path / "a.tif", np.ones((4, 5, 2), dtype), extrasamples=["unassalpha"], **options)
    white = np.iinfo(dtype).max
    assert (samples_of(tmp_path / "a.tif", white) == [white - 1, 1]).all()
