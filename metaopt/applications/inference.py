"""Inference in a UAI file: marginals, log Z and the likeliest assignment, by classical and by learned methods."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..algorithms import BeliefPropagation, MeanField, coloring, condition, exact_map, exact_marginals
from ..algorithms.inference import tree_weights
from ..algorithms.inference.restarts import CONVERGED
from ..core import MetaoptError, fixed, unroll
from ..data.formats.uai import UaiModel, read_evidence, read_uai
from ..data.formats.uai_answers import write_assignment, write_log10_z, write_marginals
from ..data.formats.uai_graphs import factor_graph
from ..models import load, many_starts
from ..problems import FactorGraph, TableFactors, log_max, log_sum
from ..problems.factors import LOG_ZERO

TASKS = ("MAR", "PR", "MAP")
METHODS = ("bp", "trw", "mf", "learned", "exact")
BOUNDS = {"mf": "a lower bound of log10 Z", "trw": "an upper bound of log10 Z"}
TEN = math.log(10)
CHUNK = 20  # steps between looks at the residual
TIE = 1e-3  # log max-marginals that are nearer than this are equal
ROUNDS = 1000  # of excluding states


class Answer(NamedTuple):
    """What inference found.

    ``marginals``: for each variable its states' probabilities. ``log10_z``. ``assignment``: a state for each variable,
    and ``log10_p``, the logarithm of its unnormalised probability. ``residual`` and ``steps``: how far the last step
    was from a fixed point, and how many there were; None of exact inference.
    """

    marginals: list[np.ndarray]
    log10_z: float
    assignment: list[int]
    log10_p: float
    residual: float | None
    steps: int | None

    @property
    def converged(self) -> bool:
        return self.residual is None or self.residual <= CONVERGED

    def verdict(self, task: str, method: str) -> str:
        """Whether it can be trusted, in a sentence."""
        if self.residual is None:
            return "exact"
        if self.converged and task == "PR" and method in BOUNDS:
            return f"converged after {self.steps} steps; {BOUNDS[method]}"
        if task == "MAP" and self.log10_p == -math.inf:
            return f"after {self.steps} steps the assignment has probability zero: do not trust it; try --method exact"
        said = f"after {self.steps} steps, residual {self.residual:.1e}"
        if self.converged:
            return f"converged {said}"
        return (
            f"not converged {said} (at most {CONVERGED:g} counts as converged): do not trust this answer; try --method "
            "trw, learned or exact, or more --steps"
        )


@torch.no_grad()
def infer(
    model: UaiModel, evidence: dict[int, int] | None = None, task: str = "MAR", method: str = "bp", max_steps: int = 500
) -> Answer:
    """Answer a task about a model, all in float64.

    ``method``: "bp" (belief propagation, damping 0.5; max-product for MAP), "trw" (tree-reweighted), "mf" (mean field,
    one variable of a factor at a time), "learned" (trained weights, 16 starts joined by what each says of
    Z; for MAP one start whose temperature falls) or "exact" (junction tree). Iterations stop where the residual is at
    most 1e-4, or after ``max_steps``; the learned ones take them all. An assignment of probability zero, and a mean
    field that rests on one, never count as converged. Where the best states of a variable are within 1e-3, MAP is done
    again with unary potentials that differ by as much, so that the states of different variables go together.

    Raises: MetaoptError for a task or method of another name, what is too large for exact inference, and evidence of
    probability zero, as far as excluding states factor by factor shows it (arc consistency, over 1,000 factors in a
    row); exact inference always does.
    """
    if task not in TASKS or method not in METHODS:
        raise MetaoptError(
            f"There are the tasks {', '.join(TASKS)} and the methods {', '.join(METHODS)}, but not {task} by {method}."
        )
    evidence = evidence or {}
    if method == "exact":
        return _exact(model, evidence, task)
    graph = factor_graph(model, evidence)
    _check_possible(graph)
    if method == "learned" and task != "MAP":
        beliefs, residuals = many_starts(load("learned_bp").double(), max_steps)(graph)
        residual, stop = float(residuals.min()), max_steps
    else:
        algorithm = BUILD[method](graph, task, max_steps)
        run, residual = _run(algorithm, graph, max_steps)
        if task == "MAP" and _tied(graph, run.final.log_marginals):
            noise = torch.rand(graph.unary.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            run, residual = _run(algorithm, graph.with_unary(graph.unary + TIE * noise), max_steps)
        beliefs, stop = run.final, run.stop
        if method == "mf" and _on_impossible(graph, beliefs.log_marginals.exp(), LOG_ZERO / 100):
            residual = math.inf
    log_marginals = beliefs.log_marginals[0]
    assignment = graph.decode(log_marginals[None])
    log10_p = float(graph.log_potential(assignment)) / TEN
    if _on_impossible(graph, graph.one_hot(assignment), LOG_ZERO / 2):
        log10_p = -math.inf
        residual = math.inf if task == "MAP" else residual
    return Answer(
        [p.numpy() for p in log_marginals.exp().split(graph.cardinalities.tolist())],
        float(beliefs.log_z) / TEN,
        assignment[0].tolist(),
        log10_p,
        residual,
        stop,
    )


def _damped(graph: FactorGraph, task: str, steps: int) -> BeliefPropagation:
    return BeliefPropagation(0.5, marginalize=log_max if task == "MAP" else log_sum)


def _reweighted(graph: FactorGraph, task: str, steps: int) -> BeliefPropagation:
    return BeliefPropagation(0.5, weight=tree_weights(graph), marginalize=log_max if task == "MAP" else log_sum)


def _mean_field(graph: FactorGraph, task: str, steps: int) -> MeanField:
    return MeanField(colors=coloring(graph))


def _learned(graph: FactorGraph, task: str, steps: int) -> BeliefPropagation:
    machine = load("learned_bp").double().algorithm
    falling = [0.05 ** min(1.0, k / (steps * 0.8)) for k in range(steps)] or [1.0]
    weight, correction = machine.weight(0), machine.correction(0)
    return BeliefPropagation(0.5, fixed(falling), weight, correction)


BUILD: dict[str, Callable[[FactorGraph, str, int], Any]] = {
    "bp": _damped,
    "trw": _reweighted,
    "mf": _mean_field,
    "learned": _learned,
}


def _run(algorithm: Any, graph: FactorGraph, max_steps: int) -> tuple[Any, float]:
    """Steps in chunks, with a bar, until the residual is small."""
    from tqdm import tqdm

    net, state, done, residual = unroll(algorithm, CHUNK, keep="last"), None, 0, math.inf
    with tqdm(total=max_steps, desc="infer", mininterval=1.0, delay=1.0) as bar:
        while True:
            count = min(CHUNK, max_steps - done)
            run = net(graph, state, start=done, steps=count)
            state, done = run.state, done + count
            residual = float(algorithm.residual(graph, state).max()) if graph.factors else 0.0
            bar.update(count)
            bar.set_postfix(residual=f"{residual:.1e}", refresh=False)
            falling = getattr(algorithm, "temperature", None) is not None and algorithm.temperature.steps is not None
            if done >= max_steps or (residual <= CONVERGED and not falling):
                return run, residual


def _check_possible(graph: FactorGraph) -> None:
    """Raise where factors and evidence exclude every state of a variable: then the evidence has probability zero.

    Arc consistency: a state goes where a factor has no entry left for it, round by round.
    """
    hard = []
    for group in graph.factors:
        table = group.tables()
        highest = table.amax(tuple(range(1, table.ndim - 1)), keepdim=True)
        hard.append(TableFactors(group.variables, torch.where(table > highest + LOG_ZERO / 2, 0.0, LOG_ZERO).to(table)))
    highest = graph.highest(graph.unary)[:, graph.variable]
    left = torch.where(graph.unary > highest + LOG_ZERO / 2, 0.0, LOG_ZERO).to(graph.unary)
    for _ in range(ROUNDS):
        cavities = graph.blocks(graph.at_edges(left))
        heard = graph.flat([g.messages(c, 1.0, log_max) for g, c in zip(hard, cavities, strict=True)], 1)
        excluded = graph.sums(torch.zeros_like(left), (heard < LOG_ZERO / 2).to(left)) > 0
        now = torch.where(excluded, LOG_ZERO, left)
        if bool((gone := graph.highest(now)[0] < 0).any()):
            variable = int(gone.nonzero()[0])
            raise MetaoptError(
                f"The evidence has probability zero: factors and evidence exclude every state of variable {variable}."
            )
        if torch.equal(now, left):
            return
        left = now


def _tied(graph: FactorGraph, log_marginals: Tensor) -> bool:
    """Whether a variable has two states that are about as likely: the best of two variables may not go together."""
    near = log_marginals > graph.highest(log_marginals)[:, graph.variable] - TIE
    return int(near.sum()) > len(graph.cardinalities)


def _on_impossible(graph: FactorGraph, beliefs: Tensor, least: float) -> bool:
    """Whether independent beliefs put so much probability on what a factor or a unary potential excludes."""
    blocks = graph.blocks(graph.at_edges(beliefs))
    below = graph.unary - graph.highest(graph.unary)[:, graph.variable]
    return bool((below * beliefs < least).any()) or any(
        bool((group.expected(b) - group.tables().flatten(1, -2).amax(1) < least).any())
        for group, b in zip(graph.factors, blocks, strict=True)
    )


def _exact(model: UaiModel, evidence: dict[int, int], task: str) -> Answer:
    cardinalities, scopes, tables = condition(model.cardinalities, model.scopes, model.tables, evidence)
    with np.errstate(divide="ignore"):
        logs = [np.log(table) for table in tables]
    if task == "MAP":
        states, value = exact_map(cardinalities, scopes, logs)
        whole = [evidence.get(variable, state) for variable, state in enumerate(states)]
        return Answer([], math.nan, whole, value / TEN, None, None)
    found, log_z = exact_marginals(cardinalities, scopes, logs)
    marginals = [m.numpy() for m in found]
    for variable, state in evidence.items():
        marginals[variable] = np.zeros(model.cardinalities[variable])
        marginals[variable][state] = 1
    return Answer(marginals, log_z / TEN, [], math.nan, None, None)


def infer_file(
    model: Path, evidence: Path | None, task: str, method: str, output: Path | None, max_steps: int
) -> tuple[Answer, str]:
    """``metaopt infer``: the answer, and its text in UAI's format, also written to ``output`` if there is one."""
    if output is not None and not output.resolve().parent.is_dir():
        raise MetaoptError(f"{output} cannot be written: there is no folder {output.parent}.")
    uai = read_uai(model)
    seen = read_evidence(evidence, uai.cardinalities) if evidence else {}
    answer = infer(uai, seen, task, method, max_steps)
    with tempfile.TemporaryDirectory() as folder:
        path = output or Path(folder) / "answer"
        if task == "MAR":
            write_marginals(path, answer.marginals)
        elif task == "PR":
            write_log10_z(path, answer.log10_z)
        else:
            write_assignment(path, answer.assignment)
        return answer, path.read_text()
