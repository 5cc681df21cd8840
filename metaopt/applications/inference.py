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
from ..algorithms.inference import (
    break_ties,
    exact_log_z,
    has_ties,
    possible_states,
    rests_on_impossible,
    tree_weights,
)
from ..algorithms.inference.elimination import TooLargeError
from ..algorithms.inference.restarts import CONVERGED
from ..core import MetaoptError, fixed
from ..data.formats.uai import UaiModel, read_evidence, read_uai
from ..data.formats.uai_answers import write_assignment, write_log10_z, write_marginals
from ..data.formats.uai_graphs import check_conditional, factor_graph
from ..files import check_output
from ..models import load, many_starts
from ..networks import ConstantWeights
from ..problems import FactorGraph, log_max, log_sum
from .trust import TEN, Support, annealed, random_starts, settle, supported

TASKS = ("MAR", "PR", "MAP", "MPE")
METHODS = ("bp", "trw", "mf", "learned", "exact", "many-starts", "auto")
BOUNDS = {"mf": "a lower bound of log10 Z", "trw": "an upper bound of log10 Z"}
TOLERANCE = 0.01
MEMORY = 4 * 2**30  # bytes
PER_ENTRY = 40  # bytes of memory for each entry of the largest table, of 8 bytes: three tables, and sums of them
MANY = 16


class Answer(NamedTuple):
    """Hold the result of an inference.

    Args:
        marginals: For each variable the probabilities of its states; empty where the task did not need them.
        log10_z: Logarithm to base 10 of the partition function.
        assignment: A state for each variable.
        log10_p: Logarithm to base 10 of the unnormalised probability of the assignment.
        residual: Distance of the last step from a fixed point, or None for exact inference.
        steps: Number of steps that were taken, or None for exact inference.
        method: The method that gave the answer.
        support: What other approximations say of the answer, or None where they were not asked.
        note: Why the method was taken.
    """

    marginals: list[np.ndarray]
    log10_z: float
    assignment: list[int]
    log10_p: float
    residual: float | None
    steps: int | None
    method: str = ""
    support: Support | None = None
    note: str = ""

    @property
    def converged(self) -> bool:
        """Return whether the residual is small enough; an answer that is known to be exact counts as converged."""
        known = self.support is not None and self.support.exact
        return known or self.residual is None or self.residual <= CONVERGED

    def trusted(self, tolerance: float = TOLERANCE) -> bool:
        """Return whether the answer is exact, or converged and supported: converged alone does not mean right.

        Args:
            tolerance: The largest disagreement between approximations: of a probability for MAR, of log10 Z for PR, of
                the assignment's log10 probability for MAP.

        Returns:
            False also where nothing supports an approximate answer.
        """
        if self.residual is None:
            return True
        return self.converged and self.support is not None and self.support.within(tolerance)

    def verdict(self, task: str, method: str, tolerance: float = TOLERANCE) -> str:
        """Return a sentence that says whether the answer can be trusted.

        Args:
            task: ``"MAR"``, ``"PR"`` or ``"MAP"``.
            method: The method that was asked for.
            tolerance: As for :meth:`trusted`.

        Returns:
            The sentence.
        """
        if self.residual is None:
            return "exact"
        task, method = TASK_OF.get(task.upper(), task), self.method or method
        by = f"{self.note}{method} " if self.note else f"{method}: "
        if task == "MAP" and self.log10_p == -math.inf:
            return by + (
                f"after {self.steps} steps the assignment has probability zero: do not trust it; try --method exact"
            )
        said = f"after {self.steps} steps, residual {self.residual:.1e}"
        if self.support is not None and self.support.exact and self.residual > CONVERGED:
            return f"{by}{said}; exact, because {self.support.reason}"
        if not self.converged:
            return by + (
                f"not converged {said} (at most {CONVERGED:g} counts as converged): do not trust this answer; try "
                "--method auto, trw or exact, or more --steps"
            )
        bound = f"; {BOUNDS[method]}" if task == "PR" and method in BOUNDS else ""
        return f"{by}converged {said}{bound}; {self._supported(task, tolerance)}"

    def _supported(self, task: str, tolerance: float) -> str:
        support = self.support
        if support is None:
            return "approximate, and not compared with other approximations"
        if support.exact:
            return f"exact, because {support.reason}"
        what = {"MAR": "a marginal", "PR": "log10 Z", "MAP": "the log10 probability of the assignment"}[task]
        between = (
            f"{what if task != 'MAR' else 'log10 Z'} is between {_shown(support.lower)} and {_shown(support.upper)}"
        )
        if support.disagreement is None:
            said = f"approximate, and nothing supports it, because other approximations did not converge ({between})"
        else:
            others = f"{support.starts} random starts and tree-reweighted" if task == "MAR" else "bounds"
            said = f"approximate: {others} differ from it by up to {support.disagreement:.2g} in {what}; {between}"
        if support.error is not None:
            said += f"; no marginal is off by more than {support.error:.2g}"
        return said + (
            "" if self.trusted(tolerance) else f"; not within the tolerance of {tolerance:g}, so do not rely on it"
        )


TASK_OF = {"MAR": "MAR", "PR": "PR", "MAP": "MAP", "MPE": "MAP"}


@torch.no_grad()
def infer(
    model: UaiModel,
    evidence: dict[int, int] | None = None,
    task: str = "MAR",
    method: str = "auto",
    max_steps: int = 500,
    memory: int = MEMORY,
) -> Answer:
    """Answer a task about a model, in float64.

    Iterations stop where the residual is at most 1e-4 or after ``max_steps``; runs from many starts take all steps. An
    approximate answer is compared with others (:class:`~metaopt.applications.trust.Support`), because one that has
    converged may still be wrong. An assignment of probability zero, and a mean field that rests on one, never count as
    converged. Where the best states of a variable are within 1e-3 of each other, MAP is solved again with unary
    potentials that differ by as much, so that the ties of all variables are broken consistently.

    Args:
        model: The model.
        evidence: The state of each observed variable.
        task: ``"MAR"`` (marginals), ``"PR"`` (log Z) or ``"MAP"`` (most probable assignment, also called ``"MPE"``), in
            upper or lower case.
        method: ``"auto"`` (exact where memory allows, otherwise many starts), ``"exact"`` (junction tree), ``"bp"``
            (belief propagation with damping 0.5; max-product for MAP), ``"trw"`` (tree-reweighted), ``"mf"`` (mean
            field, one variable of a factor at a time), ``"many-starts"`` (belief propagation from 16 starts, and then
            with constant weights from 1.25 to 4 until a start converges, combined by their estimates of Z; for MAP with
            falling temperature) or ``"learned"`` (the same with learned weights).
        max_steps: The largest number of steps of a run.
        memory: Bytes that exact inference may take.

    Returns:
        The answer.

    Raises:
        MetaoptError: The task or method is unknown, a number is out of range, the model is too large for exact
            inference, or the evidence has probability zero. The latter is noticed by exact inference always, and by the
            other methods as far as arc consistency shows it (excluding states factor by factor).
    """
    goal = TASK_OF.get(str(task).upper())
    if goal is None or method not in METHODS:
        raise MetaoptError(
            f"There are the tasks {', '.join(TASKS)} and the methods {', '.join(METHODS)}, but not {task} by {method}."
        )
    if not isinstance(max_steps, int) or max_steps < 0 or not memory > 0:
        raise MetaoptError(
            f"Steps are a whole number of at least 0, and memory is above 0 bytes, but got {max_steps!r} and "
            f"{memory!r}."
        )
    graph = factor_graph(model, evidence)
    possible_states(graph)  # raises where nothing is possible
    note = ""
    if method in ("exact", "auto"):
        try:
            return _exact(graph, goal, max(1, int(memory / PER_ENTRY)))
        except TooLargeError as refusal:
            if method == "exact":
                raise MetaoptError(f"{refusal} Raise --memory, or take --method auto.") from refusal
            method, note = "many-starts", "too large for exact inference in the given memory, so by "
    return _approximate(graph, goal, method, max_steps)._replace(note=note)


def _approximate(graph: FactorGraph, task: str, method: str, max_steps: int) -> Answer:
    beliefs, residual, stop, plain = _solved(graph, task, method, max_steps)
    if method == "mf" and float(beliefs.log_z) == -math.inf:
        residual = math.inf
    assignment = graph.decode(beliefs.log_marginals)
    log_p = float(graph.log_potential(assignment))
    if rests_on_impossible(graph, graph.one_hot(assignment), 0.5):
        log_p, residual = -math.inf, math.inf if task == "MAP" else residual
    support = None
    if residual <= CONVERGED or (task == "MAP" and log_p > -math.inf):
        support = supported(graph, task, beliefs, log_p, max_steps, plain and residual <= CONVERGED)
    marginals = _by_variable(graph, beliefs.log_marginals)
    log10_z = float(beliefs.log_z) / TEN
    return Answer(marginals, log10_z, assignment[0].tolist(), log_p / TEN, residual, stop, method, support)


def _solved(graph: FactorGraph, task: str, method: str, max_steps: int) -> tuple[Any, float, int, bool]:
    """Return beliefs, residual, the number of steps, and whether they would be exact on a model without cycles."""
    from tqdm import tqdm

    with tqdm(total=max_steps, desc=method, mininterval=1.0, delay=1.0) as bar:

        def show(k: int, state: Any, residual: float | None) -> None:
            bar.set_postfix(residual="" if residual is None else f"{residual:.1e}", refresh=False)
            bar.update()

        if method in ("learned", "many-starts"):
            weights = load("learned_bp").double() if method == "learned" else None
            starts = random_starts(graph, MANY)
            if task == "MAP":
                cold = _falling(weights, max_steps)
                beliefs, residual, stop = annealed(cold, graph, max_steps, starts, show)
                if has_ties(graph, beliefs.log_marginals):
                    beliefs, residual, more = annealed(cold, break_ties(graph), max_steps, starts, show)
                    stop += more
                return beliefs, residual, stop, False
            found = many_starts(weights, max_steps, starts, patience=1).run(graph, show)
            return found.beliefs, float(found.residuals.min()), found.steps, found.algorithm == 0
        run, residual = settle(BUILD[method](graph, task), graph, max_steps, show, 2 if method == "mf" else CHUNK)
        steps = run.stop
        if task == "MAP" and has_ties(graph, run.final.log_marginals):
            run, residual = settle(BUILD[method](graph, task), break_ties(graph), max_steps, show, CHUNK, APART)
            steps += run.stop
        return run.final, residual, steps, method == "bp"


CHUNK = 20  # steps between two evaluations of the residual
APART = 1e-9  # the residual at which states differ that were tied, and differ by a random number up to 1e-3 now


def _damped(graph: FactorGraph, task: str) -> BeliefPropagation:
    return BeliefPropagation(0.5, marginalize=log_max if task == "MAP" else log_sum)


def _reweighted(graph: FactorGraph, task: str) -> BeliefPropagation:
    return BeliefPropagation(0.5, weight=tree_weights(graph), marginalize=log_max if task == "MAP" else log_sum)


def _mean_field(graph: FactorGraph, task: str) -> MeanField:
    return MeanField(colors=coloring(graph))


def _falling(learned: Any, steps: int) -> BeliefPropagation:
    """Return belief propagation whose temperature falls to 0.05 within the first four fifths of the steps."""
    falling = [0.05 ** min(1.0, k / (steps * 0.8)) for k in range(steps)] or [1.0]
    weight = ConstantWeights(1.25) if learned is None else learned.algorithm.weight.content()
    return BeliefPropagation(0.5, fixed(falling), weight)


BUILD: dict[str, Callable[[FactorGraph, str], Any]] = {"bp": _damped, "trw": _reweighted, "mf": _mean_field}


def _exact(graph: FactorGraph, task: str, limit: int) -> Answer:
    if task == "MAP":
        states, value = exact_map(graph, limit)
        return Answer([], math.nan, states[0].tolist(), float(value) / TEN, None, None, "exact")
    if task == "PR":
        return Answer([], float(exact_log_z(graph, limit)) / TEN, [], math.nan, None, None, "exact")
    found = exact_marginals(graph, limit)
    marginals = _by_variable(graph, found.log_marginals)
    return Answer(marginals, float(found.log_z) / TEN, [], math.nan, None, None, "exact")


def _by_variable(graph: FactorGraph, log_marginals: Tensor) -> list[np.ndarray]:
    """Return the probabilities of each variable's states, for a graph of one sample."""
    return [p.numpy() for p in log_marginals[0].exp().split(graph.cardinalities.tolist())]


def _shown(bound: float | None) -> str:
    return "?" if bound is None else f"{bound:.4g}"


def infer_file(
    model: Path,
    evidence: Path | None,
    task: str,
    method: str,
    output: Path | None,
    max_steps: int,
    memory: int = MEMORY,
    sample: int | None = None,
) -> tuple[Answer, str]:
    """Answer a task about a UAI file, as ``metaopt infer`` does.

    Args:
        model: The UAI file.
        evidence: The file of the evidence, or None.
        task: As for :func:`infer`.
        method: As for :func:`infer`.
        output: The file to write, or None.
        max_steps: The largest number of steps.
        memory: As for :func:`infer`.
        sample: Which sample of the evidence file, from 0; None where there is one.

    Returns:
        The answer, and its text in UAI's format.

    Raises:
        MetaoptError: A file cannot be read or written, or as for :func:`infer`.
    """
    if output is not None:
        check_output(output.resolve(), model, evidence)
    if sample is not None and evidence is None:
        raise MetaoptError(f"Sample {sample} is one of a file of evidence, but none was given; add --evidence FILE.")
    uai = read_uai(model)
    check_conditional(uai)
    seen = read_evidence(evidence, uai.cardinalities, sample) if evidence else {}
    answer, goal = infer(uai, seen, task, method, max_steps, memory), task.upper()
    with tempfile.TemporaryDirectory() as folder:
        path = output or Path(folder) / "answer"
        if goal == "MAR":
            write_marginals(path, answer.marginals)
        elif goal == "PR":
            write_log10_z(path, answer.log10_z)
        else:
            write_assignment(path, answer.assignment, goal)
        return answer, path.read_text()
