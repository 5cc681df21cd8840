"""Volumes that no axis divides into planes are reconstructed as one, within the memory that there is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from metaopt.applications.mri import Settings, describe, memory, reconstruct
from metaopt.applications.results import read_result
from metaopt.cli import main
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.data import KSpace, open_kspace

SHAPE, LARGE = (9, 12, 10), (18, 20, 16)
AXES = "coil depth row column"


def transform(x: np.ndarray, inverse: bool = False) -> np.ndarray:
    axes = (-3, -2, -1)
    fft = np.fft.ifftn if inverse else np.fft.fftn
    return np.fft.fftshift(fft(np.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)


def waves(n: int) -> np.ndarray:
    """The transform of one axis as a matrix."""
    place = np.arange(n) - n // 2
    return np.exp(-2j * np.pi * np.outer(place, place) / n) / np.sqrt(n)


def sampling(shape: tuple[int, ...] = SHAPE, reach: int = 3) -> np.ndarray:
    """Half of the points of all three axes, and the middle."""
    mask = np.random.default_rng(0).random(shape) < 0.5
    mask[tuple(slice(n // 2 - reach, n // 2 + reach) for n in shape)] = True
    return mask


def grid_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))


def ball(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return 10 * ((grid_of(shape) ** 2).sum(0) < 0.5) + 5 * (np.abs(grid_of(shape)) < 0.3).all(0)


def sensitivities(coils: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    grid = grid_of(shape)
    centres = np.random.default_rng(1).normal(size=(coils, 3, 1, 1, 1))
    maps = np.exp(-((grid - centres) ** 2).sum(1) / 4) * np.exp(1j * grid[0])
    return maps / np.sqrt((np.abs(maps) ** 2).sum(0))


def saved(folder: Path, coils: int, mask: np.ndarray, noise: float = 0.05) -> tuple[KSpace, np.ndarray]:
    draw = np.random.default_rng(2)
    y = transform(ball(mask.shape) * sensitivities(coils, mask.shape))
    y = mask * (y + noise * (draw.normal(size=y.shape) + 1j * draw.normal(size=y.shape)))
    np.save(folder / "k.npy", y.astype(np.complex64))
    return open_kspace(folder / "k.npy", axes=AXES, centred=True), y


def test_least_squares_of_a_volume_are_those_of_dense_algebra(tmp_path: Path) -> None:
    noise, weight, maps, mask = 0.05, 2e4, sensitivities(3), sampling()
    kspace, y = saved(tmp_path, 3, mask)
    unit = np.quantile(np.sqrt((np.abs(transform(y, inverse=True)) ** 2).sum(0)), 0.999)
    points = math.prod(SHAPE)
    dense = np.einsum("ai,bj,ck->abcijk", *map(waves, SHAPE)).reshape(points, points)[mask.ravel()]
    forward = np.concatenate([dense * coil.ravel() for coil in maps])
    right = forward.conj().T @ np.concatenate([coil[mask] for coil in y])
    expected = np.linalg.solve(forward.conj().T @ forward + weight * (noise / unit) ** 2 * np.eye(points), right)
    settings = Settings("cg", weight=weight, steps=200)
    found = reconstruct(kspace, settings, noise=noise, maps=torch.from_numpy(maps).to(torch.complex64))
    assert found.pictures.shape == SHAPE
    assert np.allclose(found.pictures.numpy(), np.abs(expected).reshape(SHAPE), atol=0.05)


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("method", ["zero", "cg", "cs", "tv"])
def test_every_method_but_the_network_reconstructs_a_whole_volume(tmp_path: Path, method: str, coils: int) -> None:
    truth, mask = ball(LARGE), sampling(LARGE, 6)
    kspace, y = saved(tmp_path, coils, mask)
    zero = np.sqrt((np.abs(transform(y, inverse=True)) ** 2).sum(0))
    found = reconstruct(kspace, Settings(method), noise=0.05)
    error, of_zero = (np.linalg.norm(x - truth) / np.linalg.norm(truth) for x in (found.pictures.numpy(), zero))
    if method == "zero":
        assert np.allclose(found.pictures.numpy(), zero, atol=1e-4)
    else:
        assert error < (0.2 if coils > 1 else of_zero + 0.01)
        assert len(found.residual) == 1 and 0 < float(found.residual) < 3


def test_a_mask_in_three_dimensions_makes_one_of_a_volume_that_could_be_divided(tmp_path: Path) -> None:
    full, _ = saved(tmp_path, 1, np.ones(SHAPE, bool))
    mask = torch.from_numpy(sampling()).float()
    found = reconstruct(full, Settings("cs"), noise=0.05, mask=mask)
    masked, _ = saved(tmp_path, 1, sampling())
    assert torch.allclose(found.pictures, reconstruct(masked, Settings("cs"), noise=0.05).pictures, atol=1e-4)


def test_pictures_that_are_0_for_want_of_maps_are_warned_of(tmp_path: Path) -> None:
    mask = sampling()
    mask[tuple(slice(n // 2 - 3, n // 2 + 4) for n in SHAPE)] = True  # 8 patches of ESPIRiT, which tell it nothing
    kspace, _ = saved(tmp_path, 4, mask)
    with pytest.warns(MetaoptWarning, match="0 everywhere, since the maps of the coils are.*--maps"):
        found = reconstruct(kspace, Settings("cg"), noise=0.05)
    assert not found.pictures.any()


def run(folder: Path, *options: str) -> int:
    words = ["mri", "reconstruct", str(folder / "k.npy"), str(folder / "o.nii"), "--axes", AXES, "--noise", "0.05"]
    return main([*words, *options])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no axis along which every line is sampled in full.*take --method cs, tv, cg or zero"),
        (["--method", "cs", "--slices", "0:1"], "leave --slices out"),
    ],
)
def test_what_only_planes_have_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    saved(tmp_path, 1, sampling())
    assert run(tmp_path, *options) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(part in err for part in words.split(".*"))
    assert [path.name for path in tmp_path.iterdir()] == ["k.npy"]


def test_a_volume_that_needs_more_memory_than_is_free_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kspace, _ = saved(tmp_path, 4, sampling())
    needed = memory.whole_bytes(SHAPE, 4)
    monkeypatch.setattr(memory, "free_bytes", lambda: needed - 1)
    with pytest.raises(MetaoptError, match=r"takes about 0\.\d GB of memory, but 0\.\d GB are free: free some"):
        reconstruct(kspace, Settings("zero"), noise=0.05)
    monkeypatch.setattr(memory, "free_bytes", lambda: needed)
    reconstruct(kspace, Settings("zero"), noise=0.05)


def test_memory_is_counted_for_every_point_coil_and_kept_step() -> None:
    base = memory.whole_bytes((100, 100, 100), 8)
    assert base >= 8 * 10**6 * 8 * 4  # k-space, maps and what A makes of them, at the very least
    assert memory.whole_bytes((100, 100, 200), 8) > 1.8 * base
    assert memory.whole_bytes((100, 100, 100), 8, steps=150) > base + 150 * 12 * 10**6
    assert memory.free_bytes() > 2**20


def test_info_and_the_viewer_take_a_whole_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kspace, _ = saved(tmp_path, 1, sampling())
    text = " ".join(describe(kspace).split())
    assert "planes: none, since no axis is sampled in full: it is reconstructed as a whole" in text
    assert run(tmp_path, "--method", "tv", "--steps", "3", "--steps-out", str(tmp_path / "s.npz"), "--check") == 0
    assert "in slice" not in capsys.readouterr().out
    found = read_result(tmp_path / "s.npz")
    assert found.shape == SHAPE and found.counts == {"tv": 4}
    assert found.mask is not None and np.array_equal(found.mask, sampling()[SHAPE[0] // 2])
