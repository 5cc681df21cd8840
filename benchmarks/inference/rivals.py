"""PGMax and pgmpy on the models of this library; `make rivals` installs them, and nothing else needs them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

import metaopt as mo


def have_rivals() -> bool:
    """Whether PGMax and pgmpy can be imported."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("pgmax", "pgmpy", "jax"))


def use_jax() -> Any:
    """JAX on the processor."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    return jax


def pgmax_inferer(graph: mo.FactorGraph) -> tuple[Any, list[Any]]:
    """PGMax's inferer of a graph of one sample, and its variables; unary potentials go in as evidence."""
    use_jax()
    from pgmax import fgraph, fgroup, infer, vgroup

    cards, scopes, tables = mo.problems.graph_formats.list_factors(graph)
    groups = {c: vgroup.NDVarArray(num_states=c, shape=(cards.count(c),)) for c in sorted(set(cards))}
    count, variables = dict.fromkeys(groups, 0), []
    for c in cards:
        variables.append(groups[c][count[c]])
        count[c] += 1
    whole = fgraph.FactorGraph(variable_groups=list(groups.values()))
    shaped: dict[tuple[int, ...], list[tuple[tuple[int, ...], Tensor]]] = {}
    for scope, table in zip(scopes, tables, strict=True):
        if scope:
            shaped.setdefault(tuple(table.shape), []).append((scope, table))
    for shape, members in shaped.items():
        configurations = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
        potentials = np.stack([np.maximum(t.numpy().ravel(), -1e4) for _, t in members])
        names = [[variables[v] for v in scope] for scope, _ in members]
        whole.add_factors(
            fgroup.EnumFactorGroup(
                variables_for_factors=names, factor_configs=configurations, log_potentials=potentials
            )
        )
    return infer.build_inferer(whole.bp_state, backend="bp"), variables


def pgmax_beliefs(
    graph: mo.FactorGraph, steps: int, damping: float, temperature: float
) -> tuple[np.ndarray, Any, float]:
    """Log marginals (N,), the decoded states, and the seconds of a second run, when all is compiled."""
    jax = use_jax()
    from pgmax import infer

    inferer, variables = pgmax_inferer(graph)

    @jax.jit
    def run() -> Any:
        arrays = inferer.run(inferer.init(), num_iters=steps, damping=damping, temperature=temperature)
        beliefs = inferer.get_beliefs(arrays)
        return infer.get_marginals(beliefs), infer.decode_map_states(beliefs)

    jax.block_until_ready(run())
    begin = time.perf_counter()
    marginals, states = jax.block_until_ready(run())
    seconds = time.perf_counter() - begin
    with np.errstate(divide="ignore"):
        log = np.log(np.concatenate([np.asarray(_at(marginals, v)).ravel() for v in variables]))
    return log, [int(_at(states, v)) for v in variables], seconds


def _at(by_group: Any, variable: Any) -> Any:
    """The value of a variable, which is (hash, cardinality), in what PGMax gives by groups."""
    for group, values in by_group.items():
        for index in np.ndindex(group.shape):
            if group[index] == variable:
                return values[index]
    raise KeyError(variable)


def within(seconds: float, gib: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, computed by a process of its own.

    Raises: MetaoptError where it takes longer, or needs more memory; the seconds are without starting the process.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(theirs, gib, function, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()  # it is there
        if not ours.poll(seconds):
            raise mo.MetaoptError(f"Stopped after {seconds:g} seconds.")
        done, result = ours.recv()
    except EOFError:
        raise mo.MetaoptError(f"It ended without an answer; {gib:g} GiB of memory were allowed.") from None
    finally:
        process.kill()
        process.join()
    if not done:
        raise mo.MetaoptError(result)
    return result


def _report(pipe: Any, gib: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30),) * 2)
    pipe.send("started")
    try:
        pipe.send((True, function(*arguments)))
    except MemoryError:
        pipe.send((False, f"It needs more than {gib:g} GiB of memory."))
    except Exception as error:  # of a library that is not ours
        pipe.send((False, f"{type(error).__name__}: {str(error)[:200]}"))


def pgmpy_marginals(
    cards: list[int], scopes: list[tuple[int, ...]], tables: list[np.ndarray], cliques: list[tuple[int, ...]]
) -> tuple[list[np.ndarray], float]:
    """Marginals by pgmpy's belief propagation, calibrated on a junction tree, and the seconds that it took.

    ``cliques`` are those of a junction tree: to find one of its own takes it minutes where there are hundreds of
    variables. Tables of one scope are multiplied before, because it keeps one of those that are equal; parts of the
    graph that are not connected are, by edges without a table, because it fails where they are not.
    """
    merged: dict[tuple[int, ...], np.ndarray] = {}
    for scope, values in zip(scopes, tables, strict=True):
        if scope:
            merged[scope] = merged[scope] * values if scope in merged else values
    present = set(itertools.chain.from_iterable(merged))
    merged |= {(v,): np.ones(c) for v, c in enumerate(cards) if v not in present}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import networkx as nx
        from pgmpy.factors.discrete import DiscreteFactor
        from pgmpy.inference import BeliefPropagation
        from pgmpy.models import DiscreteMarkovNetwork

        model = DiscreteMarkovNetwork()
        model.add_nodes_from(range(len(cards)))
        for scope in (*merged, *cliques):
            model.add_edges_from(itertools.combinations(scope, 2))
        model.add_edges_from(itertools.pairwise([min(part) for part in nx.connected_components(model)]))
        model.add_factors(*[DiscreteFactor(list(s), [cards[v] for v in s], t) for s, t in merged.items()])
        begin = time.perf_counter()
        inference = BeliefPropagation(model)
        inference.calibrate()
        cliques = inference.get_clique_beliefs()
        home = {v: clique for clique in cliques for v in clique}
        marginals = []
        for v in range(len(cards)):
            rest = [u for u in home[v] if u != v]
            belief = cliques[home[v]].marginalize(rest, inplace=False) if rest else cliques[home[v]]
            marginals.append(belief.values / belief.values.sum())
        return marginals, time.perf_counter() - begin


def pgmpy_states(w: np.ndarray, hidden: np.ndarray, visible: np.ndarray) -> tuple[list[int], float]:
    """The states of a restricted Boltzmann machine by pgmpy's `Mplp`, and the seconds that it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pgmpy.factors.discrete import DiscreteFactor
        from pgmpy.inference import Mplp
        from pgmpy.models import DiscreteMarkovNetwork

        half, model = len(hidden), DiscreteMarkovNetwork()
        names = [f"h{i}" for i in range(half)] + [f"v{i}" for i in range(half)]
        model.add_edges_from((f"h{i}", f"v{j}") for i in range(half) for j in range(half))
        single = zip(names, np.concatenate([hidden, visible]), strict=True)
        factors = [DiscreteFactor([name], [2], [1.0, np.exp(bias)]) for name, bias in single]
        factors += [
            DiscreteFactor([f"h{i}", f"v{j}"], [2, 2], [1.0, 1.0, 1.0, np.exp(w[i, j])])
            for i in range(half)
            for j in range(half)
        ]
        model.add_factors(*factors)
        begin = time.perf_counter()
        found = Mplp(model).map_query()
        return [int(found[name]) for name in names], time.perf_counter() - begin
