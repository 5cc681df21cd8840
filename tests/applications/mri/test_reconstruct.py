"""Files of k-space become pictures: the right ones, in the file's units and place, slice by slice."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.mri import Settings, reconstruct, residual_maps, simulate_file
from metaopt.core import Unrolled
from metaopt.data import KSpace, open_kspace, write_nifti
from metaopt.operators import Fourier, Sense

from ...helpers import normal
from .volumes import AFFINE, head, simulated

METHODS = ("rim", "cs", "tv", "cg", "zero")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("kspace")
    return {coils: simulated(folder, coils) for coils in (1, 4)}


def error(pictures: Tensor, truth: Tensor) -> float:
    return float((pictures - truth).norm() / truth.norm())


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_volume_that_was_measured(files: dict[int, Path], coils: int, method: str) -> None:
    kspace = open_kspace(files[coils])
    found = reconstruct(kspace, Settings(method))
    truth = 100 * head()
    assert found.pictures.shape == truth.shape
    zero = reconstruct(kspace, Settings("zero"))
    limit = 0.2 if method in ("zero", "cg") else error(zero.pictures, truth)
    assert error(found.pictures, truth) < limit
    assert torch.equal(torch.as_tensor(found.affine), AFFINE)
    if method not in ("zero", "cg"):
        assert torch.all((found.residual > 0) & (found.residual < 1.5))


@pytest.mark.parametrize("scale", [1e-6, 1e6, 0.37])
@pytest.mark.parametrize("method", METHODS)
def test_scaled_kspace_gives_the_same_picture_scaled(
    files: dict[int, Path], tmp_path: Path, method: str, scale: float
) -> None:
    with h5py.File(files[1]) as file:
        y = file["kspace"][1:2, 0]
    np.save(tmp_path / "one.npy", y)
    np.save(tmp_path / "scaled.npy", (scale * y).astype(np.complex64))
    pictures = []
    for name, unit in (("one", 1.0), ("scaled", scale)):
        kspace = open_kspace(tmp_path / f"{name}.npy", axes="slice row column")
        pictures.append(
            reconstruct(kspace, Settings(method, steps=None if method == "zero" else 3), noise=unit).pictures
        )
    assert torch.allclose(pictures[1] / scale, pictures[0], rtol=1e-3, atol=2e-4 * float(pictures[0].max()))


@pytest.mark.parametrize("method", ["cs", "tv", "cg"])
@pytest.mark.parametrize("noise", [0.005, 0.05])
def test_the_usual_weight_is_near_the_best_at_low_and_at_high_noise(tmp_path: Path, method: str, noise: float) -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("s1045.ima.gz") as file:
        stored = np.frombuffer(file.read(), np.uint16).reshape(64, 4, 64, 4).mean((1, 3))
    truth = torch.from_numpy(stored).float()[None]
    write_nifti(tmp_path / "head.nii", truth)
    simulate_file(tmp_path / "head.nii", tmp_path / "k.h5", 3, 4, noise)
    kspace, usual = open_kspace(tmp_path / "k.h5"), {"cs": 0.25, "tv": 0.15, "cg": 1.2}[method] / noise
    weights = (None, usual / 30, 30 * usual)
    errors = [error(reconstruct(kspace, Settings(method, weight=weight)).pictures, truth) for weight in weights]
    assert errors[0] < 1.02 * min(errors[1:])  # conjugate gradients hardly need a weight at low noise


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_reconstructed_across_its_readout(tmp_path: Path, axis: int) -> None:
    """Zero-filled, a plane at a time is the inverse transform of the whole volume."""
    shape = [6, 24, 20]
    x = normal(0, *shape, dtype=torch.complex128).abs() + 0.1
    y = Fourier(dims=3, centred=True)(x[None, None].to(torch.complex128))[0, 0]
    plane = [n for i, n in enumerate(shape) if i != axis]
    mask = (torch.rand(plane, generator=torch.Generator().manual_seed(1)) < 0.7).double()  # of whole readouts
    full = mask.unsqueeze(axis).expand(shape)
    np.save(tmp_path / "volume.npy", (y * full).numpy()[None])
    kspace = open_kspace(tmp_path / "volume.npy", axes="coil depth row column", centred=True)
    found = reconstruct(kspace, Settings("zero"))
    expected = Fourier(dims=3, centred=True).adjoint((y * full)[None, None])[0, 0].abs()
    assert found.axis == axis
    assert torch.allclose(found.pictures.double(), expected, atol=1e-5)


@pytest.mark.parametrize("method", ["cg", "rim"])
def test_every_slice_is_read_once_beside_what_is_probed_and_a_network_takes_them_together(
    files: dict[int, Path], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    reads, sizes, read, run = [], [], KSpace.read, Unrolled.forward
    monkeypatch.setattr(KSpace, "read", lambda kspace, *given: reads.append(given) or read(kspace, *given))
    monkeypatch.setattr(
        Unrolled, "forward", lambda net, problem, *a, **k: sizes.append(len(problem.y)) or run(net, problem, *a, **k)
    )
    reconstruct(open_kspace(files[1]), Settings(method, steps=1))
    probed, of_masks = 3, 1 + (method == "rim")
    assert len(reads) == 3 + probed + of_masks
    assert sizes == ([3] if method == "rim" else [])


def test_some_slices_are_those_of_the_whole_volume_at_their_place(files: dict[int, Path]) -> None:
    kspace = open_kspace(files[4])
    whole, part = (reconstruct(kspace, Settings("cg"), slices=slices) for slices in ((None, None), (1, 3)))
    assert torch.allclose(part.pictures, whole.pictures[1:3], rtol=1e-4, atol=1e-3)
    first = torch.as_tensor(part.affine) @ torch.tensor([0.0, 0, 0, 1]).double()
    assert torch.allclose(first, AFFINE @ torch.tensor([0.0, 0, 1, 1]).double())


def test_every_step_begins_at_the_start_and_ends_at_the_picture(files: dict[int, Path]) -> None:
    kspace = open_kspace(files[1])
    for method in ("rim", "cg", "cs"):
        found = reconstruct(kspace, Settings(method, steps=4), every_step=True)
        start = reconstruct(kspace, Settings("zero")).pictures
        assert found.steps is not None
        assert found.steps.shape == (5 if method == "rim" else len(found.steps), *start.shape)
        assert torch.allclose(found.steps[0], start, rtol=1e-4, atol=1e-3)
        assert torch.equal(found.steps[-1], found.pictures)


def test_the_residual_of_the_truth_is_the_noise() -> None:
    """Of the true picture noise alone is left, wherever it was sampled."""
    mask = (torch.rand(40, 40, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    maps = normal(1, 2, 3, 40, 40, dtype=torch.complex64)
    operator = Fourier(mask, centred=True) @ Sense(maps)
    x = normal(2, 1, 2, 40, 40, dtype=torch.complex64)
    noise = 0.3 * mask * normal(3, 1, 3, 40, 40, dtype=torch.complex64) * 2**0.5
    maps_left = residual_maps(mo.InverseProblem(operator, operator(x) + noise, 0.3), x)
    assert torch.allclose(maps_left.kspace, noise / 0.3, atol=1e-4)
    assert torch.allclose(maps_left.picture, operator.adjoint(noise) / 0.3, atol=1e-4)
    assert abs(float(maps_left.level) - 1) < 0.05
