"""The page of results for radio skies says what the settings of the benchmark are, and shows its figures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import radio, sgr_a, simulated_radio

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "results_radio.rst").read_text().split())


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("radio_tables", DOCS / "radio_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_skies_arrays_and_pixels_are_those_of_the_benchmark() -> None:
    assert [name.removeprefix("galaxy ") for name in simulated_radio.TEST] == ["3C353", "M31", "FR I", "FR II"]
    for name in simulated_radio.TEST:
        assert name.removeprefix("galaxy ") in PAGE
    assert f"{simulated_radio.SIDE} x {simulated_radio.SIDE} pixels" in PAGE
    assert f"a band of {simulated_radio.BAND / 1e6:g} MHz" in PAGE
    assert simulated_radio.FINEST == 3 and "a third of the period of the finest fringe" in PAGE
    assert not set(simulated_radio.TEST) & set(simulated_radio.VALIDATION)
    assert len(simulated_radio.SETTINGS) == 8 and "eight observations" in (DOCS / "index.rst").read_text()
    assert sgr_a.LEAST == 3 and "above three standard deviations" in PAGE


def test_each_table_is_filled_from_the_rows_of_the_benchmark(tables: ModuleType) -> None:
    assert set(tables.MEASURES) == set(radio.MEASURES) and tables.CLOSURES == sgr_a.SHOWN
    figures = dict.fromkeys(radio.MEASURES, 2.0)
    rows = [
        {"setting": setting, "sky": sky, "method": "RIM", **figures, "snr": snr}
        for setting, sky, snr in (("VLA-A", "M31", 10.0), ("VLA-A", "3C353", 14.0), ("ATCA", "M31", 20.0))
    ]
    cells = tables.cells([*rows, *radio.summary(rows)])
    shown = {(cell["cell"], cell["down"], cell["across"]): cell["text"] for cell in cells}
    assert shown["radio_means", "RIM", "SNR (dB)"] == "14.67 +- 5.03"
    assert shown["radio_means", "RIM", "CPU seconds"] == "2.00"
    assert shown["radio_settings", "VLA-A", "RIM"] == "12.0 +- 2.8"
    assert shown["radio_skies", "RIM", "M31"] == "15.0 +- 7.1"
    for name, (chosen, *_) in tables.TABLES.items():
        assert any(chosen(cell) for cell in cells) and f"generated/measured/{name}.csv" in PAGE


def test_the_picture_is_shown_once_there_are_results(tables: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "radio.json"
    assert "image" not in tables.picture(path)
    path.write_text("{}")
    assert "images/radio.png" in tables.picture(path)
