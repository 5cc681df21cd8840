"""Coupled ISTA is ISTA as it is built; its analytic weights are optimal; its learned forms learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metaopt as mo
from metaopt.algorithms import analytic_weights
from metaopt.models import alista, lista, lista_cp, na_alista
from metaopt.operators import gaussian_dictionary
from metaopt.tasks import SparseCodes
from metaopt.training import LearningRate, Settings, train

from ..helpers import normal

DOUBLE = torch.float64
DICTIONARY = gaussian_dictionary(12, 20, seed=0, dtype=DOUBLE)
MODELS = {"lista": lista, "lista_cp": lista_cp, "alista": alista, "na_alista": na_alista}


def test_as_built_it_is_ista() -> None:
    y = normal(1, 3, 12)
    ista, coupled = (mo.unroll(kind(DICTIONARY, 0.3), 20)(y) for kind in (mo.Ista, mo.CoupledIsta))
    for a, b in zip(ista.outputs, coupled.outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_analytic_weights_have_the_least_coherence_under_their_constraint() -> None:
    weights = analytic_weights(DICTIONARY)
    torch.testing.assert_close((weights * DICTIONARY).sum(0), torch.ones(20, dtype=DOUBLE))
    least = torch.linalg.matrix_norm(weights.T @ DICTIONARY)
    assert float(least) < float(torch.linalg.matrix_norm(DICTIONARY.T @ DICTIONARY))
    for seed in range(5):
        other = weights + 0.1 * normal(seed, 12, 20)
        other = other / (other * DICTIONARY).sum(0)
        assert float(torch.linalg.matrix_norm(other.T @ DICTIONARY)) > float(least)
    with pytest.raises(mo.MetaoptError, match="not independent"):
        analytic_weights(torch.cat([DICTIONARY[:1], DICTIONARY[:1]]))


def test_selected_entries_pass_whole_and_the_others_are_shrunk() -> None:
    """With the identity as dictionary a step from zero sees y itself; a tenth of ten entries is one."""
    y = torch.tensor([[0.1, -0.2, 0.3, -3.0, 0.5, 2.0, 0.0, 0.1, 0.2, -0.4]], dtype=DOUBLE)
    z = mo.unroll(mo.CoupledIsta(torch.eye(10, dtype=DOUBLE), 0.25, support=(0.1, 0.2)), 2)(y).outputs
    expected = torch.sgn(y) * torch.relu(y.abs() - 0.25)
    first = expected.clone()
    first[0, 3] = -3.0
    torch.testing.assert_close(z[0], first)
    first[0, 5] = 2.0
    torch.testing.assert_close(z[1], first)


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_learns_to_code_better_than_ista(kind: str, tmp_path: Any) -> None:
    dictionary = gaussian_dictionary(12, 20, seed=0)
    task = SparseCodes(dictionary, 0.1, snr=40, batch=64)
    torch.manual_seed(0)
    net = MODELS[kind](dictionary, 0.2, steps=6)
    train(
        net,
        task,
        tmp_path,
        Settings(updates=150, steps=(6, 6), rate=LearningRate(3e-2, 1e-3, 5), clip=10, weights="last"),
    )
    y, x = task.sample(999)
    with torch.no_grad():
        ista = (mo.unroll(mo.Ista(dictionary, 0.2), 6)(y).final - x).square().sum()
        assert float((net(y).final - x).square().sum()) < 0.5 * float(ista)


def test_only_two_numbers_a_step_are_learned_with_analytic_weights() -> None:
    assert sum(p.numel() for p in alista(DICTIONARY, 0.1, steps=7).parameters() if p.requires_grad) == 14


def test_a_schedule_can_make_the_threshold_what_is_left_to_explain() -> None:
    net = na_alista(DICTIONARY, 0.1, steps=4, hidden=5)
    schedule, y = net.algorithm.schedule.module, normal(3, 2, 12)
    torch.testing.assert_close(net(y).final, alista(DICTIONARY, 0.1, steps=4)(y).final)
    with torch.no_grad():
        schedule.read.weight[1, -1] = 1.0
    residual, correlation = torch.tensor([[0.3], [2.0]], dtype=DOUBLE), torch.tensor([[0.1], [5.0]], dtype=DOUBLE)
    factors, _ = schedule(residual, correlation, schedule.init(y))
    torch.testing.assert_close(factors, torch.cat([torch.ones(2, 1, dtype=DOUBLE), correlation], 1))


@pytest.mark.parametrize("kind", [mo.Ista, mo.CoupledIsta])
def test_a_measurement_that_does_not_fit_is_a_sentence(kind: Any) -> None:
    with pytest.raises(mo.MetaoptError, match=r"codes measurements \(B, 12\) float64, but got \(3, 11\) float64"):
        mo.unroll(kind(DICTIONARY, 0.1), 2)(normal(0, 3, 11))
    with pytest.raises(mo.MetaoptError, match=r"dictionary to be a real floating-point tensor \(m, n\)"):
        kind(normal(0, 3), 0.1)


def test_shares_are_shares() -> None:
    with pytest.raises(
        mo.MetaoptError,
        match=r"support to be a list .* of at least 0 and .*at most 1, but got \(2,\)",
    ):
        mo.CoupledIsta(DICTIONARY, 0.1, support=(2,))
    with pytest.raises(mo.MetaoptError, match=r"a share in \(0, 1\], but got \(12, 20\) and 0"):
        SparseCodes(DICTIONARY, 0)


@pytest.mark.parametrize("snr", [None, 20.0])
def test_codes_are_as_sparse_and_measurements_as_noisy_as_asked_for(snr: float | None) -> None:
    y, x = SparseCodes(DICTIONARY, 0.3, snr, batch=2000).sample(0)
    assert float((x != 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(x[x != 0].std()) == pytest.approx(1, abs=0.03)
    noise = torch.linalg.vector_norm(y - x @ DICTIONARY.T, dim=1)
    signal = torch.linalg.vector_norm(x @ DICTIONARY.T, dim=1)
    if snr is None:
        assert float(noise.max()) == 0
    else:
        some = signal > 0
        ratio = 20 * (signal / noise)[some].log10()
        torch.testing.assert_close(ratio, torch.full_like(ratio, snr))
    again = SparseCodes(DICTIONARY, 0.3, snr, batch=2000).sample(0)
    assert torch.equal(again[0], y)
    assert not torch.equal(SparseCodes(DICTIONARY, 0.3, snr, batch=2000).sample(1)[0], y)
