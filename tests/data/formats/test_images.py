"""Pictures survive the way through a file, and a bad file or place is named in a sentence."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from metaopt.core.errors import MetaoptError
from metaopt.data.formats.images import LARGEST, Picture, check_writable, read_image, write_image


def drawn(channels: int, height: int, width: int, bits: int, seed: int = 0) -> torch.Tensor:
    """A random picture whose values a file of so many bits holds exactly."""
    most = 2**bits - 1
    values = torch.randint(0, most + 1, (channels, height, width), generator=torch.Generator().manual_seed(seed))
    return (values.double() / most).float()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extension=st.sampled_from([".png", ".tif", ".TIFF"]),
    bits=st.sampled_from([8, 16]),
    channels=st.sampled_from([1, 3]),
    has_alpha=st.booleans(),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**31),
)
def test_what_is_written_is_read_back_exactly(
    tmp_path: Path, extension: str, bits: int, channels: int, has_alpha: bool, height: int, width: int, seed: int
) -> None:
    alpha = drawn(1, height, width, bits, seed + 1) if has_alpha else None
    picture = Picture(drawn(channels, height, width, bits, seed), bits, alpha, b"a profile")
    write_image(tmp_path / f"a{extension}", picture)
    back = read_image(tmp_path / f"a{extension}")
    assert torch.equal(back.pixels, picture.pixels)
    assert back.pixels.dtype == torch.float32
    assert back.bits == bits
    assert back.profile == b"a profile"
    assert back.alpha is None if alpha is None else torch.equal(back.alpha, alpha)
    assert sorted(os.listdir(tmp_path))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_comes_back_nearly(tmp_path: Path, channels: int) -> None:
    ramp = torch.linspace(0, 1, 64).expand(channels, 48, 64).clone()
    write_image(tmp_path / "a.jpg", Picture(ramp, bits=16))
    back = read_image(tmp_path / "a.jpg")
    assert back.bits == 8
    assert (back.pixels - ramp).abs().max() < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_tifffile_reads_what_we_write(tmp_path: Path, channels: int) -> None:
    """An independent reader, for both could be wrong in the same way."""
    pixels = drawn(channels, 5, 7, 16)
    write_image(tmp_path / "a.tif", Picture(pixels, 16))
    seen = np.moveaxis(np.atleast_3d(tifffile.imread(tmp_path / "a.tif")), -1, 0)
    assert seen.dtype == np.uint16
    assert np.array_equal(seen, np.rint(pixels.double().numpy() * 65535))


def test_pillow_reads_the_high_bytes_of_our_16_bit_png(tmp_path: Path) -> None:
    pixels = drawn(3, 5, 7, 16)
    write_image(tmp_path / "a.png", Picture(pixels, 16))
    seen = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.array_equal(seen, np.rint(pixels.double().numpy() * 65535).astype(np.uint16).transpose(1, 2, 0) >> 8)


ORDINARY = {"photometric": "rgb"}
DEEP_TIFFS = {
    "big endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib"},
    "channel by channel": {"planarconfig": "separate"},
    "turned": {"extratags": [(274, 3, 1, 6, True)]},
    "turned, deflate": {"extratags": [(274, 3, 1, 6, True)], "compression": "zlib"},
}


@pytest.mark.parametrize("name", DEEP_TIFFS)
def test_16_bit_tiffs_keep_all_their_bits(tmp_path: Path, name: str) -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3)).astype(np.uint16)
    planar = name == "channel by channel"
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(samples, -1, 0) if planar else samples, **ORDINARY | DEEP_TIFFS[name]
    )
    expected = np.rot90(samples, -1) if "turned" in name else samples
    assert np.array_equal(np.rint(read_image(tmp_path / "a.tif").pixels.numpy() * 65535).transpose(1, 2, 0), expected)


def test_16_bit_lzw_tiff_keeps_all_its_bits(tmp_path: Path) -> None:
    """Photoshop's usual kind, which tifffile alone cannot decode."""
    samples = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3)).astype("<u2")
    (tmp_path / "a.tif").write_bytes(lzw_tiff(samples))
    assert np.array_equal(np.rint(read_image(tmp_path / "a.tif").pixels.numpy() * 65535).transpose(1, 2, 0), samples)


def lzw_tiff(samples: np.ndarray) -> bytes:
    """A TIFF in LZW without repetitions: each byte its own 9-bit code, 256 to begin anew, 257 to end."""
    height, width, channels = samples.shape
    data = samples.tobytes()
    codes = [code for at in range(0, len(data), 200) for code in (256, *data[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    packed = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    after = 8 + 2 + 12 * 9 + 4
    tags = [(256, 1, width), (257, 1, height), (258, 3, after), (259, 1, 5), (262, 1, 2), (273, 1, after + 6)]
    tags += [(277, 1, channels), (278, 1, height), (279, 1, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 3 if tag == 258 else 4, n, value) for tag, n, value in tags)
    depths = struct.pack("<HHH", 16, 16, 16)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + depths + packed


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_tiffs_are_not_negatives(tmp_path: Path, bits: int) -> None:
    samples = np.zeros((4, 6), np.uint16 if bits == 16 else np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="miniswhite")
    assert torch.equal(read_image(tmp_path / "a.tif").pixels, torch.ones(1, 4, 6))


def test_kinds_of_pictures_become_grey_or_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    red.quantize(4).save(tmp_path / "palette.png")
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif", icc_profile=b"for ink")
    Image.new("1", (3, 2), 1).save(tmp_path / "bit.png")
    for name in ("palette.png", "cmyk.tif"):
        assert torch.equal(read_image(tmp_path / name).pixels[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    assert read_image(tmp_path / "cmyk.tif").profile is None
    assert torch.equal(read_image(tmp_path / "bit.png").pixels, torch.ones(1, 2, 3))


def test_a_turned_photograph_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("L", (48, 32)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").pixels.shape == (1, 48, 32)


def test_a_camera_preview_beside_the_picture_is_no_animation(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
    assert read_image(tmp_path / "a.jpg").pixels.shape == (1, 8, 8)


def make_text(path: Path) -> None:
    path.write_text("no picture at all, but a longer text")


def make_animation(path: Path) -> None:
    Image.new("L", (5, 5)).save(path, "GIF", save_all=True, append_images=[Image.new("L", (5, 5), 255)])


def make_pages(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((3, 20, 20), np.uint8), photometric="minisblack")


def make_floats(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((20, 20), np.float32))


def make_huge(path: Path) -> None:
    side = int(LARGEST**0.5) + 1
    Image.new("1", (side, side)).save(path, "PNG")


def make_bomb(path: Path) -> None:
    """Its header promises 10^10 pixels and nothing follows."""
    Image.new("1", (1, 1)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    path.write_bytes(data)


BAD_FILES = {
    "missing": (lambda path: None, "No such file"),
    "folder": (Path.mkdir, "is a folder"),
    "empty": (Path.touch, "is empty"),
    "text": (make_text, "is not an image"),
    "animation": (make_animation, "2 pictures"),
    "pages": (make_pages, "3 pictures"),
    "floats": (make_floats, "32-bit IEEEFP"),
    "huge": (make_huge, "million pixels"),
    "bomb": (make_bomb, "cut short|million pixels|not an image"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, cause = BAD_FILES[name]
    make(tmp_path / "bad.png")
    with pytest.raises(MetaoptError, match=cause) as caught:
        read_image(tmp_path / "bad.png")
    assert str(tmp_path / "bad.png") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, extension: str, bits: int) -> None:
    write_image(tmp_path / f"whole{extension}", Picture(drawn(3, 20, 30, bits), bits))
    data = (tmp_path / f"whole{extension}").read_bytes()
    for kept in (1, 5, 20, 60, len(data) // 2, len(data) - 40):
        (tmp_path / f"cut{extension}").write_bytes(data[:kept])
        with pytest.raises(MetaoptError, match=r"cut short|not all of it"):
            read_image(tmp_path / f"cut{extension}")


def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, cause in {
        "a.xyz": r"\.png, \.jpg, \.jpeg, \.tif, \.tiff",
        "a": r"\.png, \.jpg",
        "folder.png": "is a folder",
        "none/a.png": "does not exist",
    }.items():
        with pytest.raises(MetaoptError, match=cause):
            check_writable(tmp_path / name)
    check_writable(tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["folder.png"]


def test_a_read_only_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    """Root may write to any folder but those of the kernel."""
    tmp_path.chmod(0o500)
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    with pytest.raises(MetaoptError, match="cannot be written"):
        check_writable(folder / "a.png")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """The system's limit on the size of a file stands in for the disk's end."""
    write_image(tmp_path / "a.png", Picture(drawn(1, 4, 4, 8)))
    before = (tmp_path / "a.png").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MetaoptError, match="cannot be written"):
            write_image(tmp_path / "a.png", Picture(drawn(3, 100, 100, 8)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_malformed_picture_is_not_written(tmp_path: Path) -> None:
    grey = torch.rand(1, 4, 5)
    for picture, cause in (
        (Picture(torch.rand(2, 4, 5)), r"\(2, 4, 5\)"),
        (Picture(grey, bits=12), "not 12"),
        (Picture(grey * torch.nan), "NaN"),
        (Picture(grey, alpha=torch.rand(1, 4, 4)), r"\(1, 4, 4\)"),
    ):
        with pytest.raises(MetaoptError, match=cause):
            write_image(tmp_path / "a.png", picture)
    with pytest.raises(MetaoptError, match="no transparency"):
        write_image(tmp_path / "a.jpg", Picture(grey, alpha=grey))
    assert not os.listdir(tmp_path)


def test_values_outside_the_range_are_clipped(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Picture(torch.tensor([[[-0.5, 0.0, 1.0, 7.0]]])))
    assert read_image(tmp_path / "a.png").pixels.flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(MetaoptError, match="is a pipe"):
        read_image(tmp_path / "a.png")
