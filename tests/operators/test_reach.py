"""How far an operator says it reaches is what perturbing one pixel after another shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.operators.reach import PerAxis, Window, coarse, common_multiple, largest, per_axis, times, total

from .cases import CASES, Case, random

DOUBLE = torch.float64
SHAPE = (36, 24)


def kernel(*shape: int) -> Tensor:
    return random(*shape, dtype=DOUBLE, seed=3)


def plane(seed: int = 0) -> Tensor:
    return random(*SHAPE, dtype=DOUBLE, seed=seed)


LOCAL = {
    "identity": ops.Identity(),
    "real to complex": ops.RealToComplex(),
    "mask": ops.Mask(plane()),
    "blur": ops.Blur(kernel(3, 7)),
    "blur per sample": ops.Blur(kernel(1, 5, 1)),
    "adjoint blur": ops.Blur(kernel(3, 5)).H,
    "box": ops.box_downsample(SHAPE, 4, dtype=DOUBLE),
    "bicubic": ops.bicubic_downsample(SHAPE, 2, dtype=DOUBLE),
    "bicubic by 3": ops.bicubic_downsample(SHAPE, 3, dtype=DOUBLE),
    "rows by 3, columns by 2": ops.Separable(
        ops.bicubic_downsample(SHAPE, 3, dtype=DOUBLE).rows, ops.box_downsample(SHAPE, 2, dtype=DOUBLE).columns
    ),
    "scaled": ops.Scaled(ops.Blur(kernel(3, 3)), 2.0),
    "masked blur": ops.Mask(plane()) @ ops.Blur(kernel(3, 5)),
    "blurred mask": ops.Blur(kernel(3, 5)) @ ops.Mask(plane()),
    "two blurs": ops.Blur(kernel(3, 5)) @ ops.Blur(kernel(5, 1)),
    "box after blur": ops.box_downsample(SHAPE, 3, dtype=DOUBLE) @ ops.Blur(kernel(5, 3)),
    "blur after box": ops.Blur(kernel(3, 5)) @ ops.box_downsample(SHAPE, 4, dtype=DOUBLE),
    "box after box": ops.box_downsample((18, 12), 3, dtype=DOUBLE) @ ops.box_downsample(SHAPE, 2, dtype=DOUBLE),
}


def measured_reach(operator: ops.Operator) -> tuple[int, int]:
    """How far along each axis A^H A, as a dense matrix of all pixels, is not zero."""
    pixels = SHAPE[0] * SHAPE[1]
    normal = torch.stack(
        [operator.normal(unit.view(1, 1, *SHAPE)).flatten() for unit in torch.eye(pixels, dtype=DOUBLE)]
    )
    rows, columns = (t.flatten() for t in torch.meshgrid(*(torch.arange(n) for n in SHAPE), indexing="ij"))
    seen, from_ = (normal.abs() > 1e-12).nonzero().unbind(1)
    return tuple(int((place[seen] - place[from_]).abs().max()) for place in (rows, columns))


@pytest.mark.parametrize("name", LOCAL)
def test_reach_is_the_width_of_the_normal_matrix(name: str) -> None:
    operator = LOCAL[name]
    said, found = per_axis(operator.reach, 2, 0), measured_reach(operator)
    assert said == found


@pytest.mark.parametrize("name", LOCAL)
def test_a_gradient_changes_within_the_reach_of_a_changed_pixel_only(name: str) -> None:
    operator, x = LOCAL[name], plane(4)[None, None]
    problem = mo.InverseProblem(operator, operator(plane(5)[None, None]), 0.5)
    down, right = per_axis(operator.reach, 2, 0)
    for i, j in ((0, 0), (17, 11), (35, 23)):
        changed = x.clone()
        changed[0, 0, i, j] += 1
        difference = (problem.gradient(changed) - problem.gradient(x))[0, 0].abs()
        difference[max(0, i - down) : i + down + 1, max(0, j - right) : j + right + 1] = 0
        assert difference.max() <= 1e-12


@pytest.mark.parametrize("name", LOCAL)
def test_the_operator_of_a_window_is_the_operator_away_from_its_edge(name: str) -> None:
    """From y as well as to it: A^H A and A^H of the window, further than the reach from edges that are no borders."""
    operator, x = LOCAL[name], plane(4)[None, None]
    window: Window = (slice(0, 24), slice(12, 24))
    there = operator.crop(window)
    y = operator(x)
    small = coarse(window, operator.period)
    assert there(x[(..., *window)]).shape == y[(..., *small)].shape
    down, right = per_axis(operator.reach, 2, 0)
    kept = (..., slice(0, 24 - down), slice(right, 12))
    for inside, whole in (
        (there.normal(x[(..., *window)]), operator.normal(x)),
        (there.adjoint(y[(..., *small)]), operator.adjoint(y)),
    ):
        torch.testing.assert_close(inside[kept], whole[(..., *window)][kept], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LOCAL)
def test_period_is_the_number_of_pixels_of_x_for_one_of_y(name: str) -> None:
    operator = LOCAL[name]
    factors = per_axis(operator.period, 2, 1)
    assert operator(plane()[None, None]).shape[2:] == tuple(n // f for n, f in zip(SHAPE, factors, strict=True))


@pytest.mark.parametrize("case", [c for c in CASES if "blur per sample" not in c.name], ids=lambda case: case.name)
def test_operators_that_see_everything_have_no_reach_and_no_window(case: Case) -> None:
    """What has no reach among all operators is what mixes all pixels, or lists them in another order."""
    operator, x = case.build(DOUBLE, 0)
    words = ("select", "dense", "projection", "blocks", "circular", "fourier", "nufft", "separable", "adjoint")
    words += ("linear map", "visibilities")
    assert (operator.reach is None) == any(word in case.name for word in words)
    if operator.reach is None and "separable" not in case.name:
        with pytest.raises(mo.MetaoptError, match="of a window of x; compute it whole"):
            operator.crop(tuple(slice(0, 2) for _ in x.shape[2:]))


def test_a_volume_is_reached_along_the_axes_an_operator_acts_on() -> None:
    assert per_axis(ops.Blur(kernel(3, 5)).reach, 3, 0) == (0, 2, 4)
    assert per_axis(ops.Identity().reach, 3, 0) == (0, 0, 0)
    with pytest.raises(mo.MetaoptError, match="for 2 axes, but there are 1"):
        per_axis(ops.Blur(kernel(3, 5)).reach, 1, 0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (total(1, 2), 3),
        (total(1, (2, 3)), (3, 4)),
        (total((1,), (2, 3)), (2, 4)),
        (total(1, None), None),
        (largest(2, (1, 3)), (2, 3)),
        (times((2, 3), 4), (8, 12)),
        (times((2,), (5, 5)), (5, 10)),
        (common_multiple(4, (6, 1)), (12, 4)),
        (common_multiple((6,), (4, 4)), (4, 12)),
    ],
)
def test_reaches_add_axis_by_axis_from_the_last(found: PerAxis | None, expected: PerAxis | None) -> None:
    assert found == expected
