"""Pictures of the sky keep their place: what astropy says of a pixel is what the picture's convention says of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.data import SkyPicture, read_sky_picture, write_sky_picture

from ...real_data import real_data

fits = pytest.importorskip("astropy.io.fits")
wcs = pytest.importorskip("astropy.wcs")
CELL = math.radians(2.0 / 3600)
FREQUENCY = torch.tensor([1.4e9, 1.3e9, 1.2e9], dtype=torch.float64)


def picture(height: int = 7, width: int = 10) -> SkyPicture:
    pixels = torch.arange(3 * height * width, dtype=torch.float64).reshape(3, height, width)
    return SkyPicture(pixels, CELL, (1.0, -0.5), FREQUENCY, "JY/BEAM", (4e-5, 3e-5, 0.3))


def same(a: SkyPicture, b: SkyPicture) -> None:
    torch.testing.assert_close(a.pixels, b.pixels)
    assert a.cell == pytest.approx(b.cell)
    assert a.direction == pytest.approx(b.direction)


def header(**changes: Any) -> Any:
    made = fits.Header()
    entries = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -0.001, "CDELT2": 0.001, "CRPIX1": 6.0}
    entries |= {"CRPIX2": 4.0, "CRVAL1": 50.0, "CRVAL2": -30.0, "BUNIT": "JY/PIXEL", **changes}
    for key, value in entries.items():
        if value is not None:
            made[key] = value
    return made


def stored(folder: Path, array: np.ndarray, **changes: Any) -> Path:
    path = folder / "a.fits"
    fits.writeto(path, array, header(**changes), overwrite=True)
    return path


@pytest.mark.parametrize("shape", [(7, 10), (6, 5)], ids=str)
def test_pictures_read_back_as_they_were_written(shape: tuple[int, int], tmp_path: Path) -> None:
    sent = picture(*shape)
    write_sky_picture(tmp_path / "a.fits", sent)
    found = read_sky_picture(tmp_path / "a.fits")
    same(found, sent)
    assert torch.equal(found.frequency, FREQUENCY)
    assert (found.unit, found.beam) == ("JY/BEAM", pytest.approx(sent.beam))


def test_astropy_finds_each_pixel_where_the_convention_puts_it(tmp_path: Path) -> None:
    sent = picture()
    write_sky_picture(tmp_path / "a.fits", sent)
    sky = wcs.WCS(fits.getheader(tmp_path / "a.fits")).celestial
    for row, column in ((3, 5), (6, 0), (0, 9)):
        right, declination = np.radians(sky.wcs_pix2world([[column, row]], 0)[0])
        m, l = (row - 3) * CELL, -(column - 5) * CELL  # noqa: E741
        offset = right - 1.0
        assert math.cos(declination) * math.sin(offset) == pytest.approx(l, abs=1e-12)
        north = math.sin(declination) * math.cos(-0.5) - math.cos(declination) * math.sin(-0.5) * math.cos(offset)
        assert north == pytest.approx(m, abs=1e-12)


def test_flipped_and_permuted_axes_give_the_same_picture(tmp_path: Path) -> None:
    array = np.arange(70.0).reshape(7, 10)
    plain = read_sky_picture(stored(tmp_path, array))
    assert torch.equal(plain.pixels[0], torch.from_numpy(array))
    assert plain.direction == pytest.approx((math.radians(50), math.radians(-30)))
    flipped = stored(tmp_path, array[::-1, ::-1], CDELT1=0.001, CDELT2=-0.001, CRPIX1=5.0, CRPIX2=4.0)
    same(read_sky_picture(flipped), plain)
    swapped = {"CTYPE2": "RA---SIN", "CTYPE1": "DEC--SIN", "CDELT2": -0.001, "CDELT1": 0.001}
    swapped |= {"CRPIX2": 6.0, "CRPIX1": 4.0, "CRVAL2": 50.0, "CRVAL1": -30.0}
    same(read_sky_picture(stored(tmp_path, np.ascontiguousarray(array.T), **swapped)), plain)
    stokes = {"CTYPE3": "STOKES", "CRVAL3": 1.0, "CDELT3": 1.0, "CRPIX3": 1.0}
    same(read_sky_picture(stored(tmp_path, np.stack([array, 0 * array]), **stokes)), plain)


def test_the_direction_is_that_of_the_middle_where_the_reference_is_elsewhere(tmp_path: Path) -> None:
    found = read_sky_picture(stored(tmp_path, np.zeros((7, 10)), CRPIX1=1.0, CRPIX2=1.0))
    assert found.direction is not None
    assert math.degrees(found.direction[0]) == pytest.approx(50 - 0.005 / math.cos(math.radians(30)), abs=1e-5)
    assert math.degrees(found.direction[1]) == pytest.approx(-30 + 0.003, abs=1e-6)


def test_jy_per_beam_becomes_jy_per_pixel_by_the_area_of_the_beam() -> None:
    rows, columns = torch.meshgrid(*[torch.arange(65.0) - 32] * 2, indexing="ij")
    width = 6.0  # pixels at half of the height
    source = torch.exp(-4 * math.log(2) * (rows**2 + columns**2) / width**2)[None]
    one = SkyPicture(source, CELL, unit="JY/BEAM", beam=(width * CELL, width * CELL, 0.0))
    assert float(one.per_pixel().pixels.sum()) == pytest.approx(1.0, rel=1e-3)
    with pytest.raises(mo.MetaoptError, match=r"picture in K .* cannot be turned"):
        SkyPicture(source, CELL, unit="K").per_pixel()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"}, "no axis RA among GLON, GLAT"),
        ({"CDELT2": 0.002}, "no squares"),
        ({"PC1_2": 0.5}, "rotated"),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -2.0, "CDELT2": 2.0}, "projection TAN"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_axes_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        read_sky_picture(stored(tmp_path, np.zeros((7, 10)), **changes))


def test_axes_that_are_no_picture_s_are_refused(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match="2 pixels along its axis VRAD"):
        read_sky_picture(stored(tmp_path, np.zeros((2, 7, 10)), CTYPE3="VRAD"))
    with pytest.raises(mo.MetaoptError, match="frequencies of 0 or less"):
        read_sky_picture(stored(tmp_path, np.zeros((2, 7, 10)), CTYPE3="FREQ", CRVAL3=-5.0))
    with pytest.raises(mo.MetaoptError, match="no Stokes I"):
        read_sky_picture(stored(tmp_path, np.zeros((1, 7, 10)), CTYPE3="STOKES", CRVAL3=2.0))
    fits.writeto(tmp_path / "b.fits", np.zeros((2, 7, 10)))
    with pytest.raises(mo.MetaoptError, match="without CTYPE"):
        read_sky_picture(tmp_path / "b.fits")
    fits.PrimaryHDU().writeto(tmp_path / "c.fits")
    with pytest.raises(mo.MetaoptError, match="holds no picture"):
        read_sky_picture(tmp_path / "c.fits")
    sent = SkyPicture(torch.zeros(3, 4, 4), CELL, (0.0, 0.0), torch.tensor([1e9, 2e9, 4e9]))
    with pytest.raises(mo.MetaoptError, match="not evenly spaced"):
        write_sky_picture(tmp_path / "d.fits", sent)


def test_blank_pixels_are_said_and_taken_for_0(tmp_path: Path) -> None:
    array = np.ones((7, 10))
    array[2, 3] = np.nan
    with pytest.warns(mo.MetaoptWarning, match="1 pixels are blank"):
        found = read_sky_picture(stored(tmp_path, array))
    assert float(found.pixels.sum()) == 69


def test_real_pictures_are_read() -> None:
    assert read_sky_picture(real_data("radio/sky_3c353") / "3c353_gdth.fits").pixels.shape == (1, 512, 512)
    for path in sorted(real_data("radio/sky_models").glob("*.fits")):
        found = read_sky_picture(path)
        assert found.pixels.ndim == 3
        assert float(found.pixels.max()) > 0


def test_planes_that_come_one_by_one_are_written_as_the_whole_cube_is(tmp_path: Path) -> None:
    pixels, frequency = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1e9, 2e9, 3e9])
    whole = SkyPicture(pixels, 1e-5, (0.3, 0.2), frequency.double(), "JY/BEAM", (3e-5, 2e-5, 0.1))
    empty = dataclasses.replace(whole, pixels=torch.zeros(()).expand(3, 5, 4))
    write_sky_picture(tmp_path / "whole.fits", whole)
    write_sky_picture(tmp_path / "planes.fits", empty, iter(pixels))
    assert (tmp_path / "whole.fits").read_bytes() == (tmp_path / "planes.fits").read_bytes()
    assert torch.equal(read_sky_picture(tmp_path / "planes.fits").pixels.float(), pixels)
    for planes, words in ((pixels[:2], "3 channels, but 2 planes"), (pixels[:, 1:], "Plane 0 of the picture is")):
        with pytest.raises(mo.MetaoptError, match=words):
            write_sky_picture(tmp_path / "none.fits", empty, iter(planes))
    assert not (tmp_path / "none.fits").exists()
