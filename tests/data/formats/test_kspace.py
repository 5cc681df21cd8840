"""K-space is read centred, with the right axis for each meaning, from every format; or it is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from metaopt import MetaoptError
from metaopt.data import open_kspace, write_fastmri, write_nifti
from metaopt.data.formats.kspace_sampling import partial_fourier
from metaopt.operators import gaussian_columns_mask, partial_fourier_mask


def picture(rows: int = 48, columns: int = 40) -> np.ndarray:
    """A bright disc above the middle, with a small spot at the lower left, so that no flip or turn goes unseen."""
    y, x = np.mgrid[:rows, :columns]
    disc = ((y - 0.4 * rows) / (0.3 * rows)) ** 2 + ((x - 0.5 * columns) / (0.25 * columns)) ** 2 < 1
    return disc + 2.0 * ((abs(y - 0.8 * rows) < 3) & (abs(x - 0.3 * columns) < 3))


def kspace_of(x: np.ndarray, coils: int = 4) -> np.ndarray:
    """(C, *space) centred and unitary, with a smooth complex sensitivity a coil."""
    ramp = np.linspace(-1, 1, x.shape[-1])
    coil = np.stack([np.exp(-((ramp - place) ** 2) + 1j * place * ramp) for place in np.linspace(-1, 1, coils)])
    axes = tuple(range(-x.ndim, 0))
    pictures = coil.reshape(coils, *[1] * (x.ndim - 1), -1) * x
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(pictures, axes), axes=axes, norm="ortho"), axes)


def test_a_numpy_array_is_read_as_it_was_saved_and_says_which_axis_it_took_for_coils(tmp_path: Path) -> None:
    kspace = kspace_of(picture()).astype(np.complex64)
    np.save(tmp_path / "k.npy", kspace)
    found = open_kspace(tmp_path / "k.npy")
    assert (found.slices, found.coils, found.shape, found.dims) == (1, 4, (48, 40), 2)
    assert "taken as coil row column" in found.notes[0]
    assert torch.equal(found.read(0), torch.from_numpy(kspace))


def test_words_say_which_axis_is_what(tmp_path: Path) -> None:
    slices = np.stack([kspace_of(s * picture()) for s in (1, 2, 3)])
    stored = slices.transpose(2, 0, 3, 1)[..., None]  # row, slice, column, coil
    np.save(tmp_path / "k.npy", np.concatenate([stored.real, stored.imag], -1))
    found = open_kspace(tmp_path / "k.npy", axes="row slice column coil complex")
    assert (found.slices, found.coils, found.shape) == (3, 4, (48, 40))
    assert torch.equal(found.read(2), torch.from_numpy(slices[2]))


@pytest.mark.parametrize("shape", [(40, 48, 56), (8, 40, 9), (3, 4, 48, 40), (40, 8, 48), (20, 24)])
def test_axes_that_the_sizes_leave_open_are_asked_for(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "k.npy", np.ones(shape, complex))
    with pytest.raises(MetaoptError, match=r"leave doubt; say it by axes="):
        open_kspace(tmp_path / "k.npy")


def test_fastmri_is_written_and_read_again_with_its_mask_pictures_and_sizes(tmp_path: Path) -> None:
    slices = [torch.from_numpy(kspace_of(s * picture())).to(torch.complex64) for s in (1, 2, 3)]
    mask = torch.zeros(40)
    mask[::2] = mask[16:24] = 1
    affine = torch.diag(torch.tensor([2.0, 3.0, 5.0, 1.0]))
    rss = [torch.from_numpy(s * picture()).float() for s in (1, 2, 3)]
    write_fastmri(tmp_path / "k.h5", iter(slices), (2.0, 3.0, 5.0), mask, iter(rss), affine, {"noise": 0.5})
    found = open_kspace(tmp_path / "k.h5")
    assert (found.slices, found.coils, found.shape, found.picture_shape) == (3, 4, (48, 40), (48, 40))
    assert found.voxel == (2.0, 3.0, 5.0)
    assert torch.equal(found.affine, affine.double())
    assert found.attributes["noise"] == 0.5
    assert torch.equal(found.read(1), slices[1] * mask)
    assert torch.equal(found.reference(2), rss[2])
    assert torch.equal(found.mask, mask.expand(48, 40))
    assert found.acceleration == 40 / int(mask.sum())
    assert found.calibration == (slice(0, 48), slice(16, 25))  # column 24 is one of every second
    with h5py.File(tmp_path / "k.h5") as file:
        assert file["kspace"].shape == (3, 4, 48, 40)
        assert set(file) == {"kspace", "mask", "ismrmrd_header", "reconstruction_rss"}


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("size", [(48, 40), (47, 41)])
def test_a_forgotten_fftshift_is_found_and_said(tmp_path: Path, centred: bool, said: bool, size: tuple) -> None:
    x = picture(*size)
    right = kspace_of(x)
    axes = (-2, -1)
    pictures = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(right, axes), norm="ortho"), axes)
    np.save(tmp_path / "k.npy", right if centred else np.fft.fft2(pictures, norm="ortho"))
    found = open_kspace(tmp_path / "k.npy", centred=centred if said else None)
    assert any("no fftshift was done" in note for note in found.notes) == (not centred and not said)
    np.testing.assert_allclose(found.read(0).numpy(), right, atol=1e-12)


def test_nifti_holds_columns_rows_slices_where_the_affine_says(tmp_path: Path) -> None:
    pictures = torch.stack([torch.from_numpy(s * picture()) for s in (1.0, 2.0, 3.0)])
    affine = torch.tensor([[0.0, 0, 4, 10], [2, 0, 0, 20], [0, -3, 0, 30], [0, 0, 0, 1]])
    write_nifti(tmp_path / "a.nii.gz", pictures * 1j, affine=affine)
    write_nifti(tmp_path / "p.nii", pictures * 1j, voxel=(2.0, 3.0, 4.0), phase=True)
    image = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.affine, affine.numpy())
    np.testing.assert_allclose(image.get_fdata(), pictures.numpy().transpose(2, 1, 0))
    phase = nibabel.load(tmp_path / "p.nii")
    assert int(phase.header["sform_code"]) == int(phase.header["qform_code"]) == 0
    assert phase.header.get_zooms() == (2.0, 3.0, 4.0)
    assert float(phase.get_fdata().max()) == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("every", [1, 4])
def test_partial_fourier_is_told_from_lines_that_happen_to_lie_on_one_side(every: int) -> None:
    lopsided = gaussian_columns_mask((8, 96), 4, 0.125, 4, centred=True).numpy() > 0
    columns = np.flatnonzero(lopsided[0])
    assert columns[0] > 5 and columns[-1] == 95, "its draw reaches the edge on one side alone"
    assert partial_fourier(lopsided) == (1, 1)
    regular = np.arange(96) % every == 0
    for share in (5 / 8, 6 / 8, 7 / 8):
        cut = partial_fourier_mask((8, 96), share, centred=True).numpy() > 0
        assert partial_fourier(cut & regular) == (1, pytest.approx(share, abs=0.03))
