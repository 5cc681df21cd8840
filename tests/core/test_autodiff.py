"""The gradient inside a step: a function of values alone, to every order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo
from metaopt import tree
from metaopt.core import autodiff

from ..helpers import normal

few = settings(deadline=None, max_examples=25)


def quartic(x: Tensor, a: Tensor) -> Tensor:
    return ((a @ x) ** 4).sum() / 4


@few
@given(st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_gradient_and_curvature_are_the_analytic_ones(rows, columns, with_graph):
    a, x = normal(0, rows, columns).requires_grad_(with_graph), normal(1, columns).requires_grad_(with_graph)
    gradient = autodiff.gradient(lambda x: quartic(x, a), x)
    torch.testing.assert_close(gradient, a.T @ (a @ x) ** 3)
    assert gradient.requires_grad == with_graph
    if with_graph:
        direction = normal(2, columns)
        [product] = torch.autograd.grad(gradient @ direction, x, create_graph=True)
        torch.testing.assert_close(product, 3 * a.T @ ((a @ x) ** 2 * (a @ direction)))
        [third] = torch.autograd.grad(product.sum(), x)
        torch.testing.assert_close(third, 6 * a.T @ ((a @ x) * (a @ direction) * (a @ torch.ones_like(x))))


def test_what_else_the_function_uses_gets_its_mixed_derivative():
    a, x = normal(0, 3, 2).requires_grad_(), normal(1, 2)  # x itself needs no gradient
    gradient = autodiff.gradient(lambda x: quartic(x, a), x)
    [got] = torch.autograd.grad(gradient.sum(), a)
    [expected] = torch.autograd.grad((a.T @ (a @ x) ** 3).sum(), a)
    torch.testing.assert_close(got, expected)


def test_complex_gradients_point_up():
    a, z, y = (normal(i, *shape, dtype=torch.complex128) for i, shape in enumerate([(3, 2), (2,), (3,)]))
    gradient = autodiff.gradient(lambda z: (a @ z - y).abs().square().sum() / 2, z)
    torch.testing.assert_close(gradient, a.mH @ (a @ z - y))


def test_every_tensor_of_a_tree_gets_its_gradient_and_unused_ones_zeros():
    x = {"a": normal(0, 2), "b": (normal(1, 3), normal(2, 1)), "n": None}
    gradient = autodiff.gradient(lambda x: (x["a"] ** 2).sum() + x["b"][0].sum(), x)
    torch.testing.assert_close(gradient["a"], 2 * x["a"])
    assert torch.equal(gradient["b"][0], torch.ones(3, dtype=torch.float64))
    assert torch.equal(gradient["b"][1], torch.zeros(1, dtype=torch.float64))
    assert gradient["n"] is None
    assert torch.equal(autodiff.gradient(lambda x: torch.ones(()), x["a"]), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "computed"])
def test_the_history_of_an_input_is_no_path_to_another(leaf):
    """b was computed from w; that is history, and d/dw holds b fixed."""
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    w = w if leaf else w * 1
    gradient = autodiff.gradient(lambda x: x["w"] ** 2 * x["b"], {"w": w, "b": 3 * w})
    assert gradient["w"].item() == 2 * 2.0 * 6.0
    assert gradient["b"].item() == 4.0
    [total] = torch.autograd.grad(gradient["w"], w)  # of 2 w b = 6 w^2: here the history counts
    assert total.item() == 12 * 2.0


def test_one_tensor_in_two_places_is_two_variables():
    """Two states that are equal in value have equal gradients, whether or not they happen to be one object."""
    start = normal(0, 3)

    def energy(x):
        return (x["mean"] ** 2 + 3 * x["scale"]).sum()

    one, two = ({"mean": start, "scale": start}, {"mean": start, "scale": start.clone()})
    for x in (one, two):
        gradient = autodiff.gradient(energy, x)
        torch.testing.assert_close(gradient["mean"], 2 * start)
        torch.testing.assert_close(gradient["scale"], torch.full((3,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed(2), mo.Truncated(2)], ids=str)
def test_a_start_with_one_tensor_twice_runs_like_two_equal_ones(strategy):
    start, net = normal(0, 3), mo.unroll(mo.Descent(mo.updates.Sgd(mo.shared(0.1))), 4, strategy)

    def energy(x):
        return ((x["a"] - 1) ** 2 * x["b"]).sum()

    runs = [net(mo.FunctionObjective(energy, {"a": start, "b": b})).final for b in (start, start.clone())]
    assert all(torch.equal(a, b) for a, b in zip(*map(tree.leaves, runs), strict=True))


def test_no_graph_is_left_where_none_is_wanted():
    x, a = normal(0, 2), normal(1, 3, 2).requires_grad_()

    def function(x):
        return quartic(x, a), {"seen": a @ x}

    with torch.no_grad():
        gradient, aux = autodiff.gradient(function, x, has_aux=True)
    assert not gradient.requires_grad
    assert not aux["seen"].requires_grad
    frozen = a.detach()
    gradient, aux = autodiff.gradient(lambda x: (quartic(x, frozen), x * 2), x, has_aux=True)
    assert not gradient.requires_grad, "nothing requires grad, so neither does the gradient"
    assert not aux.requires_grad
    assert not x.requires_grad
    assert autodiff.gradient(lambda x: quartic(x, a), x).requires_grad


def test_aux_is_returned_with_its_graph():
    x, a = normal(0, 2).requires_grad_(), normal(1, 3, 2)
    _, aux = autodiff.gradient(lambda x: (quartic(x, a), a @ x), x, has_aux=True)
    torch.testing.assert_close(torch.autograd.grad(aux.sum(), x)[0], a.sum(0))


def test_a_backward_pass_leaves_nothing_in_inner_leaves():
    """The inner input is detached; its graph is differentiated again, and its own gradient is thrown away."""
    seen, a, x = [], normal(1, 3, 2).requires_grad_(), normal(0, 2)
    gradient = autodiff.gradient(lambda x: (seen.append(x), quartic(x, a))[1], x)
    gradient.sum().backward()
    assert a.grad is not None
    assert seen[0].grad is None


@few
@given(st.integers(1, 4), st.integers(1, 3))
def test_under_vmap_it_equals_the_loop_and_differentiates_again(tasks, width):
    a, x = normal(0, tasks, 3, width), normal(1, tasks, width).requires_grad_()
    together = tree.vmap(lambda x, a: autodiff.gradient(lambda x: (quartic(x, a), a @ x), x, has_aux=True))(x, a)
    alone = torch.stack([a[i].T @ (a[i] @ x[i]) ** 3 for i in range(tasks)])
    torch.testing.assert_close(together[0], alone)
    torch.testing.assert_close(together[1], torch.einsum("bij,bj->bi", a, x))
    for mine, expected in zip(*(torch.autograd.grad(g.sum(), x) for g in (together[0], alone)), strict=True):
        torch.testing.assert_close(mine, expected)


def test_torch_func_hessian_goes_through_it():
    a, x = normal(0, 3, 2), normal(1, 2)
    hessian = torch.func.jacrev(lambda x: autodiff.gradient(lambda x: quartic(x, a), x))(x)
    torch.testing.assert_close(hessian, 3 * a.T @ torch.diag((a @ x) ** 2) @ a)


@pytest.mark.parametrize(
    ("function", "shape"), [(lambda x: x, r"\(2,\) float64"), (lambda x: x.sum() * 1j, r"\(\) complex128")]
)
def test_a_function_without_one_real_value_is_refused(function, shape):
    with pytest.raises(mo.MetaoptError, match=f"one real value, but it returned {shape}; sum or average"):
        autodiff.gradient(function, normal(0, 2))


def test_foreign_leaves_are_found_wherever_they_hide():
    allowed, foreign = normal(0, 2).requires_grad_(), normal(1, 2).requires_grad_()
    assert autodiff.foreign_leaf([allowed * 2, allowed], [allowed]) is None
    assert autodiff.foreign_leaf([allowed * 2, (allowed * foreign).sin()], [allowed]) is foreign
    assert autodiff.foreign_leaf([foreign], [allowed]) is foreign
    assert autodiff.foreign_leaf([normal(0, 2)], []) is None
    inner = autodiff.gradient(lambda x: quartic(x, allowed[None]), normal(2, 2))
    assert autodiff.foreign_leaf([inner], [allowed]) is None, "what gradient() made itself is nobody's tensor"
