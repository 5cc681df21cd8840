"""``metaopt infer``: answers against exact ones, in UAI's formats, and what it says when they cannot be trusted."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaopt.applications.inference import METHODS, infer
from metaopt.cli import main
from metaopt.core import MetaoptError
from metaopt.data import UaiModel, read_assignment, read_evidence, read_log10_z, read_marginals, read_uai, write_uai

from ..real_data import real_data

TREE = UaiModel(
    [2, 3, 2],
    [(0, 1), (1, 2), (0,)],
    [np.array([[1, 2, 0.5], [3, 0, 1]]), np.ones((3, 2)) + np.eye(3, 2), np.array([0.3, 0.7])],
)


def strong_cycle() -> UaiModel:
    """Six variables, all joined so strongly that belief propagation runs in circles."""
    pairs = [(a, b) for a in range(6) for b in range(a)]
    generator = np.random.default_rng(1)
    tables = [np.exp(4 * generator.standard_normal((2, 2))) for _ in pairs]
    return UaiModel([2] * 6, pairs, tables)


@pytest.mark.parametrize("evidence", [{}, {1: 2}])
def test_belief_propagation_agrees_with_exact_inference_on_a_tree(evidence: dict[int, int]) -> None:
    for task in ("MAR", "PR", "MAP"):
        exact, found = (infer(TREE, evidence, task, method) for method in ("exact", "bp"))
        assert found.converged
        if task == "MAR":
            assert all(np.allclose(a, b, atol=1e-10) for a, b in zip(exact.marginals, found.marginals, strict=True))
        elif task == "PR":
            assert found.log10_z == pytest.approx(exact.log10_z, abs=1e-10)
        else:
            assert found.assignment == exact.assignment
            assert found.log10_p == pytest.approx(exact.log10_p, abs=1e-9)


def test_bounds_are_bounds() -> None:
    model = strong_cycle()
    exact = infer(model, task="PR", method="exact").log10_z
    assert infer(model, task="PR", method="mf").log10_z <= exact <= infer(model, task="PR", method="trw").log10_z


def test_the_command_writes_uai_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_uai(tmp_path / "tree.uai", TREE)
    (tmp_path / "tree.evid").write_text("1 1 2\n")
    command = ["infer", str(tmp_path / "tree.uai"), "--evidence", str(tmp_path / "tree.evid"), "--task"]
    exact = infer(TREE, {1: 2}, "MAR", "exact")
    assert main([*command, "MAR", "--out", str(tmp_path / "a")]) == 0
    for a, b in zip(read_marginals(tmp_path / "a"), exact.marginals, strict=True):
        assert np.allclose(a, b, atol=1e-10)
    assert main([*command, "PR", "--out", str(tmp_path / "b")]) == 0
    assert read_log10_z(tmp_path / "b") == pytest.approx(exact.log10_z)
    assert main([*command, "MAP", "--out", str(tmp_path / "c"), "--method", "exact"]) == 0
    assert read_assignment(tmp_path / "c")[1] == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Wrote {tmp_path / 'c'} (")
    assert main([*command, "PR"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("PR\n")
    assert "exact" in output.err
    assert main([*command, "pr", "--method", "bp", "--strict"]) == 0
    assert "converged after" in capsys.readouterr().err


def test_an_answer_that_did_not_converge_says_so_and_strict_exits_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_uai(tmp_path / "hard.uai", strong_cycle())
    command = ["infer", str(tmp_path / "hard.uai"), "--task", "PR", "--steps", "3", "--method", "bp"]
    assert main(command) == 0
    assert "do not trust this answer" in capsys.readouterr().err
    assert main([*command, "--strict"]) == 3
    assert main([*command, "--method", "exact", "--strict"]) == 0
    assert main([*command, "--method", "auto", "--strict"]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_evidence_of_probability_zero_is_an_error(method: str) -> None:
    with pytest.raises(MetaoptError, match="probability zero"):
        infer(TREE, {0: 1, 1: 1}, "MAR", method)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_without_variables_has_z_of_one(method: str) -> None:
    answer = infer(UaiModel([], [], []), task="PR", method=method)
    assert answer.log10_z == 0
    assert answer.converged


def test_mean_field_on_what_is_impossible_is_not_to_be_trusted() -> None:
    """Two variables that must be equal, with opposed fields: independent beliefs are on one state, or on both."""
    equal = np.eye(2)
    fields = [np.array([0.9, 0.1]), np.array([0.1, 0.9])]
    model = UaiModel([2, 2], [(0, 1), (0,), (1,)], [equal, *fields])
    answer = infer(model, task="PR", method="mf")
    assert answer.converged is (abs(answer.log10_z - math.log10(0.09)) < 0.1)


def test_wrong_names_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_uai(tmp_path / "tree.uai", TREE)
    for extra in (["--task", "MMAP"], ["--task", "MAR", "--method", "magic"], ["--task", "MAR", "--steps", "-1"]):
        assert main(["infer", str(tmp_path / "tree.uai"), *extra]) == 2
    assert "bp, trw, mf, learned, exact" in capsys.readouterr().err


NOT = np.array([[0.0, 1], [1, 0]])


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_counts(method: str) -> None:
    model = UaiModel([2], [(), (0,)], [np.array(3.0), np.array([1.0, 3])])
    assert infer(model, task="PR", method=method).log10_z == pytest.approx(math.log10(12))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "mf"])
@given(st.permutations(range(5)), st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
@settings(max_examples=3, deadline=None)
def test_equally_likely_states_of_joined_variables_go_together(
    method: str, order: list[int], equal: list[bool], hard: bool
) -> None:
    """On a chain of variables in any order, of which neighbours are equal or opposed, two assignments are the best."""
    off = 0.0 if hard else 1.0
    tables = [np.where(np.eye(2) == same, 2.0, off) for same in equal]
    model = UaiModel([2] * 5, list(itertools.pairwise(order)), tables)
    answer = infer(model, task="MAP", method=method, max_steps=200)
    states = [answer.assignment[v] for v in order]
    assert [a == b for a, b in itertools.pairwise(states)] == equal
    assert answer.log10_p == pytest.approx(4 * math.log10(2))
    assert answer.converged


def test_the_states_of_two_tied_variables_go_together_in_mean_field_too() -> None:
    for table in (NOT, np.array([[1.0, 2], [2, 1]])):
        answer = infer(UaiModel([2, 2], [(0, 1)], [table]), task="MAP", method="mf")
        assert sum(answer.assignment) == 1
        assert answer.converged


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("exact", "auto")])
def test_an_assignment_of_probability_zero_is_not_an_answer(method: str) -> None:
    """Three that must all differ, of two states each: no one variable shows that it cannot be."""
    answer = infer(UaiModel([2] * 3, [(0, 1), (1, 2), (0, 2)], [NOT] * 3), task="MAP", method=method)
    assert answer.log10_p == -math.inf
    assert not answer.converged
    assert "probability zero" in answer.verdict("MAP", method)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_impossible_is_told_from_what_is_unlikely(method: str) -> None:
    chain = UaiModel([2] * 100, [(i, i + 1) for i in range(99)], [np.eye(2)] * 99)
    with pytest.raises(MetaoptError, match="probability zero"):
        infer(chain, {0: 0, 99: 1}, "PR", method)
    unlikely = UaiModel([2], [(0,)] * 20, [np.array([1e-300, 2e-300])] * 20)
    assert infer(unlikely, task="PR", method=method).log10_z == pytest.approx(20 * math.log10(2e-300), abs=1e-3)
    far = math.exp(-12)
    hub = UaiModel([2] * 1201, [(0, i) for i in range(1, 1201)], [np.array([[1, far], [far, 1]])] * 1200)
    found = infer(hub, {i: i % 2 for i in range(1, 1201)}, "MAR", method)
    assert found.marginals[0] == pytest.approx([0.5, 0.5], abs=1e-6)


def test_learned_inference_repairs_belief_propagation() -> None:
    """A grid of strong couplings on which it does not converge."""
    random, place = np.random.default_rng(0), np.arange(16).reshape(4, 4)
    ends = (place[:, :-1], place[:, 1:]), (place[:-1], place[1:])
    pairs = [(int(a), int(b)) for first, second in ends for a, b in zip(first.flat, second.flat, strict=True)]
    couplings = [2 * random.standard_normal() for _ in pairs]
    fields = [0.3 * random.standard_normal() for _ in range(16)]
    tables = [np.exp(np.array([[j, -j], [-j, j]])) for j in couplings] + [np.exp(np.array([h, -h])) for h in fields]
    model = UaiModel([2] * 16, [*pairs, *((v,) for v in range(16))], tables)
    exact, plain, learned = (infer(model, method=method) for method in ("exact", "bp", "learned"))

    def error(answer: object) -> float:
        pairs = zip(answer.marginals, exact.marginals, strict=True)  # type: ignore[attr-defined]
        return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))

    assert not plain.converged
    assert learned.converged
    assert error(learned) < 0.7 * error(plain)
    best = infer(model, task="MAP", method="exact").log10_p
    assert infer(model, task="MAP", method="learned").log10_p == pytest.approx(best)


def grid(side: int, coupling: float, seed: int) -> UaiModel:
    """A square spin glass."""
    random, place = np.random.default_rng(seed), np.arange(side * side).reshape(side, side)
    ends = (place[:, :-1], place[:, 1:]), (place[:-1], place[1:])
    pairs = [(int(a), int(b)) for first, second in ends for a, b in zip(first.flat, second.flat, strict=True)]
    couplings = [coupling * random.standard_normal() for _ in pairs]
    fields = [0.3 * random.standard_normal() for _ in range(side * side)]
    tables = [np.exp(np.array([[j, -j], [-j, j]])) for j in couplings] + [np.exp(np.array([h, -h])) for h in fields]
    return UaiModel([2] * side * side, [*pairs, *((v,) for v in range(side * side))], tables)


@pytest.mark.parametrize("coupling", [0.05, 0.6, 2.0])
def test_converged_is_not_right_and_the_verdict_says_by_how_much_others_disagree(coupling: float) -> None:
    model = grid(4, coupling, 3)
    exact = infer(model, method="exact")
    for method in ("bp", "trw", "mf", "many-starts", "learned"):
        answer = infer(model, method=method, max_steps=100)
        worst = max(float(np.abs(a - b).max()) for a, b in zip(answer.marginals, exact.marginals, strict=True))
        assert not answer.trusted(0.01) or worst <= 0.01
        if answer.converged:
            assert answer.support is not None
            assert answer.support.error is None or answer.support.error >= worst
            assert "approximate" in answer.verdict("MAR", method)
    assert infer(model, method="bp").trusted(0.01) == (coupling == 0.05)


@pytest.mark.parametrize("coupling", [0.3, 1.0])
def test_the_interval_of_the_bounds_holds_log_z_and_the_best_assignment(coupling: float) -> None:
    model = grid(4, coupling, 1)
    for task in ("PR", "MAP"):
        exact = infer(model, task=task, method="exact")
        value = exact.log10_z if task == "PR" else exact.log10_p
        answer = infer(model, task=task, method="bp")
        support = answer.support
        assert support is not None
        assert support.lower is not None
        assert support.lower <= value + 1e-9
        assert support.upper is None or support.upper >= value - 1e-9
        if support.exact:
            assert answer.log10_p == pytest.approx(value)


def test_automatic_inference_is_exact_within_the_memory_and_says_so_where_it_is_not() -> None:
    model = grid(4, 1.0, 0)
    assert infer(model).verdict("MAR", "auto") == "exact"
    small = infer(model, memory=40 * 16)
    assert small.method == "many-starts"
    assert "too large for exact inference" in small.verdict("MAR", "auto")
    with pytest.raises(MetaoptError, match="Raise --memory"):
        infer(model, method="exact", memory=40 * 16)
    assert infer(model, task="map", memory=40 * 16).log10_p <= infer(model, task="MPE").log10_p + 1e-9


def test_many_starts_report_the_steps_that_they_took() -> None:
    model = grid(3, 0.5, 0)
    for steps in (0, 1, 37):
        for method in ("many-starts", "learned", "bp", "mf"):
            answer = infer(model, method=method, max_steps=steps)
            assert answer.steps is not None
            assert answer.steps == steps or (answer.converged and answer.steps < steps)


def test_a_tree_is_exact_by_belief_propagation_also_where_evidence_cuts_the_cycles() -> None:
    ring = UaiModel([2] * 4, [(0, 1), (1, 2), (2, 3), (3, 0)], [np.array([[1.0, 3], [2, 1]])] * 4)
    assert not infer(ring, method="bp").support.exact  # type: ignore[union-attr]
    cut = infer(ring, {0: 1}, method="bp")
    assert cut.trusted()
    assert "no cycles" in cut.verdict("MAR", "bp")
    exact = infer(ring, {0: 1}, method="exact")
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(cut.marginals, exact.marginals, strict=True))


def test_large_cardinalities_are_no_matter_or_a_sentence() -> None:
    assert infer(UaiModel([10**6], [], []), {0: 5}, method="exact").marginals[0][5] == 1
    with pytest.raises(MetaoptError, match="1000000000000 states in all"):
        infer(UaiModel([10**12], [], []))


@pytest.mark.parametrize("name", ["Alchemy_11", "ObjectDetection_11", "DBN_15"])
def test_real_models_are_near_their_published_answers(name: str) -> None:
    folder = real_data("graphs/uai2014/MAR")
    model = read_uai(folder / f"{name}.uai")
    evidence = read_evidence(folder / f"{name}.uai.evid", model.cardinalities)
    found = infer(model, evidence, "PR", "bp")
    published = read_marginals(folder / f"{name}.uai.MAR")
    errors = [np.abs(a - b).mean() for a, b in zip(found.marginals, published, strict=True)]
    assert found.converged
    assert np.mean(errors) < 0.02
    published_z = read_log10_z(folder.parent / "PR" / f"{name}.uai.PR")
    assert found.log10_z == pytest.approx(published_z, abs=0.3)
    assert math.isfinite(found.log10_p)
