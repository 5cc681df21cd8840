"""The calibration region, the noise and the virtual coils are found from k-space, or it is said why not."""

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.mri import border_noise, calibration_region, compress_coils, noise_covariance
from metaopt.tasks import coil_maps


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.view_as_complex(torch.randn(*shape, 2, generator=generator(seed)))


def coloured(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Noise (C, *shape) with its covariance."""
    mixing = torch.eye(4) + 0.3 * white(4, 4, seed=seed)
    return torch.einsum("cd,d...->c...", mixing, white(4, *shape, seed=seed + 1)), 2 * mixing @ mixing.mH


def smooth_kspace(*space: int) -> Tensor:
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in space), indexing="ij")
    picture = torch.exp(-8 * sum(a**2 for a in axes)) * (1 + 0.5 * torch.cos(9 * axes[0]))
    dims = tuple(range(1, len(space) + 1))
    return torch.fft.fftn(coil_maps(space, 4, generator()) * picture, dim=dims, norm="ortho")


def boxes_by_search(mask: Tensor) -> tuple[int, int]:
    """The best box of a centred mask (H, W) by trying all."""
    height, width = mask.shape
    fits = [
        (min(a, b), a * b, (a, b))
        for a in range(1, height + 1)
        for b in range(1, width + 1)
        if bool(mask[height // 2 - a // 2 :][:a, width // 2 - b // 2 :][:, :b].all())
    ]
    return max(fits)[2]


@pytest.mark.parametrize("shape", [(12, 12), (9, 14), (8, 5)])
def test_the_calibration_region_is_the_largest_full_box_around_the_centre(shape: tuple[int, int]) -> None:
    for seed in range(20):
        mask = torch.rand(shape, generator=generator(seed)) < 0.85
        mask[shape[0] // 2 - 2 : shape[0] // 2 + 2, shape[1] // 2 - 2 : shape[1] // 2 + 2] = True
        found = calibration_region(mask, centred=True)
        best = boxes_by_search(mask)
        assert (min(found), found[0] * found[1]) == (min(best), best[0] * best[1])
        assert calibration_region(torch.fft.ifftshift(mask).float()) == found


def test_the_calibration_region_of_lines_is_as_long_as_they_are() -> None:
    mask = torch.zeros(1, 30, 40, dtype=torch.bool)
    mask[..., ::4] = True
    mask[..., 14:26] = True
    assert calibration_region(mask[0], centred=True) == (30, 12)
    assert calibration_region(mask.expand(6, 30, 40), centred=True) == (6, 30, 12)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.zeros(8, 8), "no fully sampled centre; measure one"),
        ((torch.arange(8) % 2 == 0).expand(8, 8), "no fully sampled centre; measure one"),
        (torch.ones(8), r"must be \(H, W\) or \(D, H, W\)"),
        (torch.full((8, 8), float("nan")), "NaN"),
        (torch.nn.functional.pad(torch.ones(4, 4), (2, 2, 2, 2)), "the other value of centred"),
    ],
)
def test_a_mask_without_a_centre_is_refused(mask: Tensor, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        calibration_region(mask)


def test_the_covariance_of_a_noise_scan_is_that_of_the_noise() -> None:
    noise, covariance = coloured(0, 200, 100)
    torch.testing.assert_close(noise_covariance(noise), covariance, rtol=0, atol=0.05)


@pytest.mark.parametrize("level", [0.01, 0.03])
@pytest.mark.parametrize("space", [(96, 80), (24, 24, 24)])
def test_the_border_of_k_space_tells_the_noise_within_a_tenth(level: float, space: tuple[int, ...]) -> None:
    """Also with a few samples of signal in it, undersampled and in either convention."""
    noise, covariance = coloured(3, *space)
    kspace = (smooth_kspace(*space) + level * noise)[None]
    kspace = kspace * (torch.rand(space, generator=generator(1)) < 0.5)
    kspace[:, :, space[0] // 2] += 0.3 * level * 20 * (torch.arange(space[-1]) % 17 == 0)
    whitened = torch.linalg.inv(torch.linalg.cholesky(covariance * level**2))
    axes = tuple(range(2, kspace.ndim))
    for estimate in (
        border_noise(kspace, share=0.2),
        border_noise(torch.fft.fftshift(kspace, axes), share=0.2, readout=2, centred=True),
    ):
        ratios = torch.linalg.eigvalsh(whitened @ estimate @ whitened.mH)
        assert float(ratios.min()) > 0.7
        assert float(ratios.max()) < 1.4
        assert abs(float(ratios.mean()) - 1) < 0.1


def test_pure_noise_is_never_refused_and_its_power_is_found_in_the_mean() -> None:
    for coils, size, error in ((1, 64, 0.15), (4, 48, 0.06), (16, 64, 0.03)):
        powers = [float(border_noise(white(1, coils, size, size, seed=s)).diagonal().real.mean()) for s in range(30)]
        assert sum(powers) / 30 == pytest.approx(2, rel=error)


def test_a_border_that_holds_signal_is_refused() -> None:
    axes = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    disc = ((axes[0] ** 2 + axes[1] ** 2) < 0.5).float()
    kspace = torch.fft.fft2(coil_maps((64, 64), 4, generator()) * disc, norm="ortho")[None]
    for level in (0.0, 1e-4, 1e-3):
        with pytest.raises(mo.MetaoptError, match=r"more than noise|has no noise|give a noise scan"):
            border_noise(kspace + level * white(1, 4, 64, 64))


@pytest.mark.parametrize(
    ("kspace", "sentence"),
    [
        (torch.zeros(1, 4, 8, 8, dtype=torch.complex64), "0 samples of each of 4 coils, too few"),
        (white(1, 4, 4, 4), "16 samples of each of 4 coils, too few"),
        (white(1, 4, 32, 32) * torch.tensor([1, 1, 0, 1])[:, None, None], "zero in coil 2"),
        (white(1, 4, 32, 32) / 0, "NaN or infinite"),
        (torch.ones(1, 4, 8, 8), "needs complex"),
        (white(1, 0, 8, 8), "needs complex"),
    ],
)
def test_k_space_that_cannot_tell_the_noise_is_refused(kspace: Tensor, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        border_noise(kspace)


def test_virtual_coils_are_the_best_of_their_number_and_noise_stays_white() -> None:
    kspace = white(2, 6, 5, 4) * torch.tensor([3.0, 1, 2, 0.1, 0.5, 1])[:, None, None]
    compressed = compress_coils(kspace, 3)
    singular = torch.linalg.svdvals(kspace.transpose(0, 1).flatten(1)).square()
    assert compressed.energy == pytest.approx(float(singular[:3].sum() / singular.sum()), rel=1e-4)
    share = compressed.kspace.abs().square().sum() / kspace.abs().square().sum()
    assert float(share) == pytest.approx(compressed.energy, rel=1e-4)
    torch.testing.assert_close(compressed.matrix @ compressed.matrix.mH, torch.eye(3, dtype=torch.complex64))
    torch.testing.assert_close(
        compress_coils(kspace, 6).matrix.mH @ compress_coils(kspace, 6).kspace.flatten(2)[0],
        kspace.flatten(2)[0],
        rtol=0,
        atol=1e-5,
    )


def test_the_energy_asked_for_is_kept_by_as_few_virtual_coils_as_can() -> None:
    kspace = white(1, 6, 9, 9) * torch.tensor([3.0, 1, 2, 0.1, 0.5, 1])[:, None, None]
    for energy in (0.0, 0.5, 0.9, 0.99, 1.0):
        compressed = compress_coils(kspace, energy=energy)
        number = len(compressed.matrix)
        assert compressed.energy >= energy - 1e-9
        assert number == 1 or compress_coils(kspace, number - 1).energy < energy


@pytest.mark.parametrize(
    ("kspace", "options", "sentence"),
    [
        (white(1, 4, 8, 8), {"coils": 5}, "cannot make 5 virtual coils of 4 coils"),
        (white(1, 4, 8, 8), {}, "either coils"),
        (white(1, 4, 8, 8), {"coils": 2, "energy": 0.9}, "either coils"),
        (white(1, 4, 8, 8), {"coils": 0}, "at least 1 or None, but got 0"),
        (white(1, 0, 8, 8), {"coils": 1}, "needs complex"),
        (white(1, 4, 8, 8) * 0, {"coils": 2}, "zero everywhere"),
        (white(1, 4, 8, 8) / 0, {"coils": 2}, "NaN or infinite"),
    ],
)
def test_coils_that_cannot_be_combined_are_refused(kspace: Tensor, options: dict, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        compress_coils(kspace, **options)
