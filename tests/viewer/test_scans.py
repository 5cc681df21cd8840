"""What a page keeps of a CT, and what it refuses; without a browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from metaopt.core import MetaoptError
from metaopt.viewer import scans
from metaopt.viewer.airway_page import write_airway_page

INSIDE = torch.tensor([[10.0, 10.0, 10.0]])


def tree(**changes: Any) -> SimpleNamespace:
    line = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    given = {"parent": torch.tensor([-1, 0]), "points": [line, line + 3], "radius": [torch.ones(2), torch.ones(2)]}
    return SimpleNamespace(**{**given, **changes})


@pytest.mark.parametrize("most", [10**9, 5000, 300])
def test_a_grid_keeps_means_and_places_and_has_no_more_voxels_than_asked_for(most: int) -> None:
    """The place of a smooth bump, by its centre of mass, is the same in the volume and in what is shown of it."""
    spacing = (2.0, 0.7, 0.9)
    axes = [torch.arange(n) * s for n, s in zip((20, 60, 50), spacing, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    bump = torch.exp(-((z - 17) ** 2 + (y - 25) ** 2 + (x - 19) ** 2) / 60)
    grid = scans.fit(bump, spacing, INSIDE, most)
    shown = grid.resampled(bump)
    assert tuple(shown.shape) == grid.shown
    assert shown.numel() <= most
    places = [
        (b + s * torch.arange(n)) * w for b, s, n, w in zip(grid.begin, grid.steps, grid.shown, spacing, strict=True)
    ]
    centre = [float((shown.sum([a for a in range(3) if a != i]) * p).sum() / shown.sum()) for i, p in enumerate(places)]
    assert centre == pytest.approx([17, 25, 19], abs=0.15 if most > 300 else 0.5)


def test_the_cut_holds_the_body_and_what_must_be_seen_and_little_air() -> None:
    volume = torch.full((40, 100, 100), -1000.0)
    volume[:, 30:80, 24:60] = 40.0
    grid = scans.fit(volume, (1.0, 1.0, 1.0), torch.tensor([[5.0, 90.0, 40.0]]), 10**9)
    (_, top, left), (_, tall, wide) = grid.first, grid.cut
    assert top <= 30 and top + tall > 90 and left <= 24 and left + wide >= 60
    assert tall < 80 and wide < 60
    assert grid.cut[0] == 40


def test_air_alone_is_shown_where_the_airways_are() -> None:
    grid = scans.fit(torch.full((30, 30, 30), -1000.0), (1.0, 1.0, 1.0), INSIDE, 10**9)
    assert grid.cut == grid.whole == (30, 30, 30)


def test_hounsfield_units_are_kept_to_half_a_level() -> None:
    units = torch.arange(-1024.0, 1025.0).reshape(1, 1, -1)
    back = np.interp(scans.levels_of(units).ravel(), scans.LEVELS, scans.UNITS)
    error = np.abs(back - units.numpy().ravel())
    soft = slice(1024 - 160, 1024 + 249)
    assert error[: 1024 - 160].max() <= 3.1 and error[soft].max() <= 2.1
    assert scans.levels_of(torch.tensor([[[-3024.0, 3071.0]]])).ravel().tolist() == [0, 255]


def test_pictures_that_would_be_large_lose_a_little_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    levels = np.random.default_rng(0).integers(100, 140, (12, 64, 64)).astype(np.uint8)
    assert all(address.startswith("data:image/png;base64,") for address in scans.encode(levels))
    monkeypatch.setattr(scans, "CHUNK", 64 * 64 * 4)
    monkeypatch.setattr(scans, "SMALL", 10_000)
    monkeypatch.setattr(scans, "MOST_BYTES", 25_000)
    pictures = scans.encode(levels)
    assert len(pictures) == 3
    contents = [base64.b64decode(p.removeprefix("data:image/jpeg;base64,")) for p in pictures]
    assert sum(map(len, contents)) <= 25_000
    first = np.asarray(Image.open(io.BytesIO(contents[0])))[:64, :64].astype(float)
    assert np.abs(first - levels[0]).mean() < 12
    assert all(address.startswith("data:image/png") for address in scans.encode(levels, lossless=True))


VOLUME = torch.zeros(8, 9, 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"volume": torch.zeros(8, 9)}, "The CT of a page must be"),
        ({"volume": VOLUME > 0}, "it has Hounsfield units"),
        ({"volume": VOLUME + torch.nan}, "NaN or infinite"),
        ({"volume": torch.zeros(0, 9, 10)}, "(0, 9, 10)"),
        ({"spacing": None}, "The spacing of a page must be"),
        ({"spacing": (1.0, 0.0, 1.0)}, "three positive numbers"),
        ({"spacing": (1.0, 1.0)}, "three positive numbers"),
        ({"mask": torch.zeros(8, 9, 11, dtype=torch.bool)}, "(8, 9, 11), but the CT (8, 9, 10)"),
        ({"mask": torch.zeros(8, 9, 10)}, "a tensor of bools"),
        ({"axes": "SPX"}, "where D, H and W grow to"),
        ({"tree": tree(points=[])}, "at least one branch"),
        ({"tree": tree(radius=[torch.ones(2)])}, "2 parents, 2 centre lines and 1 lists of radii"),
        ({"tree": tree(points=[torch.tensor([[100.0, 1, 1], [90, 1, 1]])] * 2)}, "Of the 4 points of the tree, 4 lie"),
        ({"columns": {"Side": ["left"]}}, "The column 'Side' has 1 values, but the tree 2 branches"),
        ({"path": "page.txt"}, "let it end in .html"),
        ({"path": "no/page.html"}, "does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"path": "page.html", "volume": VOLUME, "spacing": (1.0, 1.0, 1.0), "tree": tree(), **changes}
    with pytest.raises(MetaoptError) as caught:
        write_airway_page(**given)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []
