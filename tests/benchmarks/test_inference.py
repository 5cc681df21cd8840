"""What the benchmarks of inference compute beside running methods: truths, intervals, means, interpolation."""

from __future__ import annotations

import itertools
import math
import time

import pytest
import torch

import metaopt as mo
from benchmarks import ldpc
from benchmarks.inference import rbms, rivals, structures, uai
from benchmarks.inference.methods import CLASSICAL, marginal_error


def test_the_best_of_a_machine_is_that_of_enumeration() -> None:
    w, hidden, visible = rbms.machines("standard_normal", 3, 6)
    graph = rbms.graph_of(w, hidden, visible)
    every = torch.tensor(list(itertools.product([0, 1], repeat=6)))
    values = torch.stack([graph.log_potential(s.expand(3, -1))[:, 0] for s in every])
    torch.testing.assert_close(rbms.best(w, hidden, visible), values.amax(0))


def test_chunks_decode_as_the_whole() -> None:
    w, hidden, visible = rbms.machines("logistic", 11, 8)
    graph = rbms.graph_of(w[:1], hidden[:1], visible[:1])
    biases = torch.cat([hidden, visible], dim=1)
    unary = torch.stack([torch.zeros_like(biases), biases], dim=-1).flatten(1)
    whole = rbms.decoded(rbms.max_product(), graph.with_unary(unary))
    assert torch.equal(rbms.decoded_in_chunks(graph, hidden, visible), whole)


def test_families_weigh_alike_and_skip_what_has_no_answer() -> None:
    rows = [
        {"family": "a", "method": "x", "error": 0.1},
        {"family": "a", "method": "x", "error": 0.3},
        {"family": "b", "method": "x", "error": 0.6},
        {"family": "b", "method": "y", "error": 0.5},
        {"family": "c", "method": "x", "error": None},
    ]
    table = uai.families(rows)
    assert [row["family"] for row in table] == ["a", "b", "mean of families"]
    assert table[-1]["x"] == pytest.approx(0.4)
    assert "y" not in table[-1]


def test_a_rival_has_its_own_process_with_a_time_and_a_memory() -> None:
    assert rivals.within(60, 8, math.sqrt, 4.0) == 2.0
    for function, argument, said in (
        (math.sqrt, -1.0, "ValueError"),
        (time.sleep, 60, "Stopped after 0.2 seconds"),
        (bytearray, 2**35, "more than 8 GiB"),
    ):
        with pytest.raises(mo.MetaoptError, match=said):
            rivals.within(0.2 if function is time.sleep else 60, 8, function, argument)


def test_wilsons_interval_holds_the_rate_and_stays_in_range() -> None:
    for errors, count in ((0, 50), (1, 1000), (25, 50), (50, 50)):
        low, high = ldpc.wilson(errors, count)
        assert 0 <= low <= errors / count <= high + 1e-12
        assert high <= 1
    # At 1 of 1000, worked out by hand: 0.0029096 +- 0.0027331.
    assert ldpc.wilson(1, 1000) == pytest.approx([0.0001765, 0.0056427], abs=1e-6)


def test_the_target_is_met_between_two_points_on_a_logarithmic_scale() -> None:
    points = ((1.0, 1e-1), (2.0, 1e-2), (4.0, 1e-4))
    rows = [{"channel": "c", "decoder": "d", "snr": snr, "bit_error": error} for snr, error in points]
    assert ldpc.at_target(rows, "c", "d") == pytest.approx(3.0)
    assert ldpc.at_target(rows[:2], "c", "d") is None


def test_every_classical_method_is_near_the_truth_where_couplings_are_weak() -> None:
    task = mo.tasks.RandomFields(("grid",), (9, 9), (0.05, 0.05), (0.2, 0.2), batch=4, dtype=torch.float64)
    graph, exact = task.sample(0)
    for method in CLASSICAL.values():
        found = method(graph)
        assert float(marginal_error(graph, found.log_marginals, exact).max()) < 0.01
        assert found.residual is not None
        assert math.isfinite(float(found.log_z.sum()))


def test_structures_are_measured_in_both_sizes() -> None:
    sizes = {size for size, _, _ in structures.cases(quick=False)}
    assert sizes == set(structures.SIZES)
