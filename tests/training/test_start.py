"""What a training that starts from earlier weights computes before its first update."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import metaopt as mo
from metaopt.models import rim
from metaopt.training.start import start_from
from metaopt.weights import save_tensors

from ..helpers import normal


@pytest.mark.parametrize("stride", [1, 2])
def test_a_machine_for_colour_started_from_one_for_grey_treats_grey_pictures_as_that_one_does(
    tmp_path: Path, stride: int
) -> None:
    """Three equal channels with independent noise of level sigma sqrt(3) know as much as one of level sigma."""
    grey, colour = (rim(channels, 4, [3, 1], stride, steps=3, scales=[2]).double() for channels in (1, 3))
    for parameter in grey.parameters():
        nn.init.normal_(parameter, std=0.2)  # some are zero before training
    save_tensors(tmp_path / "grey.safetensors", grey.state_dict(), {})
    start_from(colour, str(tmp_path / "grey.safetensors"))
    y, sigma = normal(0, 2, 1, 11, 8), 0.1
    expected = grey(mo.InverseProblem(mo.operators.Identity(), y, sigma)).final
    found = colour(mo.InverseProblem(mo.operators.Identity(), y.expand(-1, 3, -1, -1), sigma * math.sqrt(3))).final
    torch.testing.assert_close(found, expected.expand(-1, 3, -1, -1))


def test_two_channels_are_not_made_of_three(tmp_path: Path) -> None:
    save_tensors(tmp_path / "three.safetensors", rim(3, 4).state_dict(), {})
    with pytest.raises(mo.MetaoptError, match=r"have .*embed\.weight \(4, 7, 5, 5\), this model has not"):
        start_from(rim(2, 4), str(tmp_path / "three.safetensors"))
