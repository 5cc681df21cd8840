"""Second derivatives of what torch fuses, under vmap, are those of a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree
from metaopt.compat import innerloop_ctx
from metaopt.core import autodiff
from metaopt.foundation.kernels import Composed

from ..helpers import normal

D = torch.float64
MEAN, VARIANCE = normal(5, 4), normal(6, 4).exp()
FUSED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "layer norm": lambda x, w: F.layer_norm(x, (4,), w, w.sin()),
    "batch norm": lambda x, w: F.batch_norm(x, None, None, w, w.sin(), training=True),
    "batch norm by statistics": lambda x, w: F.batch_norm(x, MEAN, VARIANCE, w, w.sin()),
    "batch norm of pictures": lambda x, w: F.batch_norm(x[..., None, None] ** 2, None, None, w, None, training=True),
    "instance norm": lambda x, w: F.instance_norm(x.T[None], weight=x[:, 0], bias=x[:, 1]) * w[:, None],
    "group norm": lambda x, w: F.group_norm(x, 2, w),
    "attention": lambda x, w: F.scaled_dot_product_attention((x * w)[None, None], x[None, None], x[None, None]),
}


def energy(fused: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor) -> Tensor:
    return fused(x, w).tanh().square().mean() + fused(x, w).sin().sum()


def central(function: Callable[[Tensor], Tensor], x: Tensor, h: float = 1e-5) -> Tensor:
    steps = h * torch.eye(x.numel(), dtype=D).reshape(-1, *x.shape)
    return torch.stack([(function(x + s) - function(x - s)) / (2 * h) for s in steps]).reshape(x.shape)


@pytest.mark.parametrize("name", FUSED)
def test_a_gradient_under_vmap_is_differentiated_again_as_finite_differences_say(name: str) -> None:
    fused, x, w = FUSED[name], normal(0, 4, 4).requires_grad_(), (1 + normal(1, 4).abs()).requires_grad_()

    def slope(x: Tensor) -> Tensor:
        return torch.autograd.grad(energy(fused, x, w), w, create_graph=True)[0].square().sum().detach()

    expected = central(lambda x: slope(x.requires_grad_()), x.detach())
    together = tree.vmap(lambda x, w: autodiff.gradient(lambda w: energy(fused, x, w), w))(x[None], w[None])[0]
    [got] = torch.autograd.grad(together.square().sum(), x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUSED)
def test_values_are_those_of_the_fused_functions(name: str) -> None:
    x, w = normal(0, 4, 4), 1 + normal(1, 4).abs()
    with Composed():
        composed = FUSED[name](x, w)
    torch.testing.assert_close(composed, FUSED[name](x, w), rtol=1e-12, atol=1e-12)


def test_heads_return_weights_only_where_they_are_wanted() -> None:
    heads, x = nn.MultiheadAttention(4, 2, dtype=D), normal(0, 3, 1, 4)
    for wanted in (True, False):
        with Composed():
            output, weights = heads(x, x, x, need_weights=wanted)
        torch.testing.assert_close(output, heads(x, x, x, need_weights=wanted)[0])
        assert (weights is not None) == wanted


IDS = torch.tensor([[1, 3, 3], [0, 2, 5], [4, 4, 0]])
BAGS: dict[str, Any] = {
    "rows": ((IDS,), {}),
    "offsets": ((IDS.flatten(), torch.tensor([0, 2, 2, 7])), {}),
    "last offset": ((IDS.flatten(), torch.tensor([0, 2, 9])), {"include_last_offset": True}),
    "padding": ((IDS,), {"padding_idx": 3}),
    "padding from the end": ((IDS.flatten(), torch.tensor([0, 1, 3])), {"padding_idx": -3}),
    "weights": ((IDS,), {"per_sample_weights": normal(3, 3, 3), "mode": "sum"}),
}


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("name", BAGS)
def test_bags_of_embeddings_are_those_of_torch_and_have_second_derivatives(name: str, mode: str) -> None:
    (ids, *offsets), options = BAGS[name]
    weight = normal(0, 6, 2).requires_grad_()
    options = {"mode": mode, **options}
    with Composed(F.embedding_bag):
        composed = F.embedding_bag(ids, weight, *offsets, **options)
    plain = F.embedding_bag(ids, weight, *offsets, **options)
    torch.testing.assert_close(composed, plain, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(y.sin().sum(), weight, retain_graph=True)[0] for y in (composed, plain)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-12, atol=1e-12)

    def energy(weight: Tensor) -> Tensor:
        with Composed():
            return F.embedding_bag(ids, weight, *offsets, **options).sin().sum()

    torch.autograd.gradgradcheck(energy, (weight,))


def test_a_network_with_bags_is_adapted_like_one_that_sums_embeddings() -> None:
    class Summed(nn.Embedding):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids).sum(1)

    bag, summed = nn.EmbeddingBag(6, 2, mode="sum", dtype=D), Summed(6, 2, dtype=D)
    summed.load_state_dict(bag.state_dict())
    y = normal(1, 3, 2)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (output.tanh() - target).square().sum()

    def meta(net: nn.Module) -> list[Tensor]:
        own = list(net.parameters())
        problem = mo.Objective(net, loss, [(IDS, y)])
        final = mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)(problem).final
        adapted = mo.unroll(mo.Adaptation(net, mo.updates.Sgd(0.1), loss), 2)(mo.Episode(IDS[None], y[None], IDS[None]))
        with innerloop_ctx(net, torch.optim.SGD(own, 0.1), copy_initial_weights=False) as (functional, stepper):
            for _ in range(2):
                stepper.step(loss(functional(IDS), y))
            outer = loss(functional(IDS), y)
        values = (problem.energy(final), adapted.final.square().sum(), outer)
        return [torch.autograd.grad(value, own)[0] for value in values]

    torch.testing.assert_close(meta(bag), meta(summed), rtol=1e-10, atol=1e-12)


def test_what_vmap_refuses_is_computed_one_after_another() -> None:
    cell, x = nn.GRU(3, 2, dtype=D), normal(0, 4, 5, 3).requires_grad_()
    together = mo.vmap(lambda x: {"out": cell(x)[0], "last": cell(x)[1]})(x)
    torch.testing.assert_close(together["out"][2], cell(x[2])[0])
    assert together["last"].shape == (4, 1, 2)
    assert torch.autograd.grad(together["out"].sum(), x)[0].shape == x.shape
