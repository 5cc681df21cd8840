"""Processing sets, the measurement sets of version 4, are read as the sets of version 2 that they were made of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import metaopt as mo
from metaopt import data
from metaopt.data import Antennas, VisibilityChunk

DIRECTION = (0.7, -0.5)


def test_a_zarr_store_without_xradio_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zarr").mkdir()
    monkeypatch.setitem(sys.modules, "xradio", None)
    monkeypatch.setitem(sys.modules, "xradio.measurement_set", None)
    with pytest.raises(mo.MetaoptError, match=r"a\.zarr is a zarr store.*pip install xradio, convert it"):
        data.read_visibilities(tmp_path / "a.zarr")


@pytest.mark.filterwarnings("ignore")
def test_a_set_reads_back_as_the_one_it_was_converted_from(tmp_path: Path) -> None:
    pytest.importorskip("casacore")
    xradio = pytest.importorskip("xradio.measurement_set")
    generator = torch.Generator().manual_seed(0)
    times, stations, channels = 7, 4, 3
    first, second = torch.triu_indices(stations, stations)  # autocorrelations too
    rows = times * len(first)
    weights = torch.rand(rows, channels, generator=generator) + 0.5
    weights[5] = 0
    chunk = VisibilityChunk(
        500 * torch.randn(rows, 3, dtype=torch.float64, generator=generator),
        torch.randn(rows, channels, dtype=torch.complex64, generator=generator),
        weights,
        5e9 + 10 * torch.arange(times, dtype=torch.float64).repeat_interleave(len(first)),
        first.repeat(times),
        second.repeat(times),
    )
    antennas = Antennas(tuple("abcd"), 1e6 * torch.eye(4, 3, dtype=torch.float64), torch.full((4,), 25.0).double())
    frequency = torch.tensor([1.41e9, 1.42e9, 1.43e9], dtype=torch.float64)
    data.write_measurement_set(tmp_path / "a.ms", [chunk], frequency, DIRECTION, antennas)
    xradio.convert_msv2_to_processing_set(str(tmp_path / "a.ms"), str(tmp_path / "a"))
    (store,) = tmp_path.glob("*.ps.zarr")
    old, new = data.read_visibilities(tmp_path / "a.ms"), data.read_visibilities(store)
    assert new.direction == pytest.approx(DIRECTION)
    assert torch.equal(new.frequency, old.frequency)
    assert new.antennas is not None and new.antennas.names == tuple("abcd")
    assert torch.equal(new.antennas.positions, antennas.positions)
    assert new.rows == old.rows == times * 6
    expected, found = old.read(), new.read()
    places = [torch.argsort(10000 * (c.time - 5e9) + 10 * c.antenna1 + c.antenna2) for c in (expected, found)]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b[places[1]], a[places[0]])
    parts = list(new.narrowed([2, 0]).chunks(rows=5))
    assert torch.equal(torch.cat([part.visibilities for part in parts]), found.visibilities[:, [2, 0]])
    assert torch.equal(torch.cat([part.uvw for part in parts]), found.uvw)
    assert not data.read_coverage(store).read().visibilities.any()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"window": 1}, "no data of spectral window 1; its spectral windows are 0"),
        ({"field": "M31"}, "no data of field 'M31'; its fields are 0"),
        ({"column": "DATA"}, "no column 'DATA'; those of visibilities are VISIBILITY"),
    ]
    for choice, words in wrong:
        with pytest.raises(mo.MetaoptError, match=words):
            data.read_visibilities(store, **choice)
