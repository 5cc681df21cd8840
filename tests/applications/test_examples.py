"""The demonstration's problems are what its page says, and its table holds the figures of what is shown."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from metaopt.applications import demo
from metaopt.metrics import psnr, ssim
from metaopt.models import load
from metaopt.operators import Fourier
from metaopt.priors import TotalVariation

from ..training import tiny


def test_the_camera_has_noise_of_25_grey_levels() -> None:
    from skimage import data

    example = demo.camera_denoised()
    assert torch.equal((255 * example.target[0, 0]).round().byte(), torch.from_numpy(data.camera()))
    noise = 255 * (example.problem.y - example.target)
    assert abs(float(noise.std()) - 25) < 0.1
    assert float(example.problem.noise) == pytest.approx(25 / 255)
    assert example.problem.y.min() < 0, "the noise is not clipped"


def test_the_head_is_seen_through_a_quarter_of_its_kspace() -> None:
    example = demo.head_from_kspace()
    operator = example.problem.operator
    assert isinstance(operator, Fourier)
    mask = example.given["sampled k-space"]
    assert float(mask.mean()) == pytest.approx(1 / 4, abs=1e-4)
    assert mask[0, 0, 126:131, 126:131].min() == 1, "the centre is sampled"
    assert example.target.abs().max() == pytest.approx(1, abs=1e-6)
    assert example.target.angle()[example.target.abs() > 0.1].std() > 0.2, "it has a phase"
    noise = example.problem.y - operator(example.target)
    sampled = example.problem.y.abs() > 0
    for part in (noise[sampled].real, noise[sampled].imag):
        assert abs(float(part.std()) / demo.MRI_NOISE - 1) < 0.05
    assert noise[~sampled].abs().max() < 1e-5


def test_the_astronaut_is_projected_to_a_quarter_of_its_pixels() -> None:
    example = demo.astronaut_from_projections()
    assert example.problem.y.shape == (1, 64, 256)
    noise = example.problem.y - example.problem.operator(example.target)
    level = float(example.problem.noise)
    assert abs(float(noise.std()) / level - 1) < 0.05
    assert abs(1 / 255 / level - 3) < 0.15, "one grey level, over the norm 1 + sqrt(1024 / 256) of such a matrix"
    assert 0 <= example.target.min() < example.target.max() <= 1


def test_the_table_and_the_section_hold_what_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tiny.write_weights(tmp_path)
    camera = demo.camera_denoised()
    crop = (..., slice(0, 24), slice(0, 32))
    problem = dataclasses.replace(camera.problem, y=camera.problem.y[crop])
    example = dataclasses.replace(
        camera,
        weights=str(weights),
        problem=problem,
        target=camera.target[crop],
        given={"noisy": problem.y},
        baselines={"total variation": (lambda w: TotalVariation(w, inner=5), 1, 10.0)},
    )
    lines: list[str] = []
    section = demo.show(example, lines.append)
    net, target = load(weights), example.target
    outputs = net(problem, steps=6).outputs
    expected = [float(psnr(x, target)) for x in (problem.start(), *outputs)]
    assert section.iterates.psnr == pytest.approx(expected, abs=1e-3)
    assert section.iterates.trained_steps == 3
    assert len(section.iterates.estimates) == 7
    torch.testing.assert_close(section.iterates.estimates[3], outputs[2][0, 0].clamp(0, 1), rtol=0, atol=1e-5)
    network, twice, baseline = section.rows
    assert (network.steps, twice.steps, baseline.steps) == (3, 6, 1)
    assert network.psnr == pytest.approx(expected[3], abs=1e-3)
    assert network.ssim == pytest.approx(float(ssim(outputs[2], target)), abs=1e-4)
    assert baseline.psnr > expected[0] + 1, "total variation denoises"
    assert all(math.isfinite(row.seconds_per_step) and row.seconds_per_step > 0 for row in section.rows)
    table = "\n".join(lines)
    assert f"{expected[3]:.2f}" in table
    assert "trained to here" in table
    assert f"{baseline.psnr:.2f}" in table
