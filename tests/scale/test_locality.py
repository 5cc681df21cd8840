"""Networks that look further than they say, or whose strides are not those of the tiles, are refused by layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt import operators as ops
from metaopt.scale import tiled


class Attention(nn.Module):
    """Over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(2).mT
        return x + self.heads(rows, rows, rows)[0].mT.reshape(x.shape)


class MeanRemoved(nn.Module):
    """By a function, so that no layer inside does it."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((2, 3), keepdim=True)


class Spectral(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x)[..., : x.shape[-1] // 2 + 1] ** 2, s=x.shape[-2:])


class Coded(nn.Module):
    """Knows where a pixel is."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1]).to(x)


class Update(nn.Module):
    """A user's update, which says a reach and a period."""

    def __init__(self, *middle: nn.Module, reach: int = 4, period: int = 1):
        super().__init__()
        self.first, self.middle = nn.Conv2d(2, 4, 3, padding=1), nn.Sequential(*middle)
        self.last = nn.Conv2d(4, 1, 3, padding=1)
        self.reach, self.period = reach, period

    def init(self, x: Tensor, context: tuple[Any, ...] = ()) -> Tensor:
        return torch.zeros_like(x)

    def forward(
        self, gradient: Tensor, x: Tensor, memory: Tensor, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Tensor, Tensor]:
        features = self.middle(self.first(torch.cat([x + memory, 0.01 * gradient], 1)))
        change = self.last(features)[..., : x.shape[-2], : x.shape[-1]]
        return change, memory + change


def network(*middle: nn.Module, **said: int) -> mo.core.Unrolled:
    torch.manual_seed(0)
    return mo.unroll(mo.Descent(Update(*middle, **said)), 2).double()


def given() -> mo.InverseProblem:
    y = torch.rand(1, 1, 45, 62, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return mo.InverseProblem(ops.Identity(), y, 0.1)


LOCAL = {
    "convolution": nn.Conv2d(4, 4, 5, padding=2),
    "norm of a pixel": nn.Sequential(nn.Conv2d(4, 4, 1), nn.PReLU()),
    "batch norm as trained": nn.BatchNorm2d(4).eval(),
    "replicated border": nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"),
}
FAR = {
    "instance norm": (nn.InstanceNorm2d(4), r"middle.0 \(InstanceNorm2d\)"),
    "group norm": (nn.GroupNorm(2, 4), r"middle.0 \(GroupNorm\)"),
    "batch norm in training": (nn.BatchNorm2d(4), r"middle.0 \(BatchNorm2d\)"),
    "attention": (Attention(), r"middle.0.heads \(MultiheadAttention\)"),
    "a mean": (MeanRemoved(), r"middle.0 \(MeanRemoved\)"),
    "a Fourier layer": (Spectral(), r"middle.0 \(Spectral\)"),
    "circular border": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), r"middle.0 \(Conv2d\)"),
    "wide kernel": (nn.Conv2d(4, 4, 61, padding=30), r"middle.0 \(Conv2d\)"),
    "squeeze": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample((45, 62))), r"middle.0.0 \(AdaptiveAvgPool2d\)"),
}
STRIDED = {
    "stride 2": ([nn.Conv2d(4, 4, 2, stride=2), nn.Upsample(scale_factor=2)], 1, r"middle.0 \(Conv2d\) has stride"),
    "stride 3 for 2": ([nn.Conv2d(4, 4, 3, stride=3, padding=1), nn.Upsample(scale_factor=3)], 2, r"middle.0 \(Conv2d"),
    "pooling": ([nn.AvgPool2d(2, ceil_mode=True), nn.Upsample(scale_factor=2)], 1, r"middle.0 \(AvgPool2d\)"),
    "2 after 2": (
        [nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, ceil_mode=True), nn.Upsample(scale_factor=4)],
        2,
        r"middle.1 \(MaxPool2d\)",
    ),
    "a code of places": ([Coded()], 1, "a trial shows that it does not"),
}


@pytest.mark.parametrize("name", LOCAL)
def test_a_network_of_someone_else_is_tiled_if_it_is_local(name: str) -> None:
    net = network(LOCAL[name])
    with torch.no_grad():
        expected = net(given()).final
    assert (tiled(net, given(), 12) - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("name", FAR)
def test_a_layer_that_looks_far_is_named(name: str) -> None:
    layer, named = FAR[name]
    with pytest.raises(mo.MetaoptError, match=f"Its layer update.module.{named} looks further than the 4 pixels"):
        tiled(network(layer), given(), 12)


@pytest.mark.parametrize("name", STRIDED)
def test_a_stride_that_tiles_do_not_share_is_named(name: str) -> None:
    layers, period, named = STRIDED[name]
    with pytest.raises(mo.MetaoptError, match=f"shift by {period} pixels shifts its result, but.*{named}"):
        tiled(network(*layers, period=period, reach=12), given(), 12)


def test_the_right_period_of_a_stride_is_taken() -> None:
    net = network(nn.AvgPool2d(2, ceil_mode=True), nn.Upsample(scale_factor=2), period=2, reach=6)
    with torch.no_grad():
        expected = net(given()).final
    assert (tiled(net, given(), 12) - expected).abs().max() <= 1e-12


def test_a_network_is_as_it_was_after_it_was_tried() -> None:
    net = network(nn.BatchNorm2d(4))
    before = {name: t.clone() for name, t in net.state_dict().items()}
    with pytest.raises(mo.MetaoptError):
        tiled(net, given(), 12)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
