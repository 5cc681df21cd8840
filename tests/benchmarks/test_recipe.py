"""What the recipe benchmark compares is comparable: rivals compute the same, and the parts measure what they say."""

from __future__ import annotations

import argparse

import pytest
import torch

import metaopt as mo
from benchmarks import recipe
from benchmarks.costs import gradient_memory, inner_steps, many_tasks, rim_step
from benchmarks.rows import Rows

from ..helpers import tensors_close


def tiny_task():
    return inner_steps.make_task((24, 5, 4), batch=6, steps=8, dtype=torch.float64)


@pytest.mark.parametrize("rival", ["metaopt", "hand, tuned", "torchopt"])
def test_every_right_rival_gives_the_meta_gradient_of_the_loop_by_hand(rival):
    if rival == "torchopt":
        pytest.importorskip("torchopt")
    right, found = (_gradients(inner_steps.RIVALS[name]) for name in ("hand", rival))
    tensors_close(found, right, 1e-12)


def test_higher_misplaces_the_epsilon_of_adam():
    pytest.importorskip("higher")
    right, found = (_gradients(inner_steps.RIVALS[name]) for name in ("hand", "higher"))
    error = max(float((a - b).norm() / b.norm()) for a, b in zip(found, right, strict=True))
    assert 1e-7 < error < 1


def _gradients(rival):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return rival(tiny_task())
    finally:
        torch.set_default_dtype(before)


def test_the_task_has_dead_inputs_whose_meta_gradient_needs_a_guard(monkeypatch):
    task = tiny_task()
    assert bool((task.inputs == 0).all(0).any())
    monkeypatch.setattr(inner_steps, "floor", lambda tensor: 0.0)
    assert any(bool(gradient.isnan().any()) for gradient in inner_steps.by_hand(task))


def test_bare_convolutions_are_all_of_the_step_and_compute_what_it_does():
    network, problem, state = rim_step.make_step(batch=2, size=6, features=4)
    convolutions = rim_step.Convolutions(network, problem, state)
    weights = {id(p) for p in convolutions.parameters()}
    assert weights == {id(p) for p in network.parameters()}
    embedded, from_input, from_state, *_ = convolutions(*convolutions.inputs)
    cell = network.update(0)
    tensors_close(from_input, cell.memories[0].input(embedded.relu()), 1e-6)
    tensors_close(from_state, cell.memories[0].state(state.memory[0]), 1e-6)


@pytest.mark.parametrize("mode", rim_step.MODES)
def test_both_modes_of_a_step_run(mode):
    network, problem, state = rim_step.make_step(batch=1, size=4, features=2)
    inputs = [*network.parameters(), *mo.tree.leaves(state)]
    result = rim_step.MODES[mode](lambda: network.step(problem, state, 1), inputs)()
    assert len(mo.tree.leaves(result)) == (len(inputs) if "backward" in mode else len(mo.tree.leaves(state)))


def test_vmap_and_the_loop_over_tasks_give_one_meta_gradient():
    learner = many_tasks.make_learner(width=4, steps=2, dtype=torch.float64)
    points = many_tasks.make_points(tasks=3, shots=4, dtype=torch.float64)
    tensors_close(many_tasks.mapped(learner, *points)(), many_tasks.looped(learner, *points)(), 1e-12)


@pytest.mark.slow
def test_fresh_processes_see_that_checkpoints_save_memory_and_reversing_takes_none_for_steps():
    def peak(strategy, steps):
        row = gradient_memory.measure(strategy, steps, size=400, repeats=1)
        assert row["peak"] > row["state"] and row["seconds"] > 0 and row.get("drift", 0.0) < 1e-5
        return row["peak"]

    assert peak("checkpointed", 25) < 0.6 * peak("full", 25)
    assert peak("reversible", 25) == pytest.approx(peak("reversible", 5), rel=0.2)


def test_memory_beyond_the_machine_is_refused_with_both_numbers():
    with pytest.raises(SystemExit, match=r"needs 1200000\.0 GiB, but only \d+\.\d GiB"):
        gradient_memory.measure("full", 8, size=8, repeats=1, expected=1e6)


def test_memory_is_a_fraction_of_the_full_gradient_whose_need_is_foreseen(monkeypatch):
    foreseen, repeated = {}, {}

    def measure(strategy, steps, size, repeats, expected):
        foreseen[strategy, steps], repeated[steps] = expected, repeats
        return {"strategy": strategy, "steps": steps, "peak": steps / 8 if strategy == "full" else 0.5, "seconds": 2.0}

    monkeypatch.setattr(gradient_memory, "measure", measure)
    settings = {"memory_steps": (8, 32), "gradient_memory": {"size": 4, "repeats": 3, "once_from": 32}}
    rows = recipe.memory_rows(Rows("recipe", settings, argparse.Namespace(quick=True)), settings)
    assert foreseen["full", 8] == 0.0 and foreseen["full", 32] == 4.0 and foreseen["checkpointed", 32] == 0.5
    assert repeated == {8: 3, 32: 1}
    assert [row.get("memory") for row in rows] == [1.0, 1.0, 0.5, 0.125, None, None]


def test_the_headline_has_the_keys_that_were_agreed():
    ratio = {"ratio": 1.25}
    tables = {
        "inner_steps": [{"rival": name, **ratio} for name in inner_steps.RIVALS],
        "rim_step": [{"mode": "forward", "run": run, **ratio} for run in ("step", "compiled step")],
        "gradient_memory": [
            {"strategy": "checkpointed", "steps": 256, "memory": 0.1, "time": 1.5},
            *({"strategy": "reversible", "steps": steps, "peak": peak} for steps, peak in ((8, 1.0), (64, 1.05))),
        ],
        "many_tasks": [{"run": "vmap", "ratio": 1.0}, {"run": "loop", "ratio": 7.0}],
    }
    found = recipe.headline(tables, {"memory_steps": (8, 64, 256)})
    assert found == {
        "overhead_vs_hand": 1.25,
        "overhead_higher": 1.25,
        "overhead_torchopt": 1.25,
        "step_vs_convs": 1.25,
        "step_vs_convs_eager": 1.25,
        "checkpointed_memory_t256": 0.1,
        "checkpointed_time_t256": 1.5,
        "reversible_memory_8_64": 1.05,
        "vmap_speedup_32": 7.0,
    }
