"""What the imaging benchmarks measure is what they say: protocols, tuned weights, curves, memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import metaopt as mo
from benchmarks import denoising, imaging, super_resolution
from benchmarks.memory import peak_of
from metaopt.metrics import psnr

DATA = Path(os.environ.get("METAOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(side: int = 48, channels: int = 1) -> Tensor:
    """A disk on a slope."""
    axis = torch.linspace(-1, 1, side)
    disk = (axis[:, None] ** 2 + axis**2 < 0.4).float()
    return (0.3 + 0.2 * axis + 0.4 * disk).expand(1, channels, side, side).contiguous()


def test_noise_has_the_level_that_is_said_and_quantised_pictures_are_of_8_bits() -> None:
    targets = [picture(), picture()]
    pairs = denoising.noisy(targets, 25)
    noise = torch.cat([p.y - t for p, t in pairs]) * 255 / 25
    assert abs(float(noise.std()) - 1) < 0.05
    assert not torch.equal(pairs[0][0].y, pairs[1][0].y), "every picture has noise of its own"
    rounded = 255 * denoising.noisy(targets, 50, quantised=True)[0][0].y
    torch.testing.assert_close(rounded, rounded.round(), rtol=0, atol=1e-4)
    assert rounded.min() >= 0 and rounded.max() <= 255


def test_the_curve_is_the_quality_of_the_outputs_and_begins_at_the_start() -> None:
    net, pairs = mo.models.rim(hidden=2, steps=3), denoising.noisy([picture(), picture()], 25)
    found = imaging.curve(net, pairs, 4)
    expected = [float(torch.stack([psnr(x.clamp(0, 1), t) for x, t in _at(net, pairs, k)]).mean()) for k in range(5)]
    assert found["psnr_at"] == pytest.approx(expected, abs=1e-4)
    assert len(found["ssim_at"]) == 5
    assert found["psnr_at"][0] == pytest.approx(imaging.mean_quality((p.y, t) for p, t in pairs)["psnr"], abs=1e-4)


def _at(net: mo.Unrolled, pairs: imaging.Pairs, k: int) -> list[tuple[Tensor, Tensor]]:
    return [((net(p, steps=k).final if k else p.start()).detach(), t) for p, t in pairs]


@pytest.mark.parametrize("start", [0.1, 8.0, 300.0])
def test_a_tuned_weight_is_the_best_of_its_grid_wherever_it_starts(start: float) -> None:
    pairs, run = denoising.noisy([picture()], 25), imaging.total_variation(1, inner=30)
    weight = imaging.tuned(run, pairs, start, ratio=2.0)
    at = [imaging.mean_quality((run(w, p), t) for p, t in pairs)["psnr"] for w in (weight / 2, weight, 2 * weight)]
    assert at[1] > at[0] and at[1] > at[2]


def test_the_border_does_not_count() -> None:
    target = picture()
    spoiled = target.clone()
    spoiled[..., :2, :] = 1
    inside, whole = (imaging.quality(spoiled, target, border)[0] for border in (2, 0))
    assert inside == float("inf")
    assert whole < 30


def test_the_luminance_is_that_of_scikit_image() -> None:
    from skimage.color import rgb2ycbcr

    colour = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = rgb2ycbcr(colour[0].movedim(0, -1).double().numpy())[..., 0] / 255
    torch.testing.assert_close(
        super_resolution.luminance(colour)[0, 0].double(), torch.tensor(expected), rtol=0, atol=1e-6
    )


@pytest.mark.skipif(not (DATA / "natural/set5").is_dir(), reason=f"there is no {DATA}/natural/set5")
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_interpolation_of_set5_has_its_published_psnr(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published figures round the picture to 8 bits."""
    monkeypatch.setenv("METAOPT_DATA", str(DATA))
    pairs = [
        super_resolution.shrunk(super_resolution.luminance(p), factor) for p in imaging.pictures("natural/set5", False)
    ]
    found = imaging.row(lambda p: super_resolution.interpolated(p, factor, "bicubic"), pairs, factor)["psnr"]
    assert found == pytest.approx(super_resolution.PUBLISHED["bicubic"][factor - 2], abs=0.06)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_is_what_was_held_at_most() -> None:
    def work() -> int:
        held = torch.zeros(64, 2**20)  # 256 MiB
        return len(held)

    result, peak = peak_of(work)
    assert result == 64
    assert 0.24 < peak < 0.35


def test_every_classical_rival_and_the_machine_denoise() -> None:
    pairs = denoising.noisy([picture(64)], 25)
    before = imaging.mean_quality((p.y, t) for p, t in pairs)["psnr"]
    runs = {name: (lambda p, run=run, w=w: run(w, p)) for name, (run, w) in denoising.CLASSICAL.items()}
    runs |= {"network": imaging.network("denoise_grey"), "three steps": imaging.network("denoise_grey", 3)}
    runs |= {"lower": imaging.in_bfloat16(imaging.network("denoise_grey"))}
    found = {name: imaging.row(run, pairs) for name, run in runs.items()}
    assert all(row["psnr"] > before + 4 for row in found.values()), found
    assert found["lower"]["psnr"] == pytest.approx(found["network"]["psnr"], abs=0.1)
    assert all(row["seconds"] > 0 for row in found.values())
