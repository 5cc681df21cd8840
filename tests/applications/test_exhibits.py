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
from metaopt.problems import TotalVariation

from ..training import tiny


def test_the_camera_has_noise_of_25_grey_levels() -> None:
    from skimage import data

    exhibit = demo.camera_denoised()
    assert torch.equal((255 * exhibit.target[0, 0]).round().byte(), torch.from_numpy(data.camera()))
    noise = 255 * (exhibit.problem.y - exhibit.target)
    assert abs(float(noise.std()) - 25) < 0.1
    assert float(exhibit.problem.noise) == pytest.approx(25 / 255)
    assert exhibit.problem.y.min() < 0, "the noise is not clipped"


def test_the_head_is_seen_through_a_quarter_of_its_kspace() -> None:
    exhibit = demo.head_from_kspace()
    operator = exhibit.problem.operator
    assert isinstance(operator, Fourier)
    mask = exhibit.given["sampled k-space"]
    assert float(mask.mean()) == pytest.approx(1 / 4, abs=1e-4)
    assert mask[0, 0, 126:131, 126:131].min() == 1, "the centre is sampled"
    assert exhibit.target.abs().max() == pytest.approx(1, abs=1e-6)
    assert exhibit.target.angle()[exhibit.target.abs() > 0.1].std() > 0.2, "it has a phase"
    noise = exhibit.problem.y - operator(exhibit.target)
    sampled = exhibit.problem.y.abs() > 0
    for part in (noise[sampled].real, noise[sampled].imag):
        assert abs(float(part.std()) / demo.MRI_NOISE - 1) < 0.05
    assert noise[~sampled].abs().max() < 1e-5


def test_the_astronaut_is_projected_to_a_quarter_of_its_pixels() -> None:
    exhibit = demo.astronaut_from_projections()
    assert exhibit.problem.y.shape == (1, 64, 256)
    noise = exhibit.problem.y - exhibit.problem.operator(exhibit.target)
    level = float(exhibit.problem.noise)
    assert abs(float(noise.std()) / level - 1) < 0.05
    assert abs(1 / 255 / level - 3) < 0.15, "one grey level, over the norm 1 + sqrt(1024 / 256) of such a matrix"
    assert 0 <= exhibit.target.min() < exhibit.target.max() <= 1


def test_the_table_and_the_section_hold_what_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tiny.write_weights(tmp_path)
    camera = demo.camera_denoised()
    crop = (..., slice(0, 24), slice(0, 32))
    problem = dataclasses.replace(camera.problem, y=camera.problem.y[crop])
    exhibit = dataclasses.replace(
        camera,
        weights=str(weights),
        problem=problem,
        target=camera.target[crop],
        given={"noisy": problem.y},
        rivals={"total variation": (lambda w: TotalVariation(w, inner=5), 1, 10.0)},
    )
    lines: list[str] = []
    section = demo.show(exhibit, lines.append)
    net, target = load(weights), exhibit.target
    outputs = net(problem, steps=6).outputs
    expected = [float(psnr(x, target)) for x in (problem.start(), *outputs)]
    assert section.walk.psnr == pytest.approx(expected, abs=1e-3)
    assert section.walk.trained_steps == 3
    assert len(section.walk.estimates) == 7
    torch.testing.assert_close(section.walk.estimates[3], outputs[2][0, 0].clamp(0, 1), rtol=0, atol=1e-5)
    machine, twice, rival = section.rows
    assert (machine.steps, twice.steps, rival.steps) == (3, 6, 1)
    assert machine.psnr == pytest.approx(expected[3], abs=1e-3)
    assert machine.ssim == pytest.approx(float(ssim(outputs[2], target)), abs=1e-4)
    assert rival.psnr > expected[0] + 1, "total variation denoises"
    assert all(math.isfinite(row.seconds_per_step) and row.seconds_per_step > 0 for row in section.rows)
    table = "\n".join(lines)
    assert f"{expected[3]:.2f}" in table
    assert "trained to here" in table
    assert f"{rival.psnr:.2f}" in table
