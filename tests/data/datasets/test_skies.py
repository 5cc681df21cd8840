"""Galaxies are split by name, cut at the noise, and what is wrong with their file is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import metaopt as mo
from metaopt.data import read_galaxies


def written(folder: Path, count: int = 60) -> Path:
    """Galaxies whose one bright pixel is their number, of two classes in a mixed order."""
    images = np.zeros((count, 6, 5), np.float32)
    images[:, 2, 3] = np.arange(1, count + 1)
    images[:, 0, 0] = 1e-4
    names = np.array([f"{100 if n % 2 else 200}_{n:03d}" for n in range(count)])
    order = np.random.default_rng(0).permutation(count)
    np.savez(folder / "galaxies.npz", images=images[order], names=names[order])
    return folder / "galaxies.npz"


def test_the_parts_are_apart_and_split_by_name_within_each_class(tmp_path: Path) -> None:
    file = written(tmp_path)
    numbers = {part: {int(x.max()) - 1 for x in read_galaxies(file, part)} for part in ("train", "validation", "test")}
    assert numbers["test"] == set(range(36, 60))
    assert numbers["validation"] == set(range(12, 36))
    assert numbers["train"] == set(range(12))


def test_what_is_fainter_than_the_clip_is_zero(tmp_path: Path) -> None:
    for x in read_galaxies(written(tmp_path), "test"):
        assert x.shape == (1, 6, 5)
        assert int((x > 0).sum()) == 1


@pytest.mark.parametrize(
    ("part", "clip", "words"),
    [("all", 0.0, "in the parts train, validation, test"), ("test", 1e3, "none of the part test is brighter")],
)
def test_a_part_that_there_is_not_is_named(tmp_path: Path, part: str, clip: float, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        read_galaxies(written(tmp_path), part, clip)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=np.zeros((2, 3)))
    with pytest.raises(mo.MetaoptError, match="pictures, not the arrays images and names"):
        read_galaxies(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.zeros((2, 3)), names=np.array(["100_a"]))
    with pytest.raises(mo.MetaoptError, match=r"images \(2, 3\) float64 for 1 names"):
        read_galaxies(tmp_path / "b.npz")
