"""Networks with random weights, large ones, so that what is far away is seen if it is seen at all."""

from __future__ import annotations

from typing import Any

import torch

import metaopt as mo


def random_rim(**cell: Any) -> mo.core.Unrolled:
    """Of two steps and four features, in float64."""
    torch.manual_seed(0)
    net = mo.models.rim(**{"hidden": 4, "steps": 2, **cell}).double()
    randomize(net)
    update = net.algorithm.update.module
    with torch.no_grad():
        for parameter in getattr(update, "update", update).head.parameters():
            parameter.mul_(0.1)  # or every pixel would be black or white
    return net


def randomize(net: torch.nn.Module, std: float = 0.25) -> None:
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=std)
