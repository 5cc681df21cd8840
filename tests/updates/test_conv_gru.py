"""The cell of the Recurrent Inference Machine: against torch's GRU cell, on every kind of picture, and its refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import metaopt as mo
from metaopt.networks import ConvGruCell
from metaopt.updates import ComplexAsChannels, ConvGru

from ..helpers import normal, seeded


def cell(channels: int = 1, **options: Any) -> ConvGru:
    return seeded(lambda: ConvGru(channels, hidden=4, **options))


def denoise(net: nn.Module, y: Tensor, noise: Any = 0.2, steps: int = 2) -> Tensor:
    return mo.unroll(mo.Descent(net), steps)(mo.InverseProblem(mo.operators.Identity(), y, noise)).final


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_with_kernel_1_the_cell_is_torchs_gru_cell_at_every_pixel(dims: int) -> None:
    features, size = 5, (3, 4, 2)[:dims]
    ours, theirs = (
        seeded(lambda: ConvGruCell(features, 1, dims=dims)),
        seeded(lambda: nn.GRUCell(features, features), 1),
    )
    with torch.no_grad():
        for convolution, matrix, bias in (
            (ours.input, theirs.weight_ih, theirs.bias_ih),
            (ours.state, theirs.weight_hh, theirs.bias_hh),
        ):
            convolution.weight.copy_(matrix.reshape(convolution.weight.shape))
            convolution.bias.copy_(bias)
    u, s = normal(0, 2, features, *size), normal(1, 2, features, *size)
    pixels = [t.movedim(1, -1).reshape(-1, features) for t in (u, s)]
    expected = theirs(*pixels).reshape(2, *size, features).movedim(-1, 1)
    torch.testing.assert_close(ours(u, s), expected, rtol=0, atol=1e-14)


def perturbed(net: nn.Module) -> nn.Module:
    """Without the zeros that some layers start with."""
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.add_(0.2 * normal(i, *parameter.shape))
    return net


@pytest.mark.parametrize("kernels", [(3,), (1, 1), (3, 1), (1, 3, 3)])
@pytest.mark.parametrize("scales", [(), (2, 4)])
def test_every_recurrent_state_reaches_the_change_at_its_own_place(
    kernels: tuple[int, ...], scales: tuple[int, ...]
) -> None:
    """The published trap: a network whose hidden state never reached its cell."""
    net = perturbed(cell(kernels=kernels, scales=scales))
    x, gradient, context = normal(0, 1, 1, 7, 7), normal(1, 1, 1, 7, 7), (torch.zeros(1, dtype=torch.float64),)
    memory = net.init(x, context)
    assert len(memory) == len(kernels) + len(scales)
    for i in range(len(memory)):
        leaf = memory[i].clone().requires_grad_()
        change, after = net(gradient, x, (*memory[:i], leaf, *memory[i + 1 :]), 0, context)
        (reach,) = torch.autograd.grad(change[0, 0, 3, 3], leaf, retain_graph=True)
        place = 3 // (1, *scales)[max(0, i - len(kernels) + 1)]  # of the same pixel at that memory's scale
        assert reach[0, :, place, place].abs().max() > 1e-5
        (kept,) = torch.autograd.grad(after[i][0, :, place, place].sum(), leaf)
        assert kept[0, :, place, place].abs().min() > 1e-5


@pytest.mark.parametrize("stride", [1, 2])
def test_the_step_size_is_a_step_along_the_gradient_times_noise_squared(stride: int) -> None:
    """With nothing but a step size of 1/2, one step of denoising goes half the way to the measurement."""
    net, y, noise = cell(2, stride=stride), normal(0, 1, 2, 5, 7), 0.3
    with torch.no_grad():
        for parameter in [*net.head.parameters(), net.step_size.weight]:
            parameter.zero_()
        net.step_size.bias.fill_(0.5)
    half = mo.operators.Scaled(mo.operators.Identity(), 0.5)
    problem = mo.InverseProblem(half, y, noise)
    start = problem.start()
    expected = start - 0.5 * 0.5 * (0.5 * start - y)
    torch.testing.assert_close(mo.unroll(mo.Descent(net), 1)(problem).final, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("noise", [1e-3, 0.3, 0.7, 3.0])
def test_the_noise_level_reaches_the_cell_below_and_above_1(noise: float) -> None:
    """The published trap: a likelihood that clamps sigma to at least 1. Here the data term cancels noise^2 exactly."""
    net, y = cell(), normal(0, 1, 1, 6, 6)
    level = torch.tensor([noise], dtype=torch.float64)
    changes = [denoise(net, y, level * factor, steps=1) for factor in (1.0, 1.5)]
    assert (changes[0] - changes[1]).abs().max() > 1e-3


def test_the_gradient_that_the_network_sees_does_not_depend_on_the_noise_level() -> None:
    """gradient * noise^2 = A^H (A x - y): with the network blind to the level map, levels make no difference."""
    net, y = cell(), normal(0, 1, 1, 6, 6)
    with torch.no_grad():
        net.embed.weight[:, -1] = 0
    torch.testing.assert_close(denoise(net, y, 1e-3), denoise(net, y, 10.0), rtol=0, atol=1e-12)


def test_each_sample_has_its_own_noise_level() -> None:
    net, y = cell(), normal(0, 2, 1, 5, 5)
    levels = torch.tensor([0.1, 0.9], dtype=torch.float64)
    alone = [denoise(net, y[i : i + 1], float(levels[i])) for i in range(2)]
    torch.testing.assert_close(denoise(net, y, levels), torch.cat(alone), rtol=0, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(
    dims=st.integers(1, 3),
    stride=st.sampled_from([1, 2, 3]),
    kernels=st.sampled_from([(3,), (5, 1)]),
    scales=st.sampled_from([(), (2,), (3, 4)]),
    batch=st.integers(1, 2),
    data=st.data(),
)
def test_any_size_is_served_down_to_one_pixel(
    dims: int, stride: int, kernels: tuple[int, ...], scales: tuple[int, ...], batch: int, data: st.DataObject
) -> None:
    size = data.draw(st.lists(st.integers(1, 9), min_size=dims, max_size=dims))
    y = normal(0, batch, 2, *size)
    out = denoise(perturbed(cell(2, dims=dims, stride=stride, kernels=kernels, scales=scales)), y)
    assert out.shape == y.shape
    assert out.dtype == torch.float64
    assert torch.isfinite(out).all()
    assert (out - y).flatten(1).abs().amax(1).min() > 0


def test_a_picture_is_treated_alike_wherever_it_is_cut() -> None:
    """Far from a border the size of the picture does not matter: one step sees 2 + 2 + 1 pixels around."""
    net, y = cell(dilation=2), normal(0, 1, 1, 20, 20)
    whole, part = denoise(net, y, steps=1), denoise(net, y[..., 3:17, 2:18], steps=1)
    torch.testing.assert_close(whole[..., 8:12, 8:12], part[..., 5:9, 6:10], rtol=0, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2])
def test_complex_channels_are_real_ones_in_the_order_real_imaginary(stride: int) -> None:
    net, y = cell(4, stride=stride), normal(0, 2, 2, 5, 6, dtype=torch.complex128)
    expected = denoise(net, torch.cat([y.real, y.imag], dim=1))
    got = denoise(ComplexAsChannels(net), y)
    torch.testing.assert_close(torch.cat([got.real, got.imag], dim=1), expected, rtol=0, atol=1e-13)


def test_bfloat16_convolutions_keep_a_complex_estimate_in_float32() -> None:
    net, y = cell(2).float(), normal(0, 1, 1, 6, 6, dtype=torch.complex64)
    with torch.autocast("cpu", torch.bfloat16):
        out = denoise(ComplexAsChannels(net), y)
    assert out.dtype == torch.complex64
    torch.testing.assert_close(out, denoise(ComplexAsChannels(net), y), rtol=0, atol=0.05)


def test_without_context_the_noise_level_may_be_unknown() -> None:
    y = normal(0, 1, 1, 4, 4)
    assert torch.isfinite(denoise(cell(context=0), y, noise=None)).all()
    with pytest.raises(mo.MetaoptError, match=r"reads 1 context tensors.*gives 0; give the problem noise="):
        denoise(cell(), y, noise=None)


@pytest.mark.parametrize(
    ("net", "y", "words"),
    [
        (lambda: cell(3), normal(0, 1, 1, 4, 4), r"\(B, 3, n, n\).*\(1, 1, 4, 4\) float64"),
        (lambda: cell(dims=3), normal(0, 1, 1, 4, 4), r"\(B, 1, n, n, n\).*\(1, 1, 4, 4\)"),
        (cell, normal(0, 1, 1, 4, 4, dtype=torch.complex128), "wrap it in ComplexAsChannels"),
        (lambda: ComplexAsChannels(cell(2)), normal(0, 1, 1, 4, 4), "ComplexAsChannels updates complex x"),
        (lambda: ComplexAsChannels(cell(4)), normal(0, 1, 1, 4, 4, dtype=torch.complex128), r"\(B, 4, n, n\).*as two"),
        (lambda: cell().float(), normal(0, 1, 1, 4, 4), r"torch.float32 on cpu, but x is torch.float64 on cpu"),
    ],
    ids=["channels", "dims", "complex", "real", "complex channels", "dtype"],
)
def test_what_does_not_fit_is_refused_in_a_sentence(net: Any, y: Tensor, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        denoise(net(), y)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kernels": (2,)}, "odd kernels"), ({"kernels": ()}, "at least one GRU"), ({"dims": 4}, "1, 2 or 3 dims, not 4")],
)
def test_a_cell_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        cell(**options)
