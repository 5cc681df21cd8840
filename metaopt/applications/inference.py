"""Infer marginals, log Z and the most probable assignment of UAI files, by classical and by learned methods."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..algorithms import BeliefPropagation, MeanField, coloring, exact_map, exact_marginals
from ..algorithms.inference import break_ties, has_ties, possible_states, rests_on_impossible, tree_weights
from ..algorithms.inference.restarts import CONVERGED
from ..core import MetaoptError, Settled, fixed, solve
from ..data.formats.uai import UaiModel, read_evidence, read_uai
from ..data.formats.uai_answers import write_assignment, write_log10_z, write_marginals
from ..data.formats.uai_graphs import factor_graph
from ..models import load, many_starts
from ..problems import FactorGraph, log_max, log_sum

TASKS = ("MAR", "PR", "MAP")
METHODS = ("bp", "trw", "mf", "learned", "exact")
BOUNDS = {"mf": "a lower bound of log10 Z", "trw": "an upper bound of log10 Z"}
TEN = math.log(10)
CHUNK = 20  # steps between two evaluations of the residual


class Answer(NamedTuple):
    """Hold the result of an inference.

    Args:
        marginals: For each variable the probabilities of its states.
        log10_z: Logarithm to base 10 of the partition function.
        assignment: A state for each variable.
        log10_p: Logarithm to base 10 of the unnormalised probability of the assignment.
        residual: Distance of the last step from a fixed point, or None for exact inference.
        steps: Number of steps, or None for exact inference.
    """

    marginals: list[np.ndarray]
    log10_z: float
    assignment: list[int]
    log10_p: float
    residual: float | None
    steps: int | None

    @property
    def converged(self) -> bool:
        """Return whether the residual is small enough; exact inference counts as converged."""
        return self.residual is None or self.residual <= CONVERGED

    def verdict(self, task: str, method: str) -> str:
        """Return a sentence that says whether the answer can be trusted.

        Args:
            task: ``"MAR"``, ``"PR"`` or ``"MAP"``.
            method: The method that gave the answer.

        Returns:
            The sentence.
        """
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
    """Answer a task about a model, in float64.

    Iterations stop where the residual is at most 1e-4 or after ``max_steps``; learned methods take all steps. An
    assignment of probability zero, and a mean field that rests on one, never count as converged. Where the best states
    of a variable are within 1e-3 of each other, MAP is solved again with unary potentials that differ by as much, so
    that the ties of all variables are broken consistently.

    Args:
        model: The model.
        evidence: The state of each observed variable.
        task: ``"MAR"`` (marginals), ``"PR"`` (log Z) or ``"MAP"`` (most probable assignment).
        method: ``"bp"`` (belief propagation with damping 0.5; max-product for MAP), ``"trw"`` (tree-reweighted),
            ``"mf"`` (mean field, one variable of a factor at a time), ``"learned"`` (trained weights from 16 starts,
            combined by their estimates of Z; for MAP one start with falling temperature) or ``"exact"`` (junction
            tree).
        max_steps: The largest number of steps.

    Returns:
        The answer.

    Raises:
        MetaoptError: The task or method is unknown, the model is too large for exact inference, or the evidence has
            probability zero. The latter is noticed by exact inference always, and by the other methods as far as arc
            consistency shows it (excluding states factor by factor, up to 1,000 factors in a row).
    """
    if task not in TASKS or method not in METHODS:
        raise MetaoptError(
            f"There are the tasks {', '.join(TASKS)} and the methods {', '.join(METHODS)}, but not {task} by {method}."
        )
    graph = factor_graph(model, evidence)
    if method == "exact":
        return _exact(graph, task)
    possible_states(graph)  # raises where nothing is possible
    if method == "learned" and task != "MAP":
        beliefs, residuals = many_starts(load("learned_bp").double(), max_steps)(graph)
        residual, stop = float(residuals.min()), max_steps
    else:
        algorithm = BUILD[method](graph, task, max_steps)
        run, residual = _run(algorithm, graph, max_steps)
        if task == "MAP" and has_ties(graph, run.final.log_marginals):
            run, residual = _run(algorithm, break_ties(graph), max_steps)
        beliefs, stop = run.final, run.stop
        if method == "mf" and rests_on_impossible(graph, beliefs.log_marginals.exp(), 0.01):
            residual = math.inf
    assignment = graph.decode(beliefs.log_marginals)
    log10_p = float(graph.log_potential(assignment)) / TEN
    if rests_on_impossible(graph, graph.one_hot(assignment), 0.5):
        log10_p = -math.inf
        residual = math.inf if task == "MAP" else residual
    return Answer(
        _by_variable(graph, beliefs.log_marginals),
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
    learned: Any = load("learned_bp").double().algorithm  # belief propagation, says its card
    falling = [0.05 ** min(1.0, k / (steps * 0.8)) for k in range(steps)] or [1.0]
    weight, correction = learned.weight.content(), learned.correction.content()
    return BeliefPropagation(0.5, fixed(falling), weight, correction)


BUILD: dict[str, Callable[[FactorGraph, str, int], Any]] = {
    "bp": _damped,
    "trw": _reweighted,
    "mf": _mean_field,
    "learned": _learned,
}


def _run(algorithm: Any, graph: FactorGraph, max_steps: int) -> tuple[Any, float]:
    """Iterate until the residual is small, with a progress bar; the residual of a run that became NaN is NaN."""
    from tqdm import tqdm

    with tqdm(total=max_steps, desc="infer", mininterval=1.0, delay=1.0) as bar:

        def show(k: int, state: Any, residual: float | None) -> None:
            bar.set_postfix(residual="" if residual is None else f"{residual:.1e}", refresh=False)
            bar.update()

        run = solve(algorithm, graph, max_steps, Settled(residual=CONVERGED, every=CHUNK), callback=show)
    if run.report.not_finite_at is not None:
        return run, math.nan
    residual = algorithm.residual(graph, run.state, 0) if run.report.residuals is None else run.report.residuals
    return run, float(residual.max())


def _exact(graph: FactorGraph, task: str) -> Answer:
    if task == "MAP":
        states, value = exact_map(graph)
        return Answer([], math.nan, states[0].tolist(), float(value) / TEN, None, None)
    found = exact_marginals(graph)
    return Answer(_by_variable(graph, found.log_marginals), float(found.log_z) / TEN, [], math.nan, None, None)


def _by_variable(graph: FactorGraph, log_marginals: Tensor) -> list[np.ndarray]:
    """Return the probabilities of each variable's states, for a graph of one sample."""
    return [p.numpy() for p in log_marginals[0].exp().split(graph.cardinalities.tolist())]


def infer_file(
    model: Path, evidence: Path | None, task: str, method: str, output: Path | None, max_steps: int
) -> tuple[Answer, str]:
    """Answer a task about a UAI file, as ``metaopt infer`` does.

    Args:
        model: The UAI file.
        evidence: The file of the evidence, or None.
        task: As for :func:`infer`.
        method: As for :func:`infer`.
        output: The file to write, or None.
        max_steps: The largest number of steps.

    Returns:
        The answer, and its text in UAI's format.

    Raises:
        MetaoptError: A file cannot be read or written, or as for :func:`infer`.
    """
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
