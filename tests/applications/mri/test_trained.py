"""The command warns where k-space is outside of what the card of a network says, and says nothing that it does not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import metaopt as mo
from metaopt.applications.mri import Settings, reconstruct
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.data import open_kspace, write_fastmri
from metaopt.models import load, save
from metaopt.operators import Fourier, cartesian_mask
from metaopt.weights import read_card

from ...helpers import normal

INTENSITY: dict[str, Any] = {"intensity": [0.25, 1.0], "noise": [0.002, 0.04], "is_complex": True}
LIMITS: dict[str, Any] = {"acceleration": [2.0, 6.0], "pixels": [30, 200], "voxel": [0.4, 4.0]}
TASK: dict[str, Any] = {"call": "metaopt.tasks.UndersampledMri", "patches": {"call": "metaopt.tasks.Patches"}}


def network(folder: Path, limits: dict[str, Any], **card: Any) -> Path:
    """A small network that was not trained, with a card of its own."""
    net = mo.models.rim(is_complex=True, each_part=True, hidden=2, steps=1)
    return save(net, folder / "own.safetensors", {"trained_range": INTENSITY | limits, **card})


def said(folder: Path, weights: Path | str, acceleration: float = 4, side: int = 48, voxel: float = 2) -> list[str]:
    """What is warned of when k-space of a square is reconstructed."""
    picture = torch.zeros(1, 1, side, side, dtype=torch.complex64)
    picture[..., side // 3 : -side // 4, side // 4 : -side // 3] = 1
    mask = cartesian_mask((side, side), acceleration, 0.04, 0, centred=True)
    y = Fourier(mask, centred=True)(picture + 0.01 * normal(0, *picture.shape, dtype=torch.complex64))
    write_fastmri(folder / "k.h5", iter([y[0]]), (voxel, voxel, 5.0), mask, attributes={"noise": 0.01})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reconstruct(open_kspace(folder / "k.h5"), Settings("rim", str(weights)))
    return [str(warning.message) for warning in caught if issubclass(warning.category, MetaoptWarning)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, None),
        ({"acceleration": 2}, None),
        ({"acceleration": 12}, "accelerations of 2 to 6, but k-space is accelerated 12 times"),
        ({"acceleration": 1.5}, "accelerations of 2 to 6, but k-space is accelerated 1.5 times"),
        ({"acceleration": 1}, "accelerations of 2 to 6, but k-space is sampled in full"),
        ({"side": 24}, "planes of 30 to 200 points a side, but these are 24 x 24"),
        ({"side": 208}, "planes of 30 to 200 points a side, but these are 208 x 208"),
        ({"voxel": 8.0}, "detail of 0.4 to 4 mm, but pixels are 8 x 8 mm"),
        ({"voxel": 0.2}, "detail of 0.4 to 4 mm, but pixels are 0.2 x 0.2 mm"),
    ],
)
def test_it_warns_of_what_is_outside_of_the_limits_of_the_card(
    tmp_path: Path, given: dict[str, Any], words: str | None
) -> None:
    found = said(tmp_path, network(tmp_path, LIMITS), **given)
    assert len(found) == (words is not None), found
    assert words is None or words in found[0]


def test_a_card_without_limits_says_nothing_but_the_accelerations_of_its_recipe(tmp_path: Path) -> None:
    outside = {"acceleration": 12, "side": 24, "voxel": 8.0}
    assert said(tmp_path, network(tmp_path, {}), **outside) == []
    mixed = {"call": "metaopt.tasks.Mixture", "tasks": [TASK | {"accelerations": [3, 4]}, TASK]}
    for task, low, high in ((TASK | {"accelerations": [3, 10]}, 3, 10), (TASK, 2, 6), (mixed, 2, 6)):
        (found,) = said(tmp_path, network(tmp_path, {}, recipe={"task": task, "validation": TASK}), **outside)
        assert f"accelerations of {low} to {high}, but k-space is accelerated 12 times" in found


def test_the_shipped_network_warns_of_k_space_that_is_sampled_in_full(tmp_path: Path) -> None:
    (found,) = said(tmp_path, "mri", acceleration=1)
    assert "but k-space is sampled in full" in found and "--check" in found


def test_limits_survive_another_file_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    net = load(network(tmp_path, LIMITS))
    again = read_card(save(net, tmp_path / "again.safetensors"))["trained_range"]
    assert {name: again[name] for name in LIMITS} == LIMITS
    for name, wrong in (("acceleration", 4), ("pixels", [9, 3]), ("voxel", [0, 1]), ("voxel", [1, None])):
        path = network(tmp_path, LIMITS | {name: wrong})
        with pytest.raises(MetaoptError, match=f"'trained_range' .* malformed: .* trained range of {name} is two"):
            load(path)
