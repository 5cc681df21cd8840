"""What an ablated update does not see changes nothing; the rest does."""

from __future__ import annotations

import torch

import metaopt as mo

from ..cases.rims import rim_cell
from ..helpers import normal, seeded

X, GRADIENT, LEVEL = normal(0, 2, 1, 6, 5), normal(1, 2, 1, 6, 5), (torch.zeros(2).double(),)


def test_without_its_estimate_an_update_depends_on_gradient_and_memory_alone() -> None:
    cell = seeded(rim_cell)
    blind = mo.updates.WithoutEstimate(cell)
    memory = tuple(torch.randn_like(m) for m in blind.init(X, LEVEL))
    change, after = blind(GRADIENT, X, memory, 0, LEVEL)
    assert torch.equal(change, blind(GRADIENT, X + 1, memory, 0, LEVEL)[0])
    assert not torch.equal(change, blind(GRADIENT + 1, X, memory, 0, LEVEL)[0])
    expected, remembered = cell(GRADIENT, torch.zeros_like(X), memory, 0, LEVEL)
    assert torch.equal(change, expected) and torch.equal(after[0], remembered[0])


def test_without_memory_every_step_is_a_first_one() -> None:
    cell = seeded(rim_cell)
    forgetful = mo.updates.WithoutMemory(cell)
    memory = forgetful.init(X, LEVEL)
    for k in range(3):
        change, memory = forgetful(GRADIENT, X, memory, k, LEVEL)
        assert memory == ()
        assert torch.equal(change, cell(GRADIENT, X, cell.init(X, LEVEL), k, LEVEL)[0])
