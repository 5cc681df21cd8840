"""Maps from the calibration region are those of the coils, in two and three dimensions, and as those of BART."""

import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.mri import border_noise, espirit
from metaopt.tasks import coil_maps

from ...real_data import real_data


def head(*space: int) -> Tensor:
    """An ellipsoid with a smaller one inside, which fills most of the field of view."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in space), indexing="ij")
    radius = sum((a / 0.8) ** 2 for a in axes)
    return (radius < 1).float() * (0.5 + 0.5 * (radius < 0.3).float() + 0.2 * axes[0])


def centred_fft(x: Tensor, dims: int) -> Tensor:
    axes = tuple(range(-dims, 0))
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(x, axes), dim=axes, norm="ortho"), axes)


def only_centre(kspace: Tensor, side: int, dims: int) -> Tensor:
    kept = torch.zeros_like(kspace)
    starts = [(n // 2 - min(side, n) // 2, min(side, n)) for n in kspace.shape[-dims:]]
    box = tuple(slice(start, start + length) for start, length in starts)
    kept[(..., *box)] = kspace[(..., *box)]
    return kept


def difference(maps: Tensor, reference: Tensor, where: Tensor) -> float:
    """The normalised difference of maps (C, *space) at pixels ``where``, after removing one phase a pixel."""
    phase = torch.sgn((maps.conj() * reference).sum(0))
    return float(torch.linalg.vector_norm((maps * phase - reference)[:, where]) / reference[:, where].norm())


@pytest.mark.parametrize("space", [(48, 48), (40, 57), (24, 20, 22)])
@pytest.mark.parametrize("centred", [False, True])
def test_known_maps_are_found_where_the_object_is(space: tuple[int, ...], centred: bool) -> None:
    dims = len(space)
    maps = coil_maps(space, 5, torch.Generator().manual_seed(1))
    kspace = only_centre(centred_fft(maps * head(*space), dims), 20, dims)
    axes = tuple(range(1, dims + 1))
    if not centred:  # the same object as it lies in uncentred arrays
        kspace, maps = torch.fft.ifftshift(kspace, axes), torch.fft.ifftshift(maps, axes)
    here = head(*space) > 0 if centred else torch.fft.ifftshift(head(*space)) > 0
    found = espirit(kspace[None], kernel=5 if dims == 2 else 4, dims=dims, centred=centred)
    assert found.maps.shape == (1, 1, 5, *space)
    assert difference(found.maps[0, 0], maps, here) < 0.02
    assert float(found.eigenvalues[0, 0][here].min()) > 0.95
    norm = torch.linalg.vector_norm(found.maps[0, 0], dim=0)
    assert bool(((norm - 1).abs().minimum(norm) < 1e-5).all())


def test_two_objects_in_one_field_of_view_have_two_sets_of_maps() -> None:
    """Where the object is folded, the two sets span the maps of both places, and one set elsewhere is enough."""
    maps = coil_maps((96, 48), 6, torch.Generator().manual_seed(4))
    kspace = centred_fft(maps * head(96, 48), 2)[:, ::2]  # half the field of view along the first axis
    found = espirit(kspace[None], 24, sets=2, crop=0.7, centred=True)
    folded = (head(96, 48)[24:72] > 0) & (torch.roll(head(96, 48), 48, 0)[24:72] > 0)
    folded &= found.eigenvalues[0, 1] > 0.7
    assert folded.sum() > 150
    both = torch.stack([maps[:, 24:72], torch.roll(maps, 48, 1)[:, 24:72]])[:, :, folded]
    basis = found.maps[0][:, :, folded]
    seen = torch.einsum("scn,tcn->stn", basis.conj(), both)
    left = both - torch.einsum("stn,scn->tcn", seen, basis)
    assert float(left.norm() / both.norm()) < 0.03
    middle = found.eigenvalues[0, 1, 20:28, 20:28]
    assert float(middle.max()) < 0.7
    assert not bool(found.maps[0, 1, :, 20:28, 20:28].any())


def test_the_first_principal_component_of_the_coils_sees_a_real_signal() -> None:
    maps = coil_maps((32, 32), 4, torch.Generator().manual_seed(3))
    kspace = centred_fft(maps * head(32, 32), 2)
    found = espirit(kspace[None], 16, centred=True, crop=0.0).maps[0, 0]
    principal = torch.linalg.svd(only_centre(kspace, 16, 2).flatten(1)).U[:, 0]
    seen = torch.einsum("c,cxy->xy", principal.conj(), found)
    turned = seen / torch.sgn(seen[16, 16])
    assert float(turned.imag.abs().max()) < 1e-3 * float(turned.abs().max())


def test_blocks_of_pixels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace = centred_fft(coil_maps((20, 18, 16), 3, torch.Generator().manual_seed(0)) * head(20, 18, 16), 3)[None]
    whole = espirit(kspace, 12, kernel=4, dims=3, centred=True)
    module = importlib.import_module("metaopt.applications.mri.espirit")
    monkeypatch.setattr(module, "_CHUNK", 9 * 37)
    for one, other in zip(espirit(kspace, 12, kernel=4, dims=3, centred=True), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_a_dead_coil_and_a_single_coil_have_maps() -> None:
    maps = coil_maps((32, 32), 3, torch.Generator().manual_seed(0))
    maps[0] = 0
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    kspace = centred_fft(maps * head(32, 32), 2)[None]
    here = head(32, 32) > 0
    assert difference(espirit(kspace, 24, centred=True).maps[0, 0], maps, here) < 0.02
    alone = espirit(kspace[:, 1:2], 24, centred=True).maps[0, 0, 0]
    torch.testing.assert_close(alone[here], torch.ones_like(alone[here]), rtol=0, atol=1e-4)


def test_a_forgotten_shift_is_seen_by_where_the_energy_is() -> None:
    kspace = centred_fft(coil_maps((32, 40), 3, torch.Generator().manual_seed(0)) * head(32, 40), 2)[None]
    for shifted, centred in ((kspace, False), (torch.fft.ifftshift(kspace, (-2, -1)), True)):
        for function in (espirit, border_noise):
            with pytest.raises(mo.MetaoptError, match=f"the energy is around where it is with centred={not centred}"):
                function(shifted, centred=centred)


def measured(*shape: int) -> Tensor:
    return torch.randn(1, *shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kspace", "options", "sentence"),
    [
        (measured(4, 16, 16), {"calibration": 4}, "4 x 4 points, too small for a kernel of 6 x 6"),
        (measured(4, 16, 16) * float("nan"), {}, "holds .* values that are NaN or infinite"),
        (measured(4, 16, 16) * 0, {}, "zero at every point"),
        (measured(1, 16, 16), {"sets": 2}, "cannot find 2 sets of maps of 1 coils"),
        (measured(0, 16, 16), {}, "is empty"),
        (measured(4, 16, 16).real, {}, "must be complex"),
        (measured(4, 16, 16), {"dims": 3}, r"\(B, C, D, H, W\)"),
        (measured(4, 16, 16), {"dims": 1}, "dims=1"),
        (measured(4, 16, 16), {"calibration": (8, 8, 8)}, "2 sides, but got 3"),
        (measured(4, 16, 16) * (torch.arange(16) % 2), {"calibration": 12}, "are not measured"),
        (measured(4, 16, 16) * (torch.arange(16) % 2), {}, "no fully sampled centre"),
    ],
)
def test_what_gives_no_maps_is_refused(kspace: Tensor, options: dict, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        espirit(kspace, **options)


def bart(folder: Path, kspace: Tensor, *options: str) -> Tensor:
    """The maps (S, C, *space) of ``bart ecalib`` from centred k-space (C, *space), 3-D or, with one slice, 2-D."""
    if shutil.which("bart") is None:
        pytest.skip("needs the program bart, of the Debian package of that name")
    given = kspace.movedim(0, -1).numpy()  # three axes of space, then the coils
    (folder / "k.hdr").write_text("# Dimensions\n" + " ".join(map(str, given.shape)) + "\n")
    given.astype(np.complex64).ravel(order="F").tofile(folder / "k.cfl")
    subprocess.run(["bart", "ecalib", *options, "k", "maps"], cwd=folder, check=True, capture_output=True)
    shape = [int(n) for n in (folder / "maps.hdr").read_text().split("\n")[1].split()][:5]
    maps = np.fromfile(folder / "maps.cfl", np.complex64).reshape(shape, order="F")
    return torch.from_numpy(maps).movedim((4, 3), (0, 1))


def test_maps_of_the_real_eight_coils_are_those_of_bart(tmp_path: Path) -> None:
    """Where the picture is they differ by 0.3 % with one set, and by 0.2 % and 0.4 % with two."""
    scipy_io = pytest.importorskip("scipy.io")
    data = scipy_io.loadmat(real_data("mri/real_8coil_full/brain_alias_8ch.mat"))["DATA"].astype(np.complex64)
    full = torch.zeros(8, 320, 256, dtype=torch.complex64)
    full[:, :, 44:212] = torch.from_numpy(data[:, 44:212]).movedim(-1, 0)
    lines = full * ((torch.arange(256) - 128 >= -12) & (torch.arange(256) - 128 < 12))
    coils = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(full, (1, 2))), (1, 2))
    picture = torch.linalg.vector_norm(coils, dim=0)
    for sets in (1, 2):
        ours = espirit(lines[None], sets=sets, centred=True).maps[0]
        theirs = bart(tmp_path, lines[:, :, :, None], f"-m{sets}")[:, :, :, :, 0]
        for mine, reference in zip(ours, theirs, strict=True):
            shown = [(maps != 0).any(0) for maps in (mine, reference)]
            assert int((shown[0] != shown[1]).sum()) < 40
            assert difference(mine, reference, (picture > 0.1 * picture.max()) & shown[0] & shown[1]) < 0.005


def test_maps_of_a_volume_are_those_of_bart(tmp_path: Path) -> None:
    space, generator = (24, 28, 20), torch.Generator().manual_seed(5)
    kspace = centred_fft(coil_maps(space, 4, generator) * head(*space), 3)
    kspace = kspace + 0.02 * torch.randn(kspace.shape, dtype=torch.complex64, generator=generator)
    ours = espirit(kspace[None], 16, kernel=5, sets=2, dims=3, centred=True).maps[0]
    theirs = bart(tmp_path, kspace, "-m2", "-k5:5:5", "-r16:16:16")
    here = (head(*space) > 0) & (theirs[0] != 0).any(0) & (ours[0] != 0).any(0)
    assert difference(ours[0], theirs[0], here) < 0.02
