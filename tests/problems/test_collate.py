"""Problems joined to a batch are what they are one by one; and problems moved to another precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import metaopt as mo
from metaopt import operators as ops
from metaopt import tree
from metaopt.problems import InverseProblem, collate

from ..cases.rims import rim_cell
from ..factor_graphs import loopy
from ..helpers import matrix, normal, seeded


def picture(seed: int, batch: int = 1) -> Tensor:
    return normal(seed, batch, 1, 6, 5)


def masked(seed: int, batch: int = 1, noise: Any = 0.1) -> InverseProblem:
    """Every sample with a mask of its own."""
    mask = (normal(seed + 50, batch, 1, 6, 5) > 0).double()
    return InverseProblem(ops.Mask(mask), mask * picture(seed, batch), noise)


def kspace(seed: int, batch: int = 1) -> InverseProblem:
    mask = (normal(seed + 50, batch, 1, 6, 5) > 0).double()
    y = mask * normal(seed, batch, 1, 6, 5, dtype=torch.complex128)
    return InverseProblem(ops.Fourier(mask) @ ops.Mask(torch.ones(6, 5).double()), y, torch.rand(batch) + 0.1)


def guessed(seed: int) -> InverseProblem:
    return InverseProblem(ops.Blur(normal(3, 3, 3)), picture(seed, 2), 0.2, guess=picture(seed + 9, 2))


MIXED = (0.1, torch.tensor([0.2, 0.3]), normal(1, 2, 1, 6, 5).abs() + 0.1, normal(2, 1, 1, 6, 1).abs() + 0.1)
BATCHES = {
    "one operator": [InverseProblem(ops.Dense(matrix(7)), normal(s, 2, 4), 0.1 + s) for s in range(3)],
    "a mask a sample": [masked(s, 1 + s % 2) for s in range(4)],
    "a mask a sample, composed": [kspace(s, 1 + s) for s in range(3)],
    "noise of all shapes": [masked(s, 2, noise) for s, noise in enumerate(MIXED)],
    "guesses": [guessed(s) for s in range(2)],
    "no noise": [InverseProblem(ops.Identity(), picture(s)) for s in range(2)],
    "counts": [InverseProblem(ops.Identity(), picture(s).abs(), likelihood=mo.Poisson(0.5)) for s in range(2)],
    "equal masks, one a sample": [masked(0, 2), masked(0, 2)],
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_joined_batch_is_its_problems_one_by_one(name: str) -> None:
    problems = BATCHES[name]
    joined = collate(problems)
    assert len(joined.y) == sum(len(p.y) for p in problems)
    starts = [p.start() for p in problems]
    torch.testing.assert_close(joined.start(), torch.cat(starts))
    x = torch.cat(starts) + 0.3
    parts = x.split([len(s) for s in starts])
    for verb in ("energy", "gradient"):
        alone = [getattr(p, verb)(part) for p, part in zip(problems, parts, strict=True)]
        torch.testing.assert_close(getattr(joined, verb)(x), torch.cat(alone))


def test_a_network_gives_for_a_joined_batch_what_it_gives_for_each() -> None:
    problems = BATCHES["noise of all shapes"]
    net = mo.unroll(seeded(lambda: mo.Descent(rim_cell())), 3)
    torch.testing.assert_close(net(collate(problems)).final, torch.cat([net(p).final for p in problems]))


class Pair(NamedTuple):
    problem: Any
    target: Tensor


def test_a_data_loader_takes_problems_with_their_targets() -> None:
    data = [Pair(mo.FirstOrder(masked(s)), picture(s)) for s in range(5)]
    batches = list(DataLoader(data, batch_size=2, collate_fn=collate))  # type: ignore[arg-type]
    assert [len(b.target) for b in batches] == [2, 2, 1]
    assert isinstance(batches[0], Pair)
    assert isinstance(batches[0].problem, mo.FirstOrder)
    torch.testing.assert_close(batches[1].problem.problem.y, torch.cat([data[i].problem.problem.y for i in (2, 3)]))
    assert collate([{"x": picture(0), "rate": 2.0}, {"x": picture(1), "rate": 2.0}])["rate"] == 2.0


def shared_masks() -> list[InverseProblem]:
    """(H, W), which means one for all samples: two different ones cannot be one operator."""
    masks = [(normal(s, 6, 5) > 0).double() for s in range(2)]
    return [InverseProblem(ops.Mask(m), m * picture(s), 0.1) for s, m in enumerate(masks)]


def rows() -> list[InverseProblem]:
    """(1, W) with pictures of two rows: joined they would be taken for (H, W)."""
    masks = [(normal(s, 1, 5) > 0).double() for s in range(2)]
    return [InverseProblem(ops.Mask(m), m * normal(s, 1, 1, 2, 5), 0.1) for s, m in enumerate(masks)]


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (shared_masks(), r"operators of the problems differ \(Mask\).*masks \(B, 1, H, W\)"),
        (rows(), r"operators of the problems differ \(Mask\)"),
        ([masked(0), InverseProblem(ops.Identity(), picture(0), 0.1)], r"operators .* differ \(Mask, Identity\)"),
        (
            [InverseProblem(ops.LinearMap(lambda x: 2 * x, lambda y: 2 * y), picture(s), 0.1) for s in range(2)],
            r"operators of the problems differ \(LinearMap\)",
        ),
        ([InverseProblem(ops.Identity(), picture(0), n) for n in (0.1, None)], "know their noise and some do not"),
        (
            [InverseProblem(ops.Identity(), picture(0).abs(), likelihood=mo.Poisson(b)) for b in (0.1, 0.2)],
            "different likelihoods",
        ),
        (
            [InverseProblem(ops.Identity(), normal(0, 1, 1, n, 5), 0.1) for n in (6, 7)],
            r"\(1, 1, 6, 5\) float64 and \(1, 1, 7, 5\) float64 cannot be joined",
        ),
        ([picture(0), picture(0).float()], r"float64 and .* float32 cannot be joined"),
        ([torch.tensor(1.0), torch.tensor(2.0)], r"Tensors \(\) float32 cannot be joined"),
        ([loopy(0), loopy(1)], r"no rule to join several FactorGraph .*FactorGraph\.union"),
        ([1.0, 2.0], "no rule to join several float"),
        ([picture(0), masked(0)], "items of one kind, not of InverseProblem and Tensor"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_a_sentence(items: list[Any], sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        collate(items)


def objective() -> mo.Objective:
    net = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    return mo.Objective(net, nn.functional.mse_loss, [(normal(0, 5, 3), normal(1, 5, 2))])


MOVED = {
    "inverse problem": lambda: masked(0, 2, MIXED[2]),
    "complex": lambda: kspace(0, 2),
    "objective": objective,
    "function": lambda: mo.FunctionObjective(lambda x, a: (x - a).square().sum(), normal(0, 3), (normal(1, 3),)),
    "first order": lambda: mo.FirstOrder(masked(0)),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_problem_moves_with_everything_in_it(name: str) -> None:
    problem = MOVED[name]()
    single = problem.to("cpu", torch.float32)
    assert type(single) is type(problem)
    assert {t.dtype for t in tree.leaves(single)} <= {torch.float32, torch.complex64}
    assert {t.dtype for t in tree.leaves(problem)} <= {torch.float64, torch.complex128}
    found, expected = single.gradient(single.start()), problem.gradient(problem.start())
    for a, b in zip(tree.leaves(found), tree.leaves(expected), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-4, atol=1e-4)


def test_graphs_episodes_and_operators_move_too() -> None:
    graph = loopy(0).to(dtype=torch.float32)
    assert graph.unary.dtype == torch.float32
    assert graph.cardinalities.dtype == torch.long
    signal = mo.GraphSignal.from_edges(normal(0, 3, 2), torch.tensor([[0, 1], [1, 2]])).to(dtype=torch.float32)
    assert (signal.x.dtype, signal.weight.dtype) == (torch.float32, torch.float32)
    episode = mo.Episode(normal(0, 2, 3, 1), normal(1, 2, 3, 1), normal(2, 2, 4, 1)).to("meta")
    assert episode.queries.device.type == "meta"
    assert ops.Dense(matrix(7)).to(dtype=torch.float32).matrix.dtype == torch.float32
