"""UAI files: numbers survive a round trip, real files are read, and a malformed one is named with its line."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.applications.inference import infer_file
from metaopt.data import (
    UaiModel,
    factor_graph,
    read_assignment,
    read_evidence,
    read_log10_z,
    read_marginals,
    read_uai,
    uai_model,
    write_assignment,
    write_evidence,
    write_log10_z,
    write_marginals,
    write_uai,
)

from ...factor_graphs import loopy
from ...real_data import real_data

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@st.composite
def models(draw: st.DrawFn) -> UaiModel:
    cardinalities = draw(st.lists(st.integers(1, 3), max_size=5))
    orders = st.permutations(range(len(cardinalities)))
    scopes = draw(st.lists(st.builds(lambda order, arity: tuple(order[:arity]), orders, st.integers(0, 4)), max_size=5))
    shapes = [tuple(cardinalities[v] for v in scope) for scope in scopes]
    tables = [
        np.array(draw(st.lists(positive, min_size=n, max_size=n))).reshape(shape)
        for shape in shapes
        for n in [int(np.prod(shape))]
    ]
    return UaiModel(cardinalities, scopes, tables, draw(st.sampled_from(["MARKOV", "BAYES"])))


def equal(a: UaiModel, b: UaiModel) -> bool:
    head = (a.kind, a.cardinalities, a.scopes) == (b.kind, b.cardinalities, b.scopes)
    return head and all(np.array_equal(s, t) and s.shape == t.shape for s, t in zip(a.tables, b.tables, strict=True))


@given(models())
@same_folder
def test_a_model_survives_the_file_bit_for_bit(tmp_path: Path, model: UaiModel) -> None:
    write_uai(tmp_path / "a.uai", model)
    assert equal(read_uai(tmp_path / "a.uai"), model)


def test_the_last_variable_runs_fastest(tmp_path: Path) -> None:
    (tmp_path / "a.uai").write_text("MARKOV\r\n3\r\n2 3 1\r\n2\r\n2 1 0\r\n0\r\n\r\n6\r\n0 1 2\r\n3 4 5e0\r\n1 .5\r\n")
    model = read_uai(tmp_path / "a.uai")
    assert model.scopes == [(1, 0), ()]
    assert model.tables[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert model.tables[1].shape == ()
    assert float(model.tables[1]) == 0.5


GOOD = "MARKOV\n3\n2 3 2\n2\n1 0\n2 1 2\n2\n.5 .5\n6\n1 2 3\n4 5 6\n"
MALFORMED = {
    "empty": ("", "line 1: the file starts with nothing"),
    "another heading": (GOOD.replace("MARKOV", "MAR"), "line 1: the file starts with 'MAR'"),
    "a word": (GOOD.replace("4 5", "4 five"), "line 11: 'five' is not a number"),
    "glued numbers": (GOOD.replace("4 5", "4-5"), "line 11: '4-5' is not a number"),
    "underscores": (GOOD.replace("4 5", "4 1_0"), "line 11: '1_0' is not a number"),
    "no variables": ("MARKOV\n", "line 1: the file ends before the number of variables"),
    "half a variable": (GOOD.replace("\n3\n", "\n2.5\n", 1), "line 2: the number of variables is 2.5"),
    "many variables": ("MARKOV\n1000000000000\n2 2\n0\n", "line 2: .* 1000000000000 variables, but holds 3"),
    "too many variables": ("MARKOV\n1e30\n2 2\n0\n", r"line 2: the number of variables is 1e\+30"),
    "negative cardinality": (GOOD.replace("2 3 2", "2 -3 2"), "line 3: the cardinality of variable 1 is -3"),
    "zero cardinality": (GOOD.replace("2 3 2", "2 3 0"), "line 3: the cardinality of variable 2 is 0"),
    "broken cardinality": (GOOD.replace("2 3 2", "2 nan 2"), "line 3: the cardinality of variable 1 is nan"),
    "half a factor": (GOOD.replace("2\n2\n1 0", "2\n1.5\n1 0"), "line 4: the number of factors is 1.5"),
    "many factors": (GOOD.replace("2\n2\n1 0", "2\n99999999999\n1 0"), "line 4: the file declares 99999999999 factors"),
    "half an arity": (GOOD.replace("1 0\n", "1.5 0\n"), "line 5: the number of variables of factor 0 is 1.5"),
    "negative arity": (GOOD.replace("1 0\n", "-1 0\n"), "line 5: the number of variables of factor 0 is -1"),
    "large arity": (GOOD.replace("1 0\n", "4 0\n"), "line 5: factor 0 has 4 variables, but the model has 3"),
    "cut in a scope": ("MARKOV\n3\n2 3 2\n1\n3 0 1", "line 5: the file ends within the scope of factor 0"),
    "unknown variable": (GOOD.replace("2 1 2\n", "2 1 3\n"), "line 6: factor 1 has variable 3 in its scope"),
    "negative variable": (GOOD.replace("2 1 2\n", "2 -1 2\n"), "line 6: factor 1 has variable -1"),
    "broken variable": (GOOD.replace("2 1 2\n", "2 0.5 2\n"), "line 6: factor 1 has variable 0.5"),
    "repeated variable": (GOOD.replace("2 1 2\n", "2 1 1\n"), "line 6: factor 1 has variable 1 twice"),
    "another size": (GOOD.replace("6\n1", "5\n1"), r"line 9: .*factor 1 \(variables 1 2\) declares 5 .* asks for 6"),
    "half a size": (GOOD.replace("6\n1", "5.5\n1"), "line 9: the number of entries of factor 1 .* is 5.5"),
    "too few numbers": (GOOD.replace(" 6\n", "\n"), "line 9: factor 1 .* has 6 entries, but the file ends 5 numbers"),
    "no second table": (GOOD[: GOOD.index("6\n1")], "line 8: the file ends before the number of entries of factor 1"),
    "too many numbers": (GOOD + "7\n8\n", "line 12: 2 more numbers"),
    "negative entry": (GOOD.replace(".5 .5", ".5 -.5"), r"line 8: factor 0 \(variables 0\) has the entry -0.5"),
    "nan": (GOOD.replace("4 5", "nan 5"), "line 11: factor 1 .* has the entry nan"),
    "infinite": (GOOD.replace("4 5", "4 1e999"), "line 11: the number 1e999 is beyond float64"),
    "zero table": (GOOD.replace(".5 .5", "0 0"), r"line 8: factor 0 \(variables 0\) is zero everywhere"),
    "a large table": (
        f"MARKOV\n30\n{'2 ' * 30}\n1\n30 {' '.join(map(str, range(30)))}\n{2**30}\n1 1",
        "line 6: factor 0 .* has 1073741824 entries, but the file ends 2 numbers later",
    ),
    "a table beyond float64": (
        f"MARKOV\n60\n{'1000000 ' * 60}\n1\n60 {' '.join(map(str, range(60)))}\n7\n1 1",
        "line 6: factor 0 .* declares 7 entries, but its scope asks for inf",
    ),
    "more variables than an array has axes": (
        f"MARKOV\n70\n{'1 ' * 70}\n1\n70 {' '.join(map(str, range(70)))}\n1\n1",
        "line 5: factor 0 has 70 variables; at most 60 are taken",
    ),
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_model_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.uai"
    path.write_text(GOOD)
    assert len(read_uai(path).tables) == 2
    path.write_text(text)
    with pytest.raises(mo.MetaoptError, match=rf"bad\.uai, {message}"):
        read_uai(path)


@given(st.data())
@same_folder
def test_whatever_stands_in_a_file_there_is_a_model_or_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    words = GOOD.split()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at] = data.draw(st.sampled_from(["", "-1", "0", "1e9", "9e18", "x", "nan", "inf", "2 2", "\0", "ä", "2"]))
    (tmp_path / "a.uai").write_text(" ".join(words))
    try:
        model, complaint = read_uai(tmp_path / "a.uai"), ""
    except mo.MetaoptError as error:
        model, complaint = UaiModel([], [], []), str(error)
    assert not complaint or "a.uai, line 1:" in complaint
    shapes = [tuple(model.cardinalities[v] for v in scope) for scope in model.scopes]
    assert [table.shape for table in model.tables] == shapes


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=r"none\.uai cannot be read \(No such file"):
        read_uai(tmp_path / "none.uai")
    with pytest.raises(mo.MetaoptError, match="cannot be read"):
        read_uai(tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (UaiModel([2], [(0,)], []), "1 scopes and 0 tables"),
        (UaiModel([2], [], [], "GIBBS"), "'GIBBS'"),
        (UaiModel([0], [], []), "cardinalities from 0"),
        (UaiModel([2], [(1,)], [np.ones(2)]), r"scope \(1,\)"),
        (UaiModel([2], [(0, 0)], [np.ones((2, 2))]), r"scope \(0, 0\)"),
        (UaiModel([2], [(0,)], [np.ones(3)]), r"table \(3,\)"),
        (UaiModel([2], [(0,)], [np.zeros(2)]), "zero everywhere"),
        (UaiModel([2], [(0,)], [np.array([1, np.nan])]), "nan"),
        (UaiModel([2], [(0,)], [np.array([1, -1.0])]), "-1"),
    ],
)
def test_a_model_that_could_not_be_read_is_not_written(tmp_path: Path, model: UaiModel, message: str) -> None:
    with pytest.raises(mo.MetaoptError, match=message):
        write_uai(tmp_path / "a.uai", model)
    assert list(tmp_path.iterdir()) == []


def test_a_long_chain_is_read_at_once(tmp_path: Path) -> None:
    n = 100_000
    table = np.array([[0.25, 0.5], [0.5, 0.25]])
    write_uai(tmp_path / "a.uai", UaiModel([2] * n, [(i, i + 1) for i in range(n - 1)], [table] * (n - 1)))
    start = time.process_time()
    model = read_uai(tmp_path / "a.uai")
    assert time.process_time() - start < 10, "a tenth of a model of a million variables"
    assert model.scopes[-1] == (n - 2, n - 1)
    assert np.array_equal(model.tables[-1], table)


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 3)))
@same_folder
def test_evidence_survives_the_file_in_both_forms(tmp_path: Path, evidence: dict[int, int]) -> None:
    path = tmp_path / "a.evid"
    write_evidence(path, evidence)
    assert read_evidence(path, [4] * 10) == evidence
    path.write_text("1\n" + path.read_text())
    assert read_evidence(path) == evidence


def test_no_evidence_has_three_forms(tmp_path: Path) -> None:
    for text in ("", "\n", "0", "1\n0\n"):
        (tmp_path / "a.evid").write_text(text)
        assert read_evidence(tmp_path / "a.evid") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n1 x 0", "line 2: 'x' is not a number"),
        ("2 0 1", "line 1: the file declares 2 observed variables in 1 samples, but 2 numbers"),
        ("2\n1 0 1\n1 0 0", "line 1: the file holds 2 samples of evidence"),
        ("1.5", "line 1: the number of observed variables is 1.5"),
        ("2\n0 0\n1 -1", "line 3: the state of variable 1 is -1"),
        ("1\n0.5 0", "line 2: an observed variable is 0.5"),
        ("2\n0 0\n0 1", "line 3: variable 0 is observed in states 0 and 1"),
        ("1\n7 0", "line 2: variable 7 is observed, but the model has 2"),
        ("1\n1 3", "line 2: variable 1 is observed in state 3, but has 3"),
    ],
)
def test_malformed_evidence_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.evid").write_text(text)
    with pytest.raises(mo.MetaoptError, match=rf"a\.evid, {message}"):
        read_evidence(tmp_path / "a.evid", [2, 3])
    with pytest.raises(mo.MetaoptError, match="observed in state -1"):
        write_evidence(tmp_path / "a.evid", {0: -1})


@given(st.lists(st.lists(st.floats(1e-9, 1), min_size=1, max_size=4), max_size=4))
@same_folder
def test_marginals_survive_the_file_in_both_forms(tmp_path: Path, weights: list[list[float]]) -> None:
    marginals = [np.array(row) / sum(row) for row in weights]
    path = tmp_path / "a.MAR"
    write_marginals(path, marginals)
    for _ in range(2):
        found = read_marginals(path)
        assert all(np.array_equal(a, b) for a, b in zip(found, marginals, strict=True))
        path.write_text(path.read_text().replace("MAR\n", "MAR\n1\n"))


@given(st.lists(st.integers(0, 9), max_size=4), st.floats(max_value=1e300, allow_nan=False))
@same_folder
def test_other_answers_survive_the_file_in_both_forms(tmp_path: Path, states: list[int], log10_z: float) -> None:
    write_assignment(tmp_path / "a.MAP", states)
    write_log10_z(tmp_path / "a.PR", log10_z)
    for _ in range(2):
        assert read_log10_z(tmp_path / "a.PR") == log10_z
        assert read_assignment(tmp_path / "a.MAP") == states
        if states:  # "1 0" is one variable in state 0
            (tmp_path / "a.MAP").write_text((tmp_path / "a.MAP").read_text().replace("MAP\n", "MAP\n1\n"))
        (tmp_path / "a.PR").write_text((tmp_path / "a.PR").read_text().replace("PR\n", "PR\n1\n"))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_marginals, "PR\n1", "line 1: the file starts with 'PR'"),
        (read_marginals, "MAR\n2\n2 .5 .5\n", "line 3: the file ends before the number of states of variable 1"),
        (read_marginals, "MAR\n2\n2 .5 .5\n2 .5\n", "line 4: variable 1 has 2 states, but the file ends"),
        (read_marginals, "MAR\n2\n2 .5 .5\n2 .5 .6\n", "line 4: the marginal of variable 1 is not a distribution"),
        (read_marginals, "MAR\n2\n2 .5 .5\n2 nan 1\n", "line 4: the marginal of variable 1"),
        (read_marginals, "MAR\n2\n2 .5 .5\n2 -1 2\n", "line 4: the marginal of variable 1"),
        (read_marginals, "MAR\n2\n1 1 1 1\n3", "line 4: 1 more numbers"),
        (read_log10_z, "PR\n", "line 1: PR is followed by one number"),
        (read_log10_z, "PR\n2 3", "line 2: PR is followed by one number"),
        (read_log10_z, "PR\nnan", "line 2: PR is followed by one number"),
        (read_assignment, "MAP\n3 0 1\n", "line 2: the file declares 3 variables, but holds 2"),
        (read_assignment, "MAP\n2 0\n-1\n", "line 3: the state of variable 1 is -1"),
    ],
)
def test_a_malformed_answer_is_named_with_its_line(tmp_path: Path, read, text: str, message: str) -> None:
    (tmp_path / "bad").write_text(text)
    with pytest.raises(mo.MetaoptError, match=rf"bad, {message}"):
        read(tmp_path / "bad")


def test_no_answer_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    for write, answer in [(write_marginals, [[0.5, 0.6]]), (write_log10_z, float("nan")), (write_assignment, [-1])]:
        with pytest.raises(mo.MetaoptError):
            write(tmp_path / "a", answer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["MAR", "PR"])
def test_every_real_instance_is_read(part: str) -> None:
    for path in sorted(real_data(f"graphs/uai2014/{part}").glob("*.uai")):
        model = read_uai(path)
        evidence = read_evidence(f"{path}.evid", model.cardinalities)
        assert len(model.tables) == len(model.scopes) > 0
        if part == "PR":
            assert np.isfinite(read_log10_z(f"{path}.PR"))
            continue
        marginals = read_marginals(f"{path}.MAR")
        assert [len(marginal) for marginal in marginals] == model.cardinalities
        if path.stem != "relational_5":  # whose published marginals overlook the second of its two observations
            assert all(marginals[variable][state] == 1 for variable, state in evidence.items())


@pytest.mark.parametrize("shift", [-1000.0, -746.0, 0.0, 710.0, 30_000.0])
@pytest.mark.parametrize("step", [0.0, 1.0, 1300.0])
def test_log_potentials_beyond_float64_are_written_by_their_ratios_and_a_constant(
    tmp_path: Path, shift: float, step: float
) -> None:
    table = shift + torch.tensor([[0.0, step], [-torch.inf, 0.25]], dtype=torch.float64)
    graph = mo.FactorGraph.from_factors([2, 2], [((0, 1), table), ((1,), torch.tensor([0.0, -800.0]) - shift / 2)])
    write_uai(tmp_path / "graph.uai", uai_model(graph))
    back = factor_graph(read_uai(tmp_path / "graph.uai"))
    states = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    torch.testing.assert_close(back.log_potential(states), graph.log_potential(states), rtol=1e-12, atol=1e-9)


def test_ratios_and_constants_that_a_file_cannot_hold_are_sentences() -> None:
    graph = mo.FactorGraph.from_factors([2], [((0,), torch.tensor([0.0, -1500.0]))])
    with pytest.raises(mo.MetaoptError, match=r"variables \[0\] go from -1500 to 0, .* no ratio above exp\(1400\)"):
        uai_model(graph)
    graph = mo.FactorGraph.from_factors([2], [((0,), torch.tensor([1e7, 1e7]))])
    with pytest.raises(mo.MetaoptError, match=r"add up to 1e\+07 nats beyond .* subtract a constant"):
        uai_model(graph)


def test_a_factor_graph_is_written_and_read_as_it_was(tmp_path: Path) -> None:
    graph = loopy(0)
    write_uai(tmp_path / "graph.uai", uai_model(graph))
    back = factor_graph(read_uai(tmp_path / "graph.uai"))
    states = torch.stack([torch.randint(int(c), (20,)) for c in graph.cardinalities], dim=1)
    torch.testing.assert_close(back.log_potential(states), graph.log_potential(states))


BAYES = "BAYES 2 2 3 2 1 0 2 0 1 2 0.4 0.6 6 {} 0.5 0.3 0.2 "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BAYES.format("0.1 0.2 0.9"), "factor 1 has probabilities that sum to 1.2, not 1; what is computed"),
        (BAYES.format("0.1 0.2 0.7").replace("0.4 0.6", "4 6"), "factor 0 has probabilities that sum to 10, not 1"),
        (BAYES.format("0.1 0.2 0.7").replace("1 0 2 0 1", "1 0 2 1 0"), "factor 1 has probabilities that sum"),
        ("BAYES 2 2 2 1 1 0 2 0.4 0.6", "its 2 variables are not the last of one of 1 tables each"),
        ("BAYES 1 2 2 1 0 1 0 2 0.4 0.6 2 0.4 0.6", "its 1 variables are not the last of one of 2 tables each"),
    ],
)
def test_a_bayesian_network_that_is_none_is_a_warning_and_the_product_of_its_tables(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "a.uai").write_text(text)
    (tmp_path / "b.uai").write_text(text.replace("BAYES", "MARKOV"))
    with pytest.warns(mo.MetaoptWarning, match=words):
        found = infer_file(tmp_path / "a.uai", None, "PR", "exact", None, 10)[0]
    assert found.log10_z == infer_file(tmp_path / "b.uai", None, "PR", "exact", None, 10)[0].log10_z


def test_a_bayesian_network_of_rounded_probabilities_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.uai").write_text(BAYES.format("0.333 0.333 0.333"))
    answer, _ = infer_file(tmp_path / "a.uai", None, "PR", "exact", None, 10)
    assert answer.log10_z == pytest.approx(np.log10(0.4 * 0.999 + 0.6))
