"""Visibilities are read with their flags, weights and signs, in chunks, and written so that WSClean images them."""

from __future__ import annotations

import math
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import data
from metaopt import operators as ops
from metaopt.data import Antennas, VisibilityChunk

from ...real_data import real_data

tables = pytest.importorskip("casacore.tables")
FREQUENCY = torch.tensor([1.43e9, 1.42e9, 1.41e9], dtype=torch.float64)  # descending, as those of real sets may be
DIRECTION = (0.7, -0.5)


def chunk(rows: int = 60, seed: int = 0, channels: int = 3) -> VisibilityChunk:
    generator = torch.Generator().manual_seed(seed)
    uvw = 500 * torch.randn(rows, 3, dtype=torch.float64, generator=generator)
    values = torch.randn(rows, channels, dtype=torch.complex64, generator=generator)
    weights = torch.rand(rows, channels, generator=generator) + 0.5
    weights[3] = 0
    weights[5, 1] = 0
    values = torch.where(weights > 0, values, 0)
    first = torch.randint(0, 3, (rows,), generator=generator)
    time = 5e9 + torch.arange(rows, dtype=torch.float64)
    return VisibilityChunk(uvw, values, weights, time, first, first + 1)


def antennas() -> Antennas:
    return Antennas(tuple("abcd"), 1e6 * torch.eye(4, 3, dtype=torch.float64), torch.full((4,), 25.0).double())


def written(folder: Path, *chunks: VisibilityChunk, name: str = "a.ms") -> Path:
    path = folder / name
    data.write_measurement_set(path, chunks or [chunk()], FREQUENCY, DIRECTION, antennas())
    return path


def change(path: Path, column: str, values: Any, rows: slice | None = None) -> None:
    with tables.table(str(path), readonly=False, ack=False) as table:
        if rows is None:
            table.putcol(column, values)
        else:
            table.putcol(column, values, rows.start, rows.stop - rows.start)


def column(path: Path, name: str) -> np.ndarray:
    with tables.table(str(path), ack=False) as table:
        return table.getcol(name)


def same(a: VisibilityChunk, b: VisibilityChunk) -> None:
    for found, expected in zip(a, b, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_a_measurement_set_reads_back_as_it_was_written(tmp_path: Path) -> None:
    parts = [chunk(40, seed=1), chunk(30, seed=2)]
    found = data.read_visibilities(written(tmp_path, *parts))
    assert (found.format, found.rows, found.channels) == ("measurement set", 70, 3)
    assert found.direction == pytest.approx(DIRECTION)
    assert torch.equal(found.frequency, FREQUENCY)
    assert found.antennas is not None and found.antennas.names == tuple("abcd")
    torch.testing.assert_close(found.antennas.positions, antennas().positions)
    whole = VisibilityChunk(*(torch.cat(pair) for pair in zip(*parts, strict=True)))
    same(found.read(), whole)
    same(VisibilityChunk(*(torch.cat(p) for p in zip(*found.chunks(rows=17), strict=True))), whole)


@pytest.mark.parametrize("name", ["a.ms", "a.npz"])
def test_memory_does_not_grow_with_the_set_that_is_read(name: str, tmp_path: Path) -> None:
    peaks = []
    for count in (2, 8):
        path = tmp_path / f"{count}{name}"
        parts = [chunk(4000, seed) for seed in range(count)]
        if path.suffix == ".ms":
            data.write_measurement_set(path, parts, FREQUENCY, DIRECTION, antennas())
        else:
            data.write_visibilities(path, parts, FREQUENCY, DIRECTION, antennas())
        found = data.read_visibilities(path)
        tracemalloc.start()
        rows = sum(len(part.uvw) for part in found.chunks(rows=1000))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == 4000 * count
    assert peaks[1] < 1.3 * peaks[0]


def test_archives_of_numpy_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    data.write_visibilities(path, [chunk(40, seed=1)], FREQUENCY, DIRECTION, antennas())
    found = data.read_visibilities(path)
    assert (found.format, found.direction) == ("NumPy archive", DIRECTION)
    assert found.antennas is not None and found.antennas.names == tuple("abcd")
    same(found.read(), chunk(40, seed=1))
    same(VisibilityChunk(*(torch.cat(p) for p in zip(*found.chunks(rows=7), strict=True))), chunk(40, seed=1))


def test_weights_are_those_of_the_finest_column_that_is_filled(tmp_path: Path) -> None:
    path = written(tmp_path)
    flags, sigma = column(path, "FLAG"), column(path, "SIGMA")
    for name in ("WEIGHT_SPECTRUM", "WEIGHT"):
        used = data.read_visibilities(path)
        assert f"weights are {name}" in used.notes
        weights = np.array(column(path, name))
        weights = np.broadcast_to(weights if weights.ndim == 3 else weights[:, None], flags.shape)
        expected = np.where(flags.any(-1), 0, weights.sum(-1))  # of two hands alike the sum
        assert np.allclose(used.read().weights, expected)
        with tables.table(str(path), readonly=False, ack=False) as table:
            table.removecols([name])
    used = data.read_visibilities(path)
    assert "weights are 1 / SIGMA^2" in used.notes
    expected = np.where(flags.any(-1), 0, 2 / np.where(sigma > 0, sigma, 1)[:, None, 0] ** 2)
    assert np.allclose(used.read().weights, expected)


def test_stokes_i_weighs_both_hands_and_needs_both(tmp_path: Path) -> None:
    path = written(tmp_path)
    values, weights = column(path, "DATA"), column(path, "WEIGHT_SPECTRUM")
    values[..., 1] *= 3
    weights[..., 1] *= 4
    weights[0, 0, 1] = 0
    change(path, "DATA", values)
    change(path, "WEIGHT_SPECTRUM", weights)
    found, sent = data.read_visibilities(path).read(), chunk()
    used = found.weights > 0
    assert not used[0, 0] and int(used.sum()) == int((sent.weights > 0).sum()) - 1
    torch.testing.assert_close(found.visibilities[used], 2 * sent.visibilities[used])
    # Var of the mean of independent hands of weights w / 2 and 2 w: (2 / w + 1 / (2 w)) / 4.
    torch.testing.assert_close(found.weights[used], sent.weights[used] * 1.6)


def test_flags_rows_and_values_that_are_not_finite_count_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    values, flags, rows = column(path, "DATA"), column(path, "FLAG"), column(path, "FLAG_ROW")
    values[10, 1, 0], flags[11, 2, 1], rows[12] = np.nan, True, True
    for name, changed in (("DATA", values), ("FLAG", flags), ("FLAG_ROW", rows)):
        change(path, name, changed)
    found, sent = data.read_visibilities(path).read(), chunk()
    expected = sent.weights > 0
    expected[10, 1] = expected[11, 2] = False
    expected[12] = False
    assert torch.equal(found.weights > 0, expected)
    assert bool(torch.isfinite(found.visibilities.abs()).all())
    change(path, "FLAG_ROW", ~np.zeros_like(rows))
    with pytest.raises(mo.MetaoptError, match=r"Every visibility .* is flagged"):
        data.read_visibilities(path).read()


def test_autocorrelations_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    second = column(path, "ANTENNA2")
    second[:5] = column(path, "ANTENNA1")[:5]
    change(path, "ANTENNA2", second)
    assert data.read_visibilities(path).rows == 55
    change(path, "ANTENNA2", column(path, "ANTENNA1"))
    with pytest.raises(mo.MetaoptError, match="autocorrelations only"):
        data.read_visibilities(path)


def test_several_fields_windows_and_columns_are_said_and_chosen(tmp_path: Path) -> None:
    path = written(tmp_path)
    with tables.table(str(path / "FIELD"), readonly=False, ack=False) as table:
        table.addrows(1)
        table.putcell("NAME", 1, "M31")
        table.putcell("PHASE_DIR", 1, np.array([[0.1, 0.2]]))
    change(path, "FIELD_ID", np.ones(20, np.int32), slice(0, 20))
    with pytest.raises(mo.MetaoptError, match=r"several fields: 0 \(field\), 1 \(M31\); choose one by field="):
        data.read_visibilities(path)
    with pytest.raises(mo.MetaoptError, match=r"no data of field 'M33'; its fields are 0 \(field\), 1 \(M31\)"):
        data.read_visibilities(path, field="M33")
    chosen = data.read_visibilities(path, field="M31")
    assert (chosen.rows, chosen.direction) == (20, pytest.approx((0.1, 0.2)))
    assert data.read_visibilities(path, field=0).rows == 40
    with tables.table(str(path / "SPECTRAL_WINDOW"), readonly=False, ack=False) as table:
        table.addrows(1)
        table.putcell("CHAN_FREQ", 1, np.array([2.0e9, 2.1e9, 2.2e9]))
    with tables.table(str(path / "DATA_DESCRIPTION"), readonly=False, ack=False) as table:
        table.addrows(1)
        table.putcell("SPECTRAL_WINDOW_ID", 1, 1)
    change(path, "DATA_DESC_ID", np.ones(10, np.int32), slice(30, 40))
    said = r"0 \(3 channels, 1410 to 1430 MHz\), 1 \(3 channels, 2000 to 2200 MHz\)"
    with pytest.raises(mo.MetaoptError, match=rf"several spectral windows: {said}; choose one by window="):
        data.read_visibilities(path, field=0)
    with pytest.raises(mo.MetaoptError, match="no data of spectral window 5"):
        data.read_visibilities(path, field=0, window=5)
    found = data.read_visibilities(path, field=0, window=1)
    assert (found.rows, float(found.frequency[0])) == (10, 2.0e9)
    with tables.table(str(path), readonly=False, ack=False) as table:
        described = table.getcoldesc("DATA")
        described["dataManagerGroup"] = "Tiledcorrected"
        table.addcols(tables.maketabdesc([tables.makecoldesc("CORRECTED_DATA", described)]))
        table.putcol("CORRECTED_DATA", 2 * table.getcol("DATA"))
    with pytest.warns(mo.MetaoptWarning, match="columns CORRECTED_DATA, DATA the calibrated CORRECTED_DATA"):
        calibrated = data.read_visibilities(path, field=1)
    plain = data.read_visibilities(path, field=1, column="DATA")
    torch.testing.assert_close(calibrated.read().visibilities, 2 * plain.read().visibilities)
    with pytest.raises(mo.MetaoptError, match="no column 'CORRECTED'; those of visibilities are CORRECTED_DATA, DATA"):
        data.read_visibilities(path, field=1, column="CORRECTED")


def test_a_missing_column_or_tile_is_a_sentence_and_its_coverage_can_be_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    with tables.table(str(path), ack=False) as table:
        manager = next(m for m in table.getdminfo().values() if "DATA" in m["COLUMNS"])
    next(path.glob(f"table.f{manager['SEQNR']}_TSM*")).unlink()
    with pytest.raises(mo.MetaoptError, match=rf"column DATA: its file table.f{manager['SEQNR']}_\w+ is missing"):
        data.read_visibilities(path)
    covered = data.read_coverage(path).read()
    torch.testing.assert_close(covered.uvw, chunk().uvw)
    torch.testing.assert_close(covered.weights, chunk().weights)
    path = written(tmp_path, name="b.ms")
    with tables.table(str(path), readonly=False, ack=False) as table:
        table.removecols(["DATA"])
    with pytest.raises(mo.MetaoptError, match=r"no column DATA .*read_coverage"):
        data.read_visibilities(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "empty"),
        (b"text", "not of a known format"),
        (b"SIMPLE  =                    T", "damaged|no visibilities"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_files_that_hold_no_visibilities_are_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(mo.MetaoptError, match=words):
        data.read_visibilities(path)


def test_a_folder_that_is_no_whole_measurement_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match="no whole measurement set"):
        data.read_visibilities(tmp_path)
    path = written(tmp_path)
    shutil.rmtree(path / "SPECTRAL_WINDOW")
    with pytest.raises(mo.MetaoptError, match=r"has no SPECTRAL_WINDOW/table\.dat"):
        data.read_visibilities(path)


@pytest.mark.parametrize("missing", ["frequency", "uvw", "visibilities"])
def test_an_archive_without_an_array_says_which(missing: str, tmp_path: Path) -> None:
    path, one = tmp_path / "a.npz", chunk()
    arrays = {"uvw": one.uvw, "frequency": FREQUENCY, "visibilities": one.visibilities}
    del arrays[missing]
    np.savez(path, **{name: value.numpy() for name, value in arrays.items()})
    with pytest.raises(mo.MetaoptError, match=f"has no array {missing}"):
        data.read_visibilities(path)


def test_nothing_is_left_of_a_set_that_could_not_be_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(mo.MetaoptError, match="exists already"):
        written(tmp_path)

    def broken() -> Iterator[VisibilityChunk]:
        yield chunk()
        yield chunk(channels=4)

    with pytest.raises(mo.MetaoptError, match=r"3 channels is \(60, 3\), but got \(60, 4\)"):
        data.write_measurement_set(tmp_path / "b.ms", broken(), FREQUENCY, DIRECTION, antennas())
    with pytest.raises(mo.MetaoptError, match="no visibility to write"):
        data.write_measurement_set(tmp_path / "b.ms", [], FREQUENCY, DIRECTION, antennas())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_real_set_of_the_atca_has_its_coverage_and_says_that_its_tile_is_missing() -> None:
    path = real_data("radio/atca_measurement_set") / "0332-391.ms"
    found = data.read_coverage(path)
    one = found.read()
    assert (found.rows, found.channels) == (22675, 13)
    assert bool((found.frequency.diff() < 0).all())
    assert 0.8 < float((one.weights > 0).double().mean()) < 0.9
    with pytest.raises(mo.MetaoptError, match=r"table\.f1_TSM1 is missing"):
        data.read_visibilities(path)


def test_uvfits_of_sagittarius_a_are_read_as_pyuvdata_reads_them() -> None:
    pyuvdata = pytest.importorskip("pyuvdata")
    (path,) = real_data("radio/eht_sgra_2017").glob("*.uvfits")
    found = data.read_visibilities(path)
    one = found.read()
    assert (found.rows, found.channels) == (6181, 1)
    assert math.degrees(found.direction[1]) == pytest.approx(-29.0078, abs=1e-3)
    other = pyuvdata.UVData()
    with pytest.warns(UserWarning, match="."):
        other.read_uvfits(path, run_check=False)
    assert np.allclose(one.uvw, other.uvw_array, rtol=1e-6)
    # pyuvdata turns uvw and conjugates, which leaves what the visibilities mean as it is; here uvw alone is turned.
    values = other.data_array.reshape(6181, -1)[:, :2].conj().mean(1)
    assert np.allclose(one.visibilities[:, 0], values, rtol=1e-5)
    assert found.antennas is not None and found.antennas.names[0] == "AA"


# Without these options WSClean resamples pictures whose cells are fine, which costs some per cent.
WSCLEAN = ["wsclean", "-j", "1", "-use-wgridder", "-wgridder-accuracy", "1e-6", "-no-small-inversion"]
needs_wsclean = pytest.mark.skipif(shutil.which("wsclean") is None, reason="WSClean is not installed")


def wsclean(folder: Path, path: Path, size: int, arcsec: float, *options: str) -> dict[str, Tensor]:
    """The pictures that WSClean makes of a set, by their kind."""
    fits = pytest.importorskip("astropy.io.fits")
    command = [*WSCLEAN, "-size", f"{size}", f"{size}", "-scale", f"{arcsec}asec"]
    command += ["-niter", "0", "-make-psf", "-name", str(folder / "w"), *options, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    kinds = {kind: fits.getdata(folder / f"w-{kind}.fits")[0, 0] for kind in ("dirty", "psf")}
    return {kind: torch.from_numpy(picture.astype(np.float64)) for kind, picture in kinds.items()}


@needs_wsclean
@pytest.mark.parametrize("weighting", ["natural", "briggs"])
def test_wsclean_makes_the_same_dirty_picture_of_a_set_that_was_written(weighting: str, tmp_path: Path) -> None:
    pytest.importorskip("ducc0")
    size, arcsec = 128, 4.0
    cell = math.radians(arcsec / 3600)
    one = chunk(2000)._replace(antenna1=torch.zeros(2000).long(), antenna2=torch.ones(2000).long())
    sky = torch.zeros(1, 1, size, size, dtype=torch.float64)
    sky[0, 0, size // 2 + 13, size // 2 - 21] = 1.0
    sky[0, 0, size // 2 - 20, size // 2 + 7] = 0.5
    operator = ops.WideVisibilities(one.uvw, FREQUENCY, (size, size), cell, one.weights.double())
    seen = operator.weighted(None)(sky)
    path = written(tmp_path, one._replace(visibilities=seen[0].to(torch.complex64)))
    weights = operator.weights
    if weighting == "briggs":
        weights = ops.briggs_weights(one.uvw, FREQUENCY, weights, (size, size), cell, 0.5)
    options = ["-weight", "natural"] if weighting == "natural" else ["-padding", "1", "-weight", "briggs", "0.5"]
    found = wsclean(tmp_path, path, size, arcsec, *options)
    middle = slice(size // 8, -size // 8)  # WSClean's own gridding errs near the border
    dirty = ops.dirty_picture(operator, seen, weights)[0, 0]
    torch.testing.assert_close(dirty[middle, middle], found["dirty"][middle, middle], rtol=0, atol=5e-4)
    psf = ops.point_spread(operator, weights)[0]
    torch.testing.assert_close(psf[middle, middle], found["psf"][middle, middle], rtol=0, atol=5e-4)


@needs_wsclean
def test_wsclean_predicts_the_same_visibilities(tmp_path: Path) -> None:
    pytest.importorskip("ducc0")
    size, arcsec = 128, 4.0
    path = written(tmp_path, one := chunk(500))
    fits = pytest.importorskip("astropy.io.fits")
    wsclean(tmp_path, path, size, arcsec)
    sky = torch.zeros(1, 1, size, size, dtype=torch.float64)
    sky[0, 0, size // 2 + 13, size // 2 - 21] = 1.0
    header = fits.getheader(tmp_path / "w-dirty.fits")
    fits.writeto(tmp_path / "m-model.fits", sky.numpy().astype(np.float32), header)
    command = [*WSCLEAN, "-predict", "-name", str(tmp_path / "m"), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = data.read_visibilities(path, column="MODEL_DATA").read()
    expected = ops.WideVisibilities(one.uvw, FREQUENCY, (size, size), math.radians(arcsec / 3600))(sky)[0]
    used = found.weights > 0
    torch.testing.assert_close(found.visibilities[used].to(torch.complex128), expected[used], rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["a.ms", "a.npz", "compressed.npz", "a.uvfits"])
def test_channels_that_are_chosen_are_those_of_the_whole_set(kind: str, tmp_path: Path) -> None:
    if kind == "a.ms":
        written(tmp_path)
    elif kind == "a.uvfits":
        pytest.importorskip("astropy")
        small_uvfits(tmp_path / kind)
    else:
        data.write_visibilities(tmp_path / kind, [chunk()], FREQUENCY, DIRECTION)
        if kind == "compressed.npz":
            with np.load(tmp_path / kind) as archive:
                arrays = dict(archive)
            np.savez_compressed(tmp_path / kind, **arrays)
    found = data.read_visibilities(tmp_path / kind)
    whole = found.read()
    for chosen in ([1], [2, 0], [0, 1, 2]):
        part = found.narrowed(chosen)
        assert torch.equal(part.frequency, found.frequency[chosen])
        expected = whole._replace(visibilities=whole.visibilities[:, chosen], weights=whole.weights[:, chosen])
        same(part.read(), expected)
        same(VisibilityChunk(*(torch.cat(p) for p in zip(*part.chunks(rows=7), strict=True))), expected)
    same(found.narrowed([2, 1]).narrowed([1]).read(), found.narrowed([1]).read())
    for wrong in ([], [3], [0, 0], [-1]):
        with pytest.raises(mo.MetaoptError):
            found.narrowed(wrong)


def small_uvfits(path: Path) -> None:
    """Random groups of 40 rows and 3 channels, of Stokes I."""
    from astropy.io import fits

    numbers = np.random.default_rng(0)
    cells = numbers.normal(size=(40, 1, 1, 3, 1, 3)).astype(">f4")
    cells[..., 2] = abs(cells[..., 2]) + 0.1
    uvw = [numbers.normal(size=40) * 1e-6 for _ in range(3)]
    first = numbers.integers(1, 4, 40)
    groups = fits.GroupData(
        cells, bitpix=-32, parnames=["UU", "VV", "WW", "BASELINE"], pardata=[*uvw, first * 256.0 + first + 1]
    )
    hdu = fits.GroupsHDU(groups)
    axes = [("COMPLEX", 1, 1), ("STOKES", 1, 1), ("FREQ", 1.4e9, 1e6), ("RA", 10.0, 1), ("DEC", -30.0, 1)]
    for number, (name, value, step) in enumerate(axes, 2):
        hdu.header[f"CTYPE{number}"], hdu.header[f"CRVAL{number}"] = name, value
        hdu.header[f"CRPIX{number}"], hdu.header[f"CDELT{number}"] = 1, step
    hdu.writeto(path)
