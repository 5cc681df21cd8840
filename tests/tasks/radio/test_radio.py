"""Baselines turn as the earth does, noise is that of the radiometer, and closures forget what stations do."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import data
from metaopt.tasks import radio

from ...real_data import real_data


def track(declination: float = 0.6, **settings: float) -> radio.Coverage:
    return radio.synthesize(radio.read_array("atca").positions, -declination, **settings)


def test_uvw_are_the_baseline_seen_along_the_source_and_along_north_and_east_of_it() -> None:
    positions, declination, hour = radio.read_array("atca").positions, -0.7, 0.4
    found = radio.synthesize(positions, declination, hour_angle=hour)
    longitude = math.atan2(float(positions[:, 1].mean()), float(positions[:, 0].mean()))

    def source(hour: float, declination: float) -> np.ndarray:
        """The unit vector in the frame of the ITRF: the hour angle grows to the west."""
        angle = longitude - hour
        across = math.cos(declination)
        return np.array([across * math.cos(angle), across * math.sin(angle), math.sin(declination)])

    step = 1e-6
    east = (source(hour - step, declination) - source(hour + step, declination)) / (2 * step * math.cos(declination))
    north = (source(hour, declination + step) - source(hour, declination - step)) / (2 * step)
    for row in range(len(found.uvw)):
        baseline = (positions[found.antenna2[row]] - positions[found.antenna1[row]]).numpy()
        expected = [baseline @ east, baseline @ north, baseline @ source(hour, declination)]
        assert np.allclose(found.uvw[row], expected, atol=1e-4)


def test_tracks_have_a_row_for_each_pair_and_integration_while_the_source_is_up() -> None:
    found = track(duration=3600.0, integration=60.0)
    assert len(found.uvw) == 60 * 15
    assert float(found.time[-1]) == pytest.approx(59 * 60)
    assert len(track().uvw) == 15
    lengths = found.uvw.norm(dim=1).reshape(60, 15)
    torch.testing.assert_close(lengths, lengths[:1].expand(60, 15))
    day = track(duration=80_000.0, integration=600.0, lowest=math.radians(30))
    assert 0 < len(day.uvw) < len(track(duration=80_000.0, integration=600.0, lowest=0.0).uvw) < 133 * 15
    with pytest.raises(mo.MetaoptError, match=r"declination 80.21 degrees is at most .* degrees high"):
        track(declination=-1.4)


def test_uvw_of_the_real_set_of_the_atca_are_those_of_its_stations() -> None:
    found = data.read_coverage(real_data("radio/atca_measurement_set") / "0332-391.ms")
    one = found.read()
    first = (one.time == one.time[0]).nonzero()[:, 0]
    days = float(one.time[0]) / 86400 - 51544.5
    sidereal = 2 * math.pi * ((0.7790572732640 + 1.00273781191135448 * days) % 1)
    assert found.antennas is not None
    positions = found.antennas.positions
    longitude = math.atan2(float(positions[:, 1].mean()), float(positions[:, 0].mean()))
    hour = (sidereal + longitude - found.direction[0] + math.pi) % (2 * math.pi) - math.pi
    expected = radio.synthesize(positions, found.direction[1], hour_angle=hour, lowest=-1.5)
    rows = {(int(a), int(b)): uvw for uvw, _, a, b in zip(*expected, strict=True)}
    stations = [(int(one.antenna1[i]), int(one.antenna2[i]), one.uvw[i]) for i in first]
    near = [float((rows[a, b] - uvw).norm() / uvw.norm()) for a, b, uvw in stations]
    assert min(near) < 0.01, "the array was moved between its days, of which the set has one table of stations"


def test_the_radiometer_equation_gives_the_published_form_for_a_picture() -> None:
    stations, seconds, width = 27, 3600.0, 64e6
    sigma = radio.thermal_noise(420.0, width, 10.0, efficiency=0.93)
    count = stations * (stations - 1) / 2 * seconds / 10
    assert sigma / count**0.5 == pytest.approx(420 / (0.93 * (2 * stations * (stations - 1) * width * seconds) ** 0.5))


def test_noise_has_the_variance_that_the_weights_say() -> None:
    weights = torch.tensor([[4.0, 100.0, 0.0]]).expand(20_000, 3)
    noise = radio.add_thermal_noise(torch.zeros(20_000, 3, dtype=torch.complex128), weights, seed=3)
    for part in (noise.real, noise.imag):
        torch.testing.assert_close(part.std(0), torch.tensor([0.5, 0.1, 0.0]).double(), rtol=0.03, atol=0)
    again = radio.add_thermal_noise(torch.zeros(20_000, 3, dtype=torch.complex128), weights, seed=3)
    assert torch.equal(noise, again)


@pytest.mark.parametrize("name", radio.array_names())
def test_the_stations_of_every_array_are_on_the_earth(name: str) -> None:
    if name != "atca":
        real_data("radio/antennas")
    found = radio.read_array(name)
    radius = found.positions.norm(dim=1)
    assert bool(((radius > 6.35e6) & (radius < 6.39e6)).all())
    counts = {"vla-a": 27, "vla-d": 27, "meerkat": 64, "ska1-mid": 197, "atca": 6}
    assert len(found.names) == counts.get(name, len(found.names))
    assert min(*radio.sefd(name), radio.band(name)) > 0


# (temperature, diameter, aperture efficiency) of the dishes whose flux density is not their observatory's.
DISHES = {"atca": (29, 22, 0.6), "wsrt": (30, 25, 0.54), "kat-7": (27, 12, 0.66)}


@pytest.mark.parametrize("name", DISHES)
def test_the_flux_density_of_a_system_is_that_of_its_temperature_and_dish(name: str) -> None:
    temperature, diameter, efficiency = DISHES[name]
    area = efficiency * math.pi * (diameter / 2) ** 2
    assert radio.sefd(name)[0] == pytest.approx(2 * 1380.649 * temperature / area, rel=0.02)


def test_the_flux_density_of_a_system_of_ska1_mid_is_the_mean_of_its_dishes() -> None:
    assert radio.sefd("ska1-mid")[0] == pytest.approx((133 * 0.7332 * 426 + 64 * 426) / 197, rel=0.02)


def test_tables_of_stations_are_read_or_refused_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# x y z\n1 2 3 25 a\n\n4 5 6\n")
    found = radio.read_array(str(path))
    assert found.names == ("a", "4")
    assert found.diameters.tolist() == [25, 0]
    for text, words in (("1 2\n3 4 5\n", "Line 1"), ("1 2 3\n", "1 stations"), ("1 2 3\n1 2 nan\n", "not finite")):
        path.write_text(text)
        with pytest.raises(mo.MetaoptError, match=words):
            radio.read_array(str(path))
    with pytest.raises(mo.MetaoptError, match="no array 'vla'; those known are vla-a"):
        radio.read_array("vla")


def observed(stations: int = 6, times: int = 2) -> tuple[Tensor, ...]:
    pairs = list(itertools.combinations(range(stations), 2))
    first, second = (torch.tensor([p[i] for p in pairs] * times) for i in (0, 1))
    time = torch.arange(times).repeat_interleave(len(pairs)).double()
    return time, first, second


def visibilities(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def test_closures_are_as_many_as_are_independent_and_do_not_see_the_gains_of_stations() -> None:
    time, first, second = observed()
    used = torch.ones(len(time), dtype=torch.bool)
    v, weights = visibilities(len(time)), torch.ones(len(time), dtype=torch.float64)
    gain = 2 * visibilities(12, seed=1).reshape(2, 6)
    corrupted = v * gain[time.long(), first] * gain[time.long(), second].conj()
    triangles = radio.closure_triangles(time, first, second, used)
    quadrangles = radio.closure_quadrangles(time, first, second, used)
    assert (len(triangles.rows), len(quadrangles.rows)) == (2 * 10, 2 * 9)
    phases, found = (radio.closure_phases(u, weights, triangles)[0] for u in (v, corrupted))
    torch.testing.assert_close(torch.polar(torch.ones_like(phases), phases - found), torch.ones_like(phases) + 0j)
    logs, same = (radio.log_closure_amplitudes(u, weights, quadrangles)[0] for u in (v, corrupted))
    torch.testing.assert_close(logs, same)
    a, b, c = (v[(time == 0) & (first == i) & (second == j)] for i, j in ((0, 1), (1, 2), (0, 2)))
    torch.testing.assert_close(phases[:1], (a * b * c.conj()).angle())


def test_flagged_rows_are_in_no_closure() -> None:
    time, first, second = observed()
    used = (first != 0) | (time == 0)
    triangles = radio.closure_triangles(time, first, second, used)
    assert len(triangles.rows) == 10 + 6
    assert bool(used[triangles.rows].all())
    assert bool(used[radio.closure_quadrangles(time, first, second, used).rows].all())


def test_chi_squared_of_closures_is_1_for_the_truth_at_a_high_ratio_of_signal_to_noise() -> None:
    time, first, second = observed(times=300)
    used = torch.ones(len(time), dtype=torch.bool)
    v = torch.polar(torch.full((len(time),), 10.0).double(), visibilities(len(time)).angle())
    weights = torch.full((len(time),), 4.0, dtype=torch.float64)
    noisy = radio.add_thermal_noise(v[:, None], weights[:, None], seed=1)[:, 0]
    triangles = radio.closure_triangles(time, first, second, used)
    phases, deviation = radio.closure_phases(noisy, weights, triangles)
    truth, _ = radio.closure_phases(v, weights, triangles)
    assert float(radio.closure_phase_chi2(phases, truth, deviation)) == pytest.approx(1, abs=0.1)
    quadrangles = radio.closure_quadrangles(time, first, second, used)
    logs, deviation = radio.log_closure_amplitudes(noisy, weights, quadrangles)
    truth, _ = radio.log_closure_amplitudes(v, weights, quadrangles)
    assert float(radio.log_closure_chi2(logs, truth, deviation)) == pytest.approx(1, abs=0.1)


def test_closures_of_sagittarius_a_are_far_from_those_of_a_point() -> None:
    (path,) = real_data("radio/eht_sgra_2017").glob("*.uvfits")
    one = data.read_visibilities(path).read()
    some = one.time < one.time[0] + 3600
    one = data.VisibilityChunk(*(t[some] for t in one))
    triangles = radio.closure_triangles(one.time, one.antenna1, one.antenna2, one.weights[:, 0] > 0)
    v, weights = one.visibilities[:, 0].to(torch.complex128), one.weights[:, 0].double()
    phases, deviation = radio.closure_phases(v, weights, triangles)
    assert len(phases) > 100
    assert float(radio.closure_phase_chi2(phases, torch.zeros_like(phases), deviation)) > 2
