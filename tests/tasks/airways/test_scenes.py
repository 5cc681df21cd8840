"""Patches of scenes depend on the seed alone, show each scene differently, and real people are read as they are."""

from __future__ import annotations

import pytest
import torch

from metaopt import MetaoptError
from metaopt.tasks.airways import AirwayCts, AirwayScenes, AirwayTree, draw_lungs, read_people

COARSE = (8.0, 8.0, 8.0)


def patches(**settings):
    points = torch.tensor([[160.0, 100.0, 150.0], [80.0, 100.0, 150.0]])
    tree = AirwayTree(torch.tensor([-1]), [points], [torch.full((2,), 4.0)])
    return AirwayCts(lungs=[(draw_lungs(0, COARSE), COARSE, tree)], size=16, batch=2, **settings)


def test_what_is_drawn_depends_on_the_seed_and_not_on_what_was_drawn_before():
    one, other = (AirwayScenes(patches(), scenes=3) for _ in range(2))
    first = one.sample(5)
    for seed in (1, 2, 3):
        other.sample(seed)
    again = other.sample(5)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


def test_one_scene_has_one_lumen_and_many_pictures():
    task = AirwayScenes(patches(), scenes=1)
    batches = [task.sample(seed) for seed in range(4)]
    sizes = {int(lumen.sum()) for _, batch in batches for lumen in batch}
    assert len(sizes) == 1 and sizes != {0}
    pictures = torch.cat([ct for ct, _ in batches])
    assert len({round(float(p.mean()), 3) for p in pictures}) == len(pictures)


def test_the_tree_that_comes_with_lungs_is_the_one_that_is_seen():
    forest = patches().forest(0)
    assert len(forest.tree) == 1
    assert torch.equal(forest.tree.points[0], patches().lungs[0][2].points[0])


def test_a_patch_of_a_scene_is_dark_where_the_lumen_is():
    task = AirwayScenes(patches(noise=(1.0, 2.0), blur=(0.1, 0.2), opaque=0.0), scenes=2)
    ct, lumen = task.sample(0)
    assert float(ct[lumen > 0].median()) < -950


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AirwayScenes(scenes=0), "scenes"),
        (lambda: AirwayScenes(patches=3), "patches"),
        (lambda: AirwayCts(lungs=[(draw_lungs(0, COARSE), COARSE, 3)]), "tree of lungs"),
        (lambda: AirwayCts(lungs=[(draw_lungs(0, COARSE),)]), "pairs of a mask"),
        (lambda: read_people("/nowhere"), "no /nowhere"),
        (lambda: read_people("/nowhere", people=()), "people"),
    ],
)
def test_what_makes_no_scenes_is_refused(make, words):
    with pytest.raises(MetaoptError, match=words):
        make()


def test_people_are_read_on_one_grid_with_their_airways(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    import numpy as np

    folder = tmp_path / "patient7"
    folder.mkdir()
    lungs, airways = np.zeros((20, 18, 40), np.int16), np.zeros((20, 18, 40), np.int16)
    lungs[2:18, 2:16, 5:30] = airways[8:11, 8:11, 6:38] = 1
    for name, mask in (("pleuralBoundary", lungs), ("bronchialTree", airways)):
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([0.9, 0.9, 0.7, 1])), folder / f"{name}.nii.gz")
    [(mask, spacing, tree)] = read_people(tmp_path, [7])
    assert spacing == pytest.approx((2.1, 1.8, 1.8), rel=1e-5)
    assert mask.shape == (14, 9, 10) and float(mask.float().mean()) == pytest.approx(lungs.mean(), rel=0.2)
    assert float(tree.length[0]) == pytest.approx(31 * 0.7, abs=3)
