"""Muon against torch's own Muon and Adam."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metaopt.core import MetaoptError
from metaopt.training import LearningRate, Muon
from metaopt.training.muon import orthogonal_factor


def steps(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, count: int = 6) -> torch.Tensor:
    """Where a parameter is after some steps on gradients that differ from one another."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
        optimizer.step()
    return parameter.detach().clone()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(12, 20), (21, 12)])
def test_a_matrix_steps_as_by_torchs_muon(shape: tuple[int, int]) -> None:
    """torch's iterates in bfloat16, so only to a few percent of the way."""
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    reference = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    way, expected = (steps(o, p) - start for o, p in ((Muon([ours], lr=1e-2), ours), (reference, theirs)))
    assert (way - expected).norm() <= 0.05 * expected.norm()


@pytest.mark.parametrize("shape", [(9,), (64, 3, 5, 5), (64, 1, 4, 4), ()])
def test_biases_and_kernels_of_few_channels_step_by_adam(shape: tuple[int, ...]) -> None:
    start = torch.randn(shape, dtype=torch.float64)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    torch.testing.assert_close(
        steps(Muon([ours], lr=1e-2), ours), steps(torch.optim.Adam([theirs], lr=1e-2), theirs), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(("shape", "blocks"), [((8, 8, 3, 3), 1), ((24, 8, 3, 3), 3), ((9, 8, 1), 1)])
def test_a_kernels_step_is_orthogonal_gate_by_gate(shape: tuple[int, ...], blocks: int) -> None:
    """Before momentum has built up: singular values of each block are one another's, up to the iteration's error."""
    kernel = nn.Parameter(torch.zeros(shape))
    way = steps(Muon([kernel], lr=1.0), kernel, 1).reshape(blocks, shape[0] // blocks, -1)
    values = torch.linalg.svdvals(way) / (0.2 * max(way.shape[1:]) ** 0.5)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_the_orthogonal_factor_keeps_directions() -> None:
    matrices = torch.randn(4, 6, 10, dtype=torch.float64)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    mixed = u.mT @ orthogonal_factor(matrices) @ vh.mT
    off = mixed - torch.diag_embed(mixed.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-10
    assert (mixed.diagonal(dim1=-2, dim2=-1) > 0.6).all()


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(MetaoptError, match="adam, muon"):
        LearningRate(optimizer="lion")


def test_a_closure_is_called_for_the_gradients_of_the_step() -> None:
    start = torch.randn(8, 9)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer, reference = Muon([ours], lr=1e-2), Muon([theirs], lr=1e-2)
    theirs.square().sum().backward()
    reference.step()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = ours.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == start.square().sum()
    assert torch.equal(ours, theirs)
