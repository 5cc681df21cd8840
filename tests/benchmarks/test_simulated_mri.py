"""What benchmarks.mri simulates, how it scores a picture, and what its headline takes from the rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks import mri, simulated_mri
from benchmarks.simulated_mri import Setting, classical, quality, scores, simulate

from ..helpers import normal


def head(size: int = 48) -> Tensor:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    return ((x / 0.7).square() + (y / 0.9).square() < 1).float()[None, None] * (0.6 + 0.4 * torch.cos(5 * x))


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_mri, "slices", lambda person, every: [head(), head().flip(-1)])


@pytest.mark.parametrize("setting", [Setting(), Setting(6, 0.005), Setting(coils=8), Setting(3, columns=True)], ids=str)
def test_k_space_is_that_of_the_target_with_the_noise_and_acceleration_that_are_said(setting: Setting) -> None:
    case = simulate(head(), setting, 3)
    measured = case.problem.y.abs() > 0
    assert measured.numel() / float(measured.sum()) == pytest.approx(setting.acceleration, rel=0.06)
    off = (case.problem.y - case.problem.operator(case.target))[measured]
    assert float(torch.view_as_real(off).std()) == pytest.approx(setting.noise, rel=0.1)
    torch.testing.assert_close(case.target.abs(), head(), rtol=0, atol=1e-5)
    assert float(case.target.imag.abs().max()) > 0.05  # it has a phase
    again = simulate(head(), setting, 3).problem.y
    assert torch.equal(again, case.problem.y) and not torch.equal(again, simulate(head(), setting, 4).problem.y)


def test_larger_pixels_show_the_same_picture() -> None:
    small = simulate(head(), Setting(share=0.5), 0).target.abs()
    assert small.shape == (1, 1, 24, 24)
    averaged = torch.nn.functional.avg_pool2d(head(), 2)
    assert float((small - averaged).square().mean()) < 0.02 * float(averaged.square().mean())


def test_scores_are_those_of_magnitudes_at_the_targets_peak() -> None:
    target = 2 * head() * torch.exp(1j * normal(0, 1, 1, 48, 48, dtype=torch.float32))
    picture = target.abs() + 0.1
    got = scores(picture, target)
    assert got.psnr == pytest.approx(20 * math.log10(float(target.abs().max()) / 0.1), abs=1e-3)
    assert got.nmse == pytest.approx(0.01 * 48 * 48 / float(target.abs().square().sum()), rel=1e-4)
    assert scores(7 * target, target, scaled=True).psnr > 100 > scores(7 * target, target).psnr


def test_a_row_has_every_step_and_its_spread_is_over_people(people: None) -> None:
    def run(case: simulated_mri.Simulated) -> list[Tensor]:
        return [case.target * share for share in (0.5, 0.8, 1.2)]

    row = quality(run, Setting(), 1)
    assert row["steps"]["step"] == [1, 2, 3] and row["step"] == 3
    assert row["psnr"] == pytest.approx(row["steps"]["psnr"][1], abs=1e-3)  # 0.2 too little, and too much
    assert row["spread"] == pytest.approx(0, abs=1e-5)
    early = quality(run, Setting(), 1, step=1)
    assert early["psnr"] == pytest.approx(row["steps"]["psnr"][0], abs=1e-4)


def test_a_classical_row_has_the_weight_and_step_that_are_best_on_validation_people(people: None) -> None:
    def method(weight: float) -> simulated_mri.Run:
        return lambda case: [case.target * (1 + 0.1 * abs(math.log2(weight / 4)) + off) for off in (0.2, 0.01, 0.3)]

    row = classical(method, 0.5, False, Setting(), 1)
    assert row["weight"] == 4 and row["step"] == 2


def test_the_headline_compares_with_the_best_row_that_is_not_learned() -> None:
    settings = [Setting(4), Setting(6), mri.LOW_NOISE, mri.COILS]
    rows = [
        {"setting": str(setting), "method": method, "psnr": value + i}
        for i, setting in enumerate(settings)
        for method, value in {
            "zero-filled": 19.0,
            "TV": 23.0,
            "sigpy TV": 24.0,
            "RIM": 26.5,
            "RIM, patches of 30 x 30": 26.25,
            "RIM, brief training": 25.0,
            "variational network, brief training": 24.5,
        }.items()
    ]
    real = {"RIM": 35.5, "L1-wavelet": 35.8, "BART L1-wavelet": 35.4, "BART TV": 32.0}
    rows += [{"setting": "real brain, R = 4", "method": method, "psnr": value} for method, value in real.items()]
    rows += [{"setting": f"whole head, {c}", "method": "RIM", "seconds": 9.0} for c in ("1 coil", "8 coils")]
    found = mri.headline(rows)
    assert (found["classical_4x"], found["rim_4x"], found["rim_6x"]) == (24.0, 26.5, 27.5)
    assert found["low_noise_gain_4x"] == found["coils8_gain_4x"] == 2.5
    assert (found["patch30_gap"], found["varnet_gap"], found["bart_gap"]) == (0.25, 0.5, 0.4)
    assert (found["real8_r4"], found["real8_r4_bart"], found["brain8_seconds"]) == (35.5, 35.4, 9.0)
