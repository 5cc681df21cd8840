"""What benchmarks.airway simulates: one chest for all settings, and noise of its own for each scan."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import simulated_ct
from benchmarks.simulated_ct import GROWN, REAL, Scene, enlarged, masks, scan, scene
from metaopt.tasks.airways import AirwayTree, draw_lungs, fill_tubes, grow_airways

pytest.importorskip("scipy")
SPACING = (2.6, 2.5, 2.4)


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Files of a person whose scan has much room around the lungs and the trachea."""
    nibabel = pytest.importorskip("nibabel")
    small = torch.nn.functional.pad(draw_lungs(2, SPACING), (20, 20, 20, 20, 8, 0))
    lumen = fill_tubes(grow_airways(small, SPACING, 0).tubes, tuple(small.shape), SPACING) >= 0.5
    airways, lungs = (torch.nn.functional.pad(mask, (0, 0, 0, 0, 0, 8)) for mask in (lumen, small))
    folder = tmp_path / "ct/airway_masks/patient7"
    folder.mkdir(parents=True)
    for name, mask in (("bronchialTree", airways), ("pleuralBoundary", lungs)):
        affine = torch.diag(torch.tensor([*SPACING[::-1], 1.0])).numpy()
        picture = nibabel.Nifti1Image(mask.permute(2, 1, 0).numpy().astype("int16"), affine)
        nibabel.save(picture, folder / f"{name}.nii.gz")
    monkeypatch.setenv("METAOPT_DATA", str(tmp_path))
    simulated_ct.scene.cache_clear()
    return airways, lungs


def test_the_crop_holds_all_of_the_lungs_and_ends_where_the_trachea_does(
    person: tuple[torch.Tensor, torch.Tensor],
) -> None:
    airways, lungs, spacing = masks(7)
    assert spacing == pytest.approx(SPACING)
    assert airways.sum() == person[0].sum() and lungs.sum() == person[1].sum()
    assert airways[-1].any() and airways.shape == lungs.shape
    for axis in (1, 2):
        used = lungs.any(tuple(a for a in range(3) if a != axis)).nonzero()
        around = spacing[axis] * int(used[0])
        assert around == pytest.approx(32, abs=spacing[axis])


def test_the_settings_share_a_chest_and_each_scan_has_noise_of_its_own(
    person: tuple[torch.Tensor, torch.Tensor],
) -> None:
    pytest.importorskip("skimage")
    chest = scene(7, REAL, 0)
    assert chest is scene(7, REAL, 0) and torch.equal(chest.lumen, masks(7)[0])
    quiet, _, loud = simulated_ct.SETTINGS
    noises = {}
    for setting in (quiet, loud):
        clean = simulated_ct.Scanner(setting.blur, 0.0).scan(chest.volume, chest.spacing, torch.Generator())
        noises[setting] = scan(chest, setting, 0) - clean
        assert float(noises[setting].std()) == pytest.approx(setting.noise, rel=0.05)
    assert abs(float(torch.corrcoef(torch.stack([n.flatten() for n in noises.values()]))[0, 1])) < 0.05
    assert torch.equal(scan(chest, quiet, 0), scan(chest, quiet, 0))
    assert not torch.equal(scan(chest, quiet, 0), scan(chest, quiet, 1))


def test_grown_trees_differ_by_seed_and_lie_in_the_persons_lungs(person: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = scene(7, GROWN, 0), scene(7, GROWN, 1)
    assert a.lumen.shape == b.lumen.shape == masks(7)[1].shape
    assert not torch.equal(a.lumen, b.lumen)
    deep = torch.cat([p for p, g in zip(a.tree.points, a.tree.generation.tolist(), strict=True) if g > 2])
    index = (deep / torch.tensor(a.spacing)).round().long()
    assert float(masks(7)[1][tuple(index.T)].float().mean()) > 0.98


def test_a_larger_grid_keeps_the_upper_end_and_the_middle() -> None:
    volume = torch.randn(6, 8, 5)
    tree = AirwayTree(torch.tensor([-1]), [torch.tensor([[0.0, 0, 0], [1, 0, 0]])], [torch.ones(2)])
    chest = Scene(volume, (1.0, 1.0, 1.0), volume > 0, tree)
    wide = enlarged(chest, (4, 12, 9))
    assert torch.equal(wide.volume[:, 2:10, 2:7], volume[2:]) and torch.equal(wide.lumen[:, 2:10, 2:7], volume[2:] > 0)
    assert (wide.volume[:, :2] == -1000).all() and not wide.lumen[:, 10:].any()
