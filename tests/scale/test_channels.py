"""A cube is computed channel by channel, each once, also where the run is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.scale import channel_by_channel

pytest.importorskip("zarr")


def picture(channel: int) -> Tensor:
    return channel * torch.ones(5, 7)


@pytest.mark.parametrize("workers", [None, 2])
def test_every_channel_is_where_it_belongs(workers: int | None, tmp_path: Path) -> None:
    cube = channel_by_channel(picture, 9, tmp_path, "numbers", workers)
    assert torch.equal(torch.as_tensor(cube[:]), torch.stack([picture(c) for c in range(9)]))


def test_a_run_that_was_cut_off_computes_only_what_is_missing(tmp_path: Path) -> None:
    calls: list[int] = []

    def failing(channel: int) -> Tensor:
        calls.append(channel)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return picture(channel)

    with pytest.raises(KeyboardInterrupt):
        channel_by_channel(failing, 8, tmp_path, "numbers")
    cube = channel_by_channel(failing, 8, tmp_path, "numbers")
    assert calls == [0, 1, 2, 3, 4, 4, 5, 6, 7]
    assert float(cube[:].sum()) == 35 * sum(range(8))
    channel_by_channel(failing, 8, tmp_path, "numbers")
    assert len(calls) == 9


def test_what_is_wrong_with_a_channel_is_told_with_its_number(tmp_path: Path) -> None:
    def growing(channel: int) -> Tensor:
        return torch.ones(5, 7 + channel // 3)

    def flagged(channel: int) -> Tensor:
        if channel == 2:
            raise mo.MetaoptError("All baselines are flagged.")
        return picture(channel)

    with pytest.raises(mo.MetaoptError, match=r"Channel 3 is \(5, 8\), but the first one is \(5, 7\)"):
        channel_by_channel(growing, 4, tmp_path / "a", "growing")
    with pytest.raises(mo.MetaoptError, match="Channel 2: All baselines are flagged"):
        channel_by_channel(flagged, 4, tmp_path / "b", "flagged")
    with pytest.raises(mo.MetaoptError, match="is of another run"):
        channel_by_channel(picture, 4, tmp_path / "b", "numbers")
    with pytest.raises(mo.MetaoptError, match=r"Channel 0 must be a tensor \(H, W\), not"):
        channel_by_channel(lambda channel: [channel], 4, tmp_path / "c", "lists")
