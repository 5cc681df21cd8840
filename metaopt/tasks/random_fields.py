"""Draw random discrete models with their exact marginals, on which learned inference is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from ..arguments.contracts import Axes, Between, Count, Counts, Natural, NotNegative, Positives, Share, checked
from ..core import MetaoptError, random
from ..foundation.extras import require
from ..problems import FactorGraph, TableFactors
from .batch_marginals import batch_marginals

Edges = Annotated[Tensor, Axes("whole", "(E, 2)")]
Potentials = Annotated[Tensor, Axes("real", "(B, n)")]
States = Annotated[int, Between(2)]


def _nx(name: str) -> Any:
    return getattr(require("networkx", "graphs"), name)


def _number(generator: torch.Generator) -> int:
    return int(torch.randint(2**31 - 1, (), generator=generator))


STRUCTURES: dict[str, Callable[[int, torch.Generator], Any]] = {
    "grid": lambda n, g: _nx("grid_2d_graph")(side := max(2, round(math.sqrt(n))), max(2, round(n / side))),
    "torus": lambda n, g: _nx("grid_2d_graph")(side := max(3, round(math.sqrt(n))), max(3, round(n / side)), True),
    "path": lambda n, g: _nx("path_graph")(n),
    "cycle": lambda n, g: _nx("cycle_graph")(n),
    "star": lambda n, g: _nx("star_graph")(n - 1),
    "binary tree": lambda n, g: _nx("full_rary_tree")(2, n),
    "ladder": lambda n, g: _nx("ladder_graph")(n // 2),
    "circular ladder": lambda n, g: _nx("circular_ladder_graph")(max(3, n // 2)),
    "barbell": lambda n, g: _nx("barbell_graph")(max(3, n // 2), 0),
    "lollipop": lambda n, g: _nx("lollipop_graph")(max(3, n // 2), max(0, n - max(3, n // 2))),
    "wheel": lambda n, g: _nx("wheel_graph")(n),
    "bipartite": lambda n, g: _nx("complete_bipartite_graph")(n // 2, n - n // 2),
    "tripartite": lambda n, g: _nx("complete_multipartite_graph")(n // 3, n // 3, n - 2 * (n // 3)),
    "complete": lambda n, g: _nx("complete_graph")(n),
    "regular": lambda n, g: _nx("random_regular_graph")(3, max(4, n + n % 2), seed=_number(g)),
    "random": lambda n, g: _nx("gnp_random_graph")(n, min(1.0, 3 / n), seed=_number(g)),
    "small world": lambda n, g: _nx("watts_strogatz_graph")(n, min(4, n - 1), 0.3, seed=_number(g)),
}


MOST = {
    "complete": 13,
    "tripartite": 18,
    "bipartite": 24,
    "barbell": 24,
    "lollipop": 24,
}  # for cheap exact marginals


@checked
def structure(name: str, variables: Count, generator: torch.Generator) -> Tensor:
    """Return the edges of a graph structure with about the given number of variables.

    Args:
        name: One of the structures: those of Yoon et al., arXiv:1803.07710 ("star", "path", "cycle", "ladder", ...),
            "grid", "torus", and random graphs.
        variables: About how many variables there are.
        generator: Draws the random structures.

    Returns:
        The edges, (E, 2).

    Raises:
        MetaoptError: The name is unknown, or networkx is not installed.
    """
    if name not in STRUCTURES:
        raise MetaoptError(f"There is no structure {name!r}; there are {', '.join(STRUCTURES)}.")
    graph = STRUCTURES[name](variables, generator)
    number = {node: i for i, node in enumerate(graph.nodes)}
    edges = [(number[a], number[b]) for a, b in graph.edges if a != b]
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2)


@checked
def ising(edges: Edges, fields: Potentials, couplings: Potentials) -> FactorGraph:
    """Return the Ising model ``p(x) ~ exp(sum_v fields_v s_v + sum_e couplings_e s_a s_b)``.

    The spins are s = -1, 1 for the states 0, 1, and e = (a, b).

    Args:
        edges: The pairs (a, b) of coupled variables, (E, 2).
        fields: (B, V).
        couplings: (B, E).

    Returns:
        A factor graph of B samples and V variables.
    """
    spins = torch.tensor([-1.0, 1.0], dtype=fields.dtype)
    unary = (fields[:, :, None] * spins).flatten(1)
    table = couplings[:, None, None, :] * (spins[:, None] * spins)[None, :, :, None]
    return FactorGraph(torch.full((fields.shape[1],), 2), unary, (TableFactors(edges, table),))


@checked
@dataclass(frozen=True)
class RandomFields:
    """Draw Ising models, spin glasses and random tables on random structures, with their exact marginals.

    ``sample`` gives a factor graph and its marginals (B, N). All samples of a batch share one structure, and each draws
    its own scales and potentials. Given the scales, couplings and fields are normal. Dense structures stay small enough
    for exact marginals.

    Args:
        structures: Names of structures, of which each batch draws one; see :func:`structure`.
        variables: (fewest, most) variables.
        couplings: (low, high) of the scale of the couplings, drawn uniformly on a logarithmic scale.
        fields: (low, high) of the scale of the fields, likewise.
        states: Largest number of states of a variable. Above 2, variables have 2 to ``states`` states, and tables of
            independent normal entries take the place of couplings.
        batch: Number of samples B.
        dtype: The dtype of the potentials.
    """

    structures: Annotated[Sequence[str], Between(1)] = tuple(STRUCTURES)
    variables: Counts = (9, 16)
    couplings: Positives = (0.3, 3.0)
    fields: Positives = (0.1, 1.0)
    states: States = 2
    batch: Count = 32
    dtype: torch.dtype = torch.float32

    def sample(self, seed: int) -> tuple[FactorGraph, Tensor]:
        graph = self.draw(random.generator(seed))
        marginals, _ = batch_marginals(graph)
        return graph, marginals

    def draw(self, generator: torch.Generator) -> FactorGraph:
        """Draw the factor graph of a sample, without its marginals.

        Args:
            generator: Draws everything random.

        Returns:
            The factor graph.
        """
        names = list(self.structures)
        name = names[int(torch.randint(len(names), (), generator=generator))]
        count = min(_between(self.variables, generator), MOST.get(name, self.variables[1]))
        edges = structure(name, count, generator)
        count = max(count, int(edges.max()) + 1) if len(edges) else count
        strong, weak = (log_uniform(bounds, self.batch, generator) for bounds in (self.couplings, self.fields))
        if self.states == 2:
            fields = weak * torch.randn(self.batch, count, generator=generator)
            return ising(edges, fields.to(self.dtype), (strong * self._normal(generator, len(edges))).to(self.dtype))
        return self._tables(edges, count, strong, weak, generator)

    def _tables(
        self, edges: Tensor, count: int, strong: Tensor, weak: Tensor, generator: torch.Generator
    ) -> FactorGraph:
        cards = torch.randint(2, self.states + 1, (count,), generator=generator)
        unary = (weak * self._normal(generator, int(cards.sum()))).to(self.dtype)
        shapes = cards[edges]
        groups = []
        for shape in shapes.unique(dim=0).tolist():
            chosen = edges[(shapes == torch.tensor(shape)).all(1)]
            table = strong[:, :, None, None] * torch.randn(self.batch, *shape, len(chosen), generator=generator)
            groups.append(TableFactors(chosen, table.to(self.dtype)))
        return FactorGraph(cards, unary, tuple(groups))

    def _normal(self, generator: torch.Generator, count: int) -> Tensor:
        return torch.randn(self.batch, count, generator=generator)


@checked
@dataclass(frozen=True)
class RandomFactors:
    """Draw random factor graphs of tables over several variables, with their exact marginals.

    ``sample`` gives a factor graph and its marginals (B, N).

    Args:
        variables: (fewest, most) variables.
        states: Largest number of states; each variable has 2 to ``states``.
        arity: Largest number of variables of a factor; each has 2 to ``arity``.
        density: Number of factors per variable.
        sizes: (low, high) of the standard deviation of the entries of a log table; each sample draws its own, uniformly
            on a logarithmic scale.
        zeros: Largest share of zeros in a table; each batch draws its share from [0, ``zeros``]. One assignment of all
            variables has none, so that Z is positive.
        batch: Number of samples B.
        dtype: The dtype of the potentials.
    """

    variables: Counts = (8, 12)
    states: States = 3
    arity: States = 3
    density: NotNegative = 1.2
    sizes: Positives = (0.3, 3.0)
    zeros: Share = 0.5
    batch: Count = 32
    dtype: torch.dtype = torch.float32

    def sample(self, seed: int) -> tuple[FactorGraph, Tensor]:
        graph = self.draw(random.generator(seed))
        return graph, batch_marginals(graph)[0]

    def draw(self, generator: torch.Generator) -> FactorGraph:
        """Draw the factor graph of a sample, without its marginals.

        Args:
            generator: Draws everything random.

        Returns:
            The factor graph.
        """
        count = _between(self.variables, generator)
        cards = torch.randint(2, self.states + 1, (count,), generator=generator)
        planted = (torch.rand(count, generator=generator) * cards).long()
        zeros = self.zeros * float(torch.rand((), generator=generator))
        strong = log_uniform(self.sizes, self.batch, generator)
        groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for _ in range(round(self.density * count)):
            scope = torch.randperm(count, generator=generator)[: _between((2, self.arity), generator)]
            shape = tuple(cards[scope].tolist())
            size = strong.reshape(-1, *[1] * len(shape))
            table = size * torch.randn(self.batch, *shape, generator=generator)
            dead = torch.rand(table.shape, generator=generator) < zeros
            dead[(slice(None), *planted[scope].tolist())] = False
            groups.setdefault(shape, []).append((scope, table.masked_fill(dead, -math.inf).to(self.dtype)))
        unary = (strong * torch.randn(self.batch, int(cards.sum()), generator=generator)).to(self.dtype) / 4
        factors = [(torch.stack([s for s, _ in g]), torch.stack([t for _, t in g], dim=-1)) for g in groups.values()]
        return FactorGraph(cards, unary, tuple(TableFactors(*pair) for pair in factors))


def _between(bounds: tuple[int, int], generator: torch.Generator) -> int:
    low, high = bounds
    return int(torch.randint(low, high + 1, (), generator=generator))


def log_uniform(bounds: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    """Draw numbers uniformly on a logarithmic scale.

    Args:
        bounds: (low, high).
        count: How many numbers to draw.
        generator: Draws the numbers.

    Returns:
        (count, 1).
    """
    low, high = (math.log(bound) for bound in bounds)
    return (low + (high - low) * torch.rand(count, 1, generator=generator)).exp()


@checked
@dataclass(frozen=True)
class RandomNetworks:
    """Draw random Bayesian networks of binary variables with some of them observed, and their exact marginals.

    ``sample`` gives a factor graph and its marginals (B, N). The conditional table of a variable is, with equal
    probability, a noisy OR (each parent in state 1 sets it to 1 with a probability of its own, and there is a small
    leak), a random function of its parents that fails with an error probability, or uniformly random. In half of the
    batches the error probability is 0. The observed states are drawn from the network itself.

    Args:
        variables: (fewest, most) variables.
        parents: Largest number of parents of a variable, which are near it in the order.
        seen: Probability that a variable is observed.
        batch: Number of samples B.
        dtype: The dtype of the potentials.
    """

    variables: Counts = (12, 24)
    parents: Natural = 3
    seen: Share = 0.3
    batch: Count = 32
    dtype: torch.dtype = torch.float32

    def sample(self, seed: int) -> tuple[FactorGraph, Tensor]:
        graph = self.draw(random.generator(seed))
        return graph, batch_marginals(graph)[0]

    def draw(self, generator: torch.Generator) -> FactorGraph:
        """Draw the factor graph of a sample, without its marginals.

        Args:
            generator: Draws everything random.

        Returns:
            The factor graph.
        """
        count = _between(self.variables, generator)
        error = 0.1 * torch.rand(self.batch, 1, generator=generator) * (torch.rand((), generator=generator) < 0.5)
        states, unary = torch.zeros(self.batch, count, dtype=torch.long), torch.zeros(self.batch, count, 2)
        groups: dict[int, list[tuple[list[int], Tensor]]] = {}
        for variable in range(count):
            near = torch.randperm(min(variable, 6), generator=generator)[: _between((0, self.parents), generator)]
            parents = (variable - 1 - near).tolist()
            table = self._table(len(parents), error, generator)  # (B, 2, ..., 2), the last axis for the variable itself
            row = table[(torch.arange(self.batch), *(states[:, p] for p in parents))]
            states[:, variable] = (torch.rand(self.batch, generator=generator) < row[:, 1]).long()
            if parents:
                groups.setdefault(len(parents), []).append(([*parents, variable], table.log()))
            else:
                unary[:, variable] += table.log()
        observed = torch.rand(count, generator=generator) < self.seen
        other = torch.nn.functional.one_hot(1 - states, 2).bool() & observed[:, None]
        unary = unary.masked_fill(other, -math.inf).flatten(1).to(self.dtype)
        factors = [
            TableFactors(torch.tensor([s for s, _ in g]), torch.stack([t for _, t in g], dim=-1).to(self.dtype))
            for g in groups.values()
        ]
        return FactorGraph(torch.full((count,), 2), unary, tuple(factors))

    def _table(self, parents: int, error: Tensor, generator: torch.Generator) -> Tensor:
        kind = int(torch.randint(3, (), generator=generator))
        shape = (self.batch, *[2] * parents)
        if kind == 0:
            off = 1 - torch.rand(self.batch, generator=generator) * 0.1
            off = off.reshape(-1, *[1] * parents).expand(shape)
            for axis in range(parents):
                keep = torch.rand(self.batch, 2, generator=generator)
                keep[:, 0] = 1
                off = off * keep.reshape(-1, *[2 if a == axis else 1 for a in range(parents)])
            on = 1 - off
        elif kind == 1:
            function = (torch.rand(shape, generator=generator) < 0.5).float()
            wrong = error.reshape(-1, *[1] * parents)
            on = function * (1 - wrong) + (1 - function) * wrong
        else:
            on = torch.rand(shape, generator=generator)
        return torch.stack([1 - on, on], dim=-1)
