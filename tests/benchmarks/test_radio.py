"""The parts of the benchmark of radio skies, on cases that need no data but what is made here."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor

from benchmarks import classical_radio, radio, sgr_a, simulated_radio
from benchmarks.simulated_radio import Case
from benchmarks.solvers import radio as rivals
from metaopt.data import VisibilityChunk
from metaopt.tasks import radio as task

from ..real_data import real_data

pytest.importorskip("finufft")


def case(sky: Tensor | None = None, sigma: float = 1e-3, seed: int = 0) -> Case:
    """Ten hours of ATCA, whose stations the library knows, of two sources as large as its beam, (1, 1, 64, 64)."""
    stations = task.read_array("atca")
    cover = task.synthesize(stations.positions, math.radians(-40), 36_000, 1200)
    frequency = torch.tensor([2.1e9], dtype=torch.float64)
    if sky is None:
        rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        blobs = [(20, 40, 1.0), (44, 30, 0.4)]
        sky = sum(a * torch.exp(-((rows - i).square() + (columns - j).square()) / 18.0) for i, j, a in blobs)
        sky = torch.as_tensor(sky).double()[None, None] / 56
    weights = torch.full((len(cover.uvw), 1), sigma**-2, dtype=torch.float64)
    blank = torch.zeros_like(weights, dtype=torch.complex128)
    chunk = VisibilityChunk(cover.uvw, blank, weights, 5e9 + cover.time, cover.antenna1, cover.antenna2)
    cell = 1 / (3 * float(cover.uvw[:, :2].norm(dim=1).max() * frequency[0]) / 299_792_458.0)
    given = Case(chunk, frequency, cell, stations, (0.0, math.radians(-40)), sky)
    seen = given.operator.weighted(None)(sky)[0]
    noisy = task.add_thermal_noise(seen, weights, seed)
    return given._replace(data=chunk._replace(visibilities=noisy))


def test_snr_is_that_of_the_definition_at_every_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.rand(1, 1, 9, 9, dtype=torch.float64, generator=generator) for _ in range(2))
    found = x + 0.1 * noise
    scales = np.linspace(0.5, 1.5, 100_001)
    errors = [np.linalg.norm((x - s * found).numpy()) for s in scales[::100]]
    wanted = 20 * math.log10(float(x.norm()) / min(errors))
    assert simulated_radio.snr(found, x) == pytest.approx(wanted, abs=1e-3)
    assert simulated_radio.snr(1e6 * found, x) == pytest.approx(simulated_radio.snr(found, x), abs=1e-9)
    assert simulated_radio.snr(torch.zeros_like(x), x) == pytest.approx(0, abs=1e-9)


def test_log_snr_sees_what_is_faint() -> None:
    sky = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    sky[..., 3, 3], sky[..., 8:, 8:] = 1.0, 1e-3
    bright_alone = sky * (sky > 0.5)
    assert simulated_radio.snr(bright_alone, sky) > 40
    assert simulated_radio.log_snr(bright_alone, sky) < 10
    assert simulated_radio.log_snr(2 * sky, sky) > 200


def test_the_residual_of_the_true_sky_is_that_of_the_noise_and_of_nothing_is_not() -> None:
    given = case()
    count = 2 * given.data.weights.numel()
    assert simulated_radio.residual_over_thermal(given, given.sky) == pytest.approx(1, abs=5 / math.sqrt(2 * count))
    assert simulated_radio.residual_over_thermal(given, torch.zeros_like(given.sky)) > 50
    flagged = given.data.weights.clone()
    flagged[::2] = 0
    half = given._replace(data=given.data._replace(weights=flagged))
    assert simulated_radio.residual_over_thermal(half, given.sky) == pytest.approx(1, abs=5 / math.sqrt(count))


def test_dynamic_range_is_a_peak_over_the_rms_of_the_dirty_residual() -> None:
    given = case()
    operator, total = given.operator, float(given.data.weights.sum())
    off = given.data.visibilities[None] - operator.weighted(None)(given.sky)
    residual = operator.adjoint(operator.whiten(off)) / total
    peak = operator.adjoint(operator(given.sky)).max() / total
    wanted = float(peak / residual.square().mean().sqrt())
    assert simulated_radio.dynamic_range(given, given.sky) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", ["multi-scale CLEAN", "non-negative least squares", "TV MAP", "wavelet MAP"])
def test_classical_methods_come_near_the_sky(name: str) -> None:
    given = case()
    method = classical_radio.OURS[name]
    found = classical_radio.pictures(method, given, method.start or 0.0, 60)[-1]
    assert simulated_radio.snr(found, given.sky) > 14 > 5 > simulated_radio.snr(given.problem.start(), given.sky)
    assert simulated_radio.residual_over_thermal(given, found) < 3
    if name != "multi-scale CLEAN":
        assert (found >= 0).all()


def near_the_sky(cleaned: rivals.Cleaned, given: Case) -> None:
    """Neither mirrored nor shifted, in Jy/pixel, and what is left is little."""
    assert cleaned.seconds > 0
    smooth = torch.nn.functional.avg_pool2d(cleaned.model.double(), 5, 1, 2)
    assert simulated_radio.snr(smooth, given.sky) > 12
    for other in (smooth.flip(2), smooth.flip(3), smooth.mT):
        assert simulated_radio.snr(other, given.sky) < 5
    assert float(cleaned.model.sum()) == pytest.approx(float(given.sky.sum()), rel=0.1)
    nothing = torch.zeros_like(given.sky)
    of = simulated_radio.residual_over_thermal
    assert of(given, cleaned.model) < of(given, nothing) / 20


@pytest.mark.skipif(bool(rivals.wsclean_is_missing()), reason=str(rivals.wsclean_is_missing()))
def test_wsclean_finds_the_sky_where_it_is() -> None:
    pytest.importorskip("casacore")
    given = case()
    with rivals.measurement_set(given) as path:
        cleaned = rivals.wsclean(given, path, rivals.Settings())
    near_the_sky(cleaned, given)
    assert cleaned.restored is not None
    assert simulated_radio.snr(cleaned.restored, given.sky) > 8


@pytest.mark.skipif(bool(rivals.radler_is_missing()), reason=str(rivals.radler_is_missing()))
def test_radler_finds_the_sky_where_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    given = case()
    near_the_sky(rivals.radler(given, rivals.Settings()), given)
    assert not capfd.readouterr().out


def test_settings_are_the_best_of_those_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case()
    monkeypatch.setattr(radio, "case", lambda setting, sky: given)

    def run(settings: rivals.Settings) -> rivals.Cleaned:
        worse = abs(settings.robust + 1) + (settings.mask != 2) + (settings.threshold < 0.3)
        diverged = torch.full_like(given.sky, math.nan)
        model = given.sky.flip(3) if worse == 0 else given.sky + 1e-3 * worse * given.sky.flip(2)
        restored = given.sky + 1e-3 * (1 + worse) * given.sky.flip(2)
        return rivals.Cleaned(diverged if settings.major_gain == 0.6 else model, restored, 1.0)

    best = radio.tuned(radio.Plan(simulated_radio.QUICK), {"sky": run})
    assert best[radio.RESTORED] == rivals.Settings(-1.0, mask=2.0)
    assert best[radio.MODEL].robust == -1.0 and best[radio.MODEL].mask == 3.0


def test_a_network_gets_the_gridded_problem_and_its_row_has_every_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case()

    class Perfect:
        steps = 3

        def __call__(self, problem: Any) -> Any:
            assert problem.moment is not None and float(problem.noise) == 1  # gridded once, and whitened
            return SimpleNamespace(final=2.0 * given.sky)

    monkeypatch.setattr(radio, "case", lambda setting, sky: given)
    monkeypatch.setattr(radio, "load", lambda path: Perfect())
    plan = radio.Plan(simulated_radio.QUICK, ("M31",))
    (found,) = radio.of_network("RIM", plan)
    assert (found["setting"], found["sky"], found["method"]) == (str(plan.setting), "M31", "RIM")
    assert set(radio.MEASURES) <= set(found) and found["step"] == 3
    assert found["snr"] > 200 and found["seconds"] > 0
    assert found["residual"] > 10  # the scale that is best for the picture is not its own


def test_a_weight_is_inside_of_its_grid_also_where_small_weights_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case()
    monkeypatch.setattr(radio, "case", lambda setting, sky: given)
    tried: list[float] = []

    def pictures(method: Any, given: Case, weight: float, steps: int, keep: str = "last") -> list[Tensor]:
        tried.append(weight)
        return [given.sky + (1e-3 + 1e-5 * weight) * (1 + abs(k - 19)) * given.sky.flip(2) for k in range(steps)]

    monkeypatch.setattr(radio, "pictures", pictures)
    (found,) = radio.classical("TV MAP", radio.Plan(simulated_radio.QUICK, ("M31",), ("one",)))
    assert found["step"] == 20 and min(tried) < found["weight"] < max(tried) and len(tried) < 8


def row(method: str, snr: float, seconds: float) -> dict[str, Any]:
    figures = dict.fromkeys(("log_snr", "ssim", "dynamic_range"), 1.0)
    return {"method": method, "snr": snr, "seconds": seconds, "residual": 1.1, **figures}


def test_the_headline_has_the_keys_of_the_pages_and_the_best_rival() -> None:
    rows = [row("TV MAP", 12, 1), row("wavelet MAP", 13, 1), row(radio.MODEL, 5, 3), row(radio.RESTORED, 9, 2)]
    without = radio.headline(radio.summary(rows))
    assert without == {"wsclean_db": 9, "map_db": 13}
    found = radio.headline(radio.summary([*rows, row("RIM", 15, 1), row("RIM", 17, 2)]))
    wanted = {"rim_db": 16, "wsclean_db": 9, "map_db": 13, "time_ratio_wsclean": 0.75, "residual_over_thermal": 1.1}
    assert found == wanted


def baselines() -> Tensor:
    return torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3e9


def test_the_ring_is_a_bessel_function_and_the_gaussian_is_half_at_half_of_its_width() -> None:
    uv, micro = baselines(), sgr_a.MICROARCSECOND
    with torch.no_grad():
        ring = sgr_a.Ring(50.0)
        ring.slope.fill_(1e-9)
        found = ring(uv)
    length = uv.norm(dim=1).numpy()
    thin = scipy.special.j0(math.pi * 50 * micro * length)
    wide = np.exp(-((math.pi * 15 * micro * length) ** 2) / (4 * math.log(2)))
    np.testing.assert_allclose(found.real.numpy(), thin * wide, atol=1e-8)
    np.testing.assert_allclose(found.imag.numpy(), 0, atol=1e-8)
    # The transform of a Gaussian of width w at half of its peak is half at 2 log 2 / (pi w).
    with torch.no_grad():
        gaussian = sgr_a.Gaussian(50.0)
        gaussian.log_axes.fill_(math.log(50.0))
        half = gaussian(torch.tensor([[2 * math.log(2) / (math.pi * 50 * micro), 0.0]], dtype=torch.float64))
    assert half.real.item() == pytest.approx(0.5)


def observed(model: torch.nn.Module, gains: bool) -> sgr_a.Closures:
    """The closures of a model seen by six stations at four times, with or without errors of the stations."""
    generator = torch.Generator().manual_seed(1)
    places = torch.randn(6, 2, dtype=torch.float64, generator=generator) * 2e9
    first, second = (t.repeat(4) for t in torch.triu_indices(6, 6, 1))
    time = torch.arange(4.0).double().repeat_interleave(15)
    turn = time * 0.4
    uv = places[second] - places[first]
    uv = torch.stack([turn.cos() * uv[:, 0] - turn.sin() * uv[:, 1], turn.sin() * uv[:, 0] + turn.cos() * uv[:, 1]], 1)
    with torch.no_grad():
        values = model(uv)
    if gains:
        errors = torch.randn(4, 6, 2, dtype=torch.float64, generator=generator)
        factors = torch.exp(torch.complex(0.2 * errors[..., 0], 3 * errors[..., 1]))
        values = values * factors[time.long(), first] * factors[time.long(), second].conj()
    used, weights = torch.ones(len(uv), dtype=torch.bool), torch.full((len(uv),), 1e4, dtype=torch.float64)
    rows = (time, first, second, used)
    triangles, quadrangles = task.closure_triangles(*rows), task.closure_quadrangles(*rows)
    phases = task.closure_phases(values, weights, triangles)
    return sgr_a.Closures(
        uv, triangles, quadrangles, phases, task.log_closure_amplitudes(values, weights, quadrangles), weights
    )


def test_a_fit_to_closures_finds_the_ring_whatever_the_stations_do() -> None:
    true = sgr_a.Ring(52.0)
    with torch.no_grad():
        true.slope.copy_(torch.tensor([0.3, -0.1]))
    given = observed(true, gains=True)
    start = sgr_a.Ring(40.0)
    found = sgr_a.fitted(sgr_a.Ring(40.0), given, steps=400)
    with torch.no_grad():
        before, after = (float(sum(sgr_a.chi2(model(given.baselines), given))) for model in (start, found))
    assert after < 0.1 < 10 < before
    assert found.log_sizes[0].exp().item() == pytest.approx(52, abs=0.5)  # type: ignore[index, operator, union-attr]


def test_chi2_is_per_degree_of_freedom() -> None:
    given = observed(sgr_a.Ring(52.0), gains=False)
    point = torch.ones(len(given.baselines), dtype=torch.complex128)
    without, with_four = sgr_a.chi2(point, given), sgr_a.chi2(point, given, 4)
    counts = [len(given.triangles.rows), len(given.quadrangles.rows)]
    for one, other, count in zip(without, with_four, counts, strict=True):
        assert float(other) == pytest.approx(float(one) * count / (count - 4))


def test_skies_are_whole_and_no_galaxy_is_for_both_tests_and_validation() -> None:
    for data in (simulated_radio.GALAXIES, simulated_radio.CYGNI, simulated_radio.MODELS):
        real_data(data)
    for name in (*simulated_radio.TEST, *simulated_radio.VALIDATION):
        sky = simulated_radio.sky(name)
        assert sky.shape == (1, 1, simulated_radio.SIDE, simulated_radio.SIDE)
        assert float(sky.sum()) == pytest.approx(1) and (sky >= 0).all()
    parts = simulated_radio.galaxies()
    for kind in ("FR I", "FR II"):
        test, validation = (set(parts[f"{part} {kind}"]) for part in ("test", "validation"))
        assert len(test) == len(validation) == simulated_radio.HELD_OUT and not test & validation
