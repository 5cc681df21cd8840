"""Tables of cases. A new algorithm is one row of ``CASES`` and gets every law of ``laws.py``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree
from metaopt.core.gradients import Backprop, Checkpointed, GradientStrategy, Truncated

from .factor_graphs import loopy


@dataclass(frozen=True)
class Case:
    """One algorithm with a tiny float64 problem.

    - ``build()``: the classical algorithm; ``problem(seed)``: a batch of three problems.
    - ``open``: slots to open, by name; ``steps``: how many to run.
    - ``couples``: its samples influence each other (BatchNorm, one loss for all), so that a batch is not its items.
    - ``reversible``, ``fixed_point``: it supports :class:`Reversible`, or converges (within ``fixed_point`` steps).
    - ``memory``: the recurrent part of a state, where there is one.
    - ``exact``: opened slots give the same bits (under a constraint: 4 units in the last place).
    """

    name: str
    build: Callable[[], mo.Algorithm]
    problem: Callable[[int], Any]
    open: Mapping[str, Any]
    steps: int = 5
    couples: bool = False
    reversible: bool = False
    fixed_point: int = 0
    memory: Callable[[Any], Any] | None = None
    strategies: tuple[GradientStrategy, ...] = field(default=(Checkpointed(), Checkpointed(every=2)))

    def opened(self) -> mo.Algorithm:
        return mo.parameterize(self.build(), self.open)

    def every_strategy(self) -> list[GradientStrategy]:
        extra: list[GradientStrategy] = [mo.Reversible()] if self.reversible else []
        return [*self.strategies, Truncated(last=self.steps), *extra]


def table(cases: list[Case], **filters: bool) -> Any:
    """The cases as pytest parameters, those for which every filter holds."""
    chosen = [c for c in cases if all(bool(getattr(c, key)) == value for key, value in filters.items())]
    return pytest.mark.parametrize("case", chosen, ids=[c.name for c in chosen])


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Build with a fixed global seed (networks draw their weights from it), leaving the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double()


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def matrix(seed: int, rows: int = 4, columns: int = 6) -> Tensor:
    return normal(seed, rows, columns) / rows**0.5


def dense_problem(seed: int) -> mo.InverseProblem:
    noise = 0.5 + torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mo.InverseProblem(matrix(7), normal(seed, 3, 4), noise)


def lstm_schedule() -> nn.Module:
    """One whose factors are not 1, as if trained."""
    schedule = mo.networks.LstmSchedule(3)
    nn.init.normal_(schedule.read.weight, std=0.3)
    return schedule


def overdetermined_problem(seed: int) -> mo.InverseProblem:
    return mo.InverseProblem(matrix(7, 8, 3), normal(seed, 3, 8))


def picture_problem(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> mo.InverseProblem:
    mask = (torch.rand(3, 1, *shape, generator=torch.Generator().manual_seed(seed)) > 0.3).double()
    y = mask * normal(seed, 3, 1, *shape, dtype=dtype)
    return mo.InverseProblem(mo.operators.Mask(mask), y, torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64))


def kspace_problem(seed: int) -> mo.InverseProblem:
    mask = mo.operators.gaussian_mask((6, 8), 2.0, 0.1, seed).double()
    y = mask * normal(seed, 3, 1, 6, 8, dtype=torch.complex128)
    return mo.InverseProblem(mo.operators.Fourier(mask), y, noise=0.2)


def uneven_noise(problem: mo.InverseProblem, *shape: int) -> mo.InverseProblem:
    """The same measurement with noise that differs within a sample."""
    noise = 0.2 + torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return mo.InverseProblem(problem.operator, problem.y, noise)


def tensors_close(a: Any, b: Any, tolerance: float) -> None:
    """Every tensor of two trees, relative to its largest entry."""
    for (name, x), (_, y) in zip(tree.named_leaves(a), tree.named_leaves(b), strict=True):
        scale = max(1.0, float(y.detach().abs().max())) if y.numel() else 1.0
        error = float((x.detach() - y.detach()).abs().max()) / scale if y.numel() else 0.0
        assert error <= tolerance, f"{name or 'tensor'} differs by {error:.1e}"


def loss_of(trajectory: mo.Trajectory) -> Tensor:
    """A scalar that every entry of every output enters with another weight."""
    total = torch.zeros((), dtype=torch.float64)
    for step, output in enumerate(trajectory.outputs, start=1):
        for leaf in tree.leaves(output):
            weights = torch.cos(torch.arange(leaf.numel(), dtype=torch.float64)).reshape(leaf.shape)
            parts = [leaf.real, leaf.imag] if leaf.is_complex() else [leaf]
            total = total + sum(((weights + i) * p + p**2).sum() for i, p in enumerate(parts)) / step
    return total


BACKPROP = Backprop()


def gradients(algorithm: mo.Algorithm, problem: Any, steps: int, strategy: GradientStrategy = BACKPROP) -> list[Tensor]:
    """Gradients of :func:`loss_of` for all parameters and all floating tensors of the problem."""
    algorithm.zero_grad()
    given, rebuild = tree.partition(problem, modules=False)
    floating = [t.detach().clone().requires_grad_(t.is_floating_point() or t.is_complex()) for t in given]
    loss_of(mo.unroll(algorithm, steps, gradient=strategy)(rebuild(floating))).backward()
    inputs = list(itertools.chain(algorithm.parameters(), floating))
    return [torch.zeros_like(t) if t.grad is None else t.grad.clone() for t in inputs if t.requires_grad]


def rim_cell(channels: int = 1, dims: int = 2, stride: int = 1, kernels: tuple[int, ...] = (3,)) -> mo.updates.ConvGru:
    return mo.updates.ConvGru(channels, hidden=4, kernels=kernels, stride=stride, dims=dims)


def tiny_objective(seed: int) -> mo.Objective:
    """Two minibatches for a network of one hidden layer; its samples share one loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return mo.Objective(network, F.mse_loss, [(normal(seed + i, 5, 3), normal(seed + i + 9, 5, 2)) for i in range(2)])


def few_shot_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def few_shot_episode(seed: int) -> mo.Episode:
    return mo.Episode(normal(seed, 3, 6, 3), torch.tensor([[0, 1, 0, 1, 0, 1]] * 3), normal(seed + 1, 3, 5, 3))


def learned_adam(network: Callable[..., nn.Module]) -> nn.Module:
    """As if trained: its last layer is not 0."""
    update = seeded(lambda: mo.updates.LearnedAdam(network(hidden=3), epsilon=1e-3))
    update.network.read.weight.data = normal(0, 2, 3)
    return update


def optimizer_case(name: str, build: Callable[[], Any], open: Mapping[str, Any]) -> Case:
    steps = {f"update.{slot}": opening for slot, opening in open.items()}
    memory = None if name.startswith("sgd") else lambda state: state.memory
    return Case(name, lambda: mo.Descent(build()), tiny_objective, steps, steps=4, couples=True, memory=memory)


def positive(steps: int) -> Any:
    return mo.per_step(steps, positive=True)


def long_quadratic(seed: int) -> mo.FunctionObjective:
    return mo.FunctionObjective(quadratic, normal(seed, 3, 4))


def quadratic(x: Tensor) -> Tensor:
    return (torch.linspace(0.5, 1.5, 4, dtype=torch.float64) * (x - 1) ** 2).sum()


OPTIMIZERS = [
    optimizer_case(
        "sgd with weight decay",
        lambda: mo.updates.Sgd(0.1, 0.01),
        {"step_size": mo.per_step(4, positive=True), "weight_decay": mo.shared()},
    ),
    optimizer_case(
        "momentum",
        lambda: mo.updates.Momentum(0.1),
        {"step_size": mo.per_step(4), "momentum": mo.shared(interval=(0.0, 1.0))},
    ),
    optimizer_case(
        "nesterov", lambda: mo.updates.Nesterov(0.1), {"step_size": mo.per_step(4), "momentum": mo.shared()}
    ),
    optimizer_case(
        "adam",
        lambda: mo.updates.Adam(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "beta1": mo.shared(), "beta2": mo.shared(), "epsilon": mo.shared()},
    ),
    optimizer_case(
        "adamw",
        lambda: mo.updates.AdamW(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "weight_decay": mo.shared()},
    ),
    optimizer_case(
        "rmsprop",
        lambda: mo.updates.RMSprop(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "smoothing": mo.shared()},
    ),
    optimizer_case(
        "torch.optim.Adagrad",
        lambda: mo.updates.TorchOptim(torch.optim.Adagrad, {"lr": 0.1}),
        {"lr": mo.per_step(4)},
    ),
    Case(
        "meta-sgd",
        lambda: mo.Descent(seeded(lambda: mo.updates.MetaSgd(tiny_objective(0).start(), 0.1))),
        tiny_objective,
        {"update": mo.per_step(4)},
        steps=4,
        couples=True,
    ),
    optimizer_case(
        "coordinatewise lstm", lambda: seeded(lambda: mo.updates.CoordinatewiseLstm(3)), {"scale": positive(4)}
    ),
    optimizer_case(
        "learned adam, perceptron", lambda: learned_adam(mo.networks.Perceptron), {"step_size": positive(4)}
    ),
    optimizer_case("learned adam, recurrent", lambda: learned_adam(mo.networks.Recurrent), {"step_size": positive(4)}),
    Case(
        "few-shot adaptation",
        lambda: mo.Adaptation(seeded(few_shot_mlp), mo.updates.Sgd(0.3)),
        few_shot_episode,
        {"descent.update.step_size": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "meta-lstm",
        lambda: mo.Adaptation(seeded(few_shot_mlp), seeded(lambda: mo.updates.MetaLstm(3, 0.3))),
        few_shot_episode,
        {"descent.update": mo.per_step(4)},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "gradient descent on a plain function",
        lambda: mo.Descent(mo.updates.Sgd(0.5)),
        long_quadratic,
        {"update.step_size": mo.shared()},
        fixed_point=100,
    ),
]


def blurred_mask_problem(seed: int) -> mo.InverseProblem:
    noise = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    weights = 0.6 + 0.3 * normal(seed, 6, 8).sin()
    return mo.InverseProblem(mo.operators.Mask(weights), normal(seed + 1, 3, 1, 6, 8), noise)


def experts() -> mo.priors.FieldOfExperts:
    return mo.priors.FieldOfExperts(mo.priors.dct_filters(3).double(), weight=0.2, scale=0.5)


def learned_prox() -> mo.networks.ResidualProx:
    """As if trained: the last layer, too, has random weights."""
    prior = mo.networks.ResidualProx(hidden=3, layers=3).double()
    for parameter in prior.layers[-1].parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return prior


PRIORS = [
    Case(
        "ista",
        lambda: mo.Ista(normal(0, 5, 8), 0.3),
        lambda seed: normal(seed, 3, 5),
        {"encode": mo.shared(), "mix": mo.per_step(5), "threshold": positive(5)},
    ),
    Case(
        "coupled ista, support selected",
        lambda: mo.CoupledIsta(normal(0, 5, 8), 0.3, support=(0.1, 0.3)),
        lambda seed: normal(seed, 3, 5),
        {"weights": mo.per_step(5), "step_size": positive(5), "threshold": positive(5)},
    ),
    Case(
        "coupled ista, scheduled",
        lambda: seeded(lambda: mo.CoupledIsta(normal(0, 5, 8), 0.3, schedule=lstm_schedule())),
        lambda seed: normal(seed, 3, 5),
        {"weights": mo.shared(), "schedule": mo.shared()},
        memory=lambda state: state.memory,
    ),
    Case(
        "proximal gradient, l1",
        lambda: mo.ProximalGradient(mo.priors.Sparsity(0.5), 0.1),
        blurred_mask_problem,
        {"prior.weight": positive(4), "step_size": positive(4)},
        steps=4,
        fixed_point=1200,
    ),
    Case(
        "proximal gradient, wavelets",
        lambda: mo.ProximalGradient(mo.priors.Wavelet(0.5, levels=1), 0.1),
        blurred_mask_problem,
        {"prior.weight": mo.per_step(4), "step_size": mo.shared()},
        steps=4,
    ),
    Case(
        "fista, total variation",
        lambda: mo.Fista(mo.priors.TotalVariation(0.5, inner=3), 0.1),
        blurred_mask_problem,
        {"prior.weight": positive(4), "step_size": positive(4)},
        steps=4,
    ),
    Case(
        "fista, wavelets, complex",
        lambda: mo.Fista(mo.priors.Wavelet(0.5, levels=2, shifts=2), 0.2),
        kspace_problem,
        {"prior.weight": mo.shared(), "step_size": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "proximal gradient, network, relative step",
        lambda: seeded(lambda: mo.ProximalGradient(learned_prox(), 0.3, unit=mo.problems.noise_variance)),
        lambda seed: picture_problem(seed, 6, 7),
        {"prior": mo.per_step(3), "step_size": positive(3)},
        steps=3,
    ),
    Case(
        "map estimation, total variation",
        lambda: mo.MapEstimation(mo.priors.TotalVariation(0.5, smoothing=0.1), 0.02),
        blurred_mask_problem,
        {"prior.weight": mo.shared(positive=True), "step_size": positive(4)},
        steps=4,
    ),
    Case(
        "map estimation, complex",
        lambda: mo.MapEstimation(mo.priors.TotalVariation(0.5, smoothing=0.1), 0.02),
        kspace_problem,
        {"prior.weight": mo.per_step(4), "step_size": mo.shared()},
        steps=4,
    ),
    Case(
        "map estimation, relative step",
        lambda: mo.MapEstimation(experts(), 0.05, unit=mo.problems.noise_variance),
        lambda seed: picture_problem(seed, 6, 7),
        {"prior.weight": mo.shared(positive=True), "step_size": mo.per_step(3, positive=True)},
        steps=3,
    ),
    Case(
        "map estimation, field of experts",
        lambda: mo.MapEstimation(experts(), 0.05),
        blurred_mask_problem,
        {"prior.filters": mo.per_step(4), "prior.weight": positive(4), "step_size": mo.per_step(4)},
        steps=4,
        fixed_point=1200,
    ),
]


def as_if_trained(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Its last layer, which is zero at first, has random weights too."""

    def other() -> nn.Module:
        module = build()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.2)
        return module

    return other


INFERENCE = [
    Case(
        "belief propagation",
        lambda: mo.BeliefPropagation(0.3),
        lambda seed: loopy(seed, batch=3),
        {
            "damping": mo.per_step(4, interval=(0.0, 1.0)),
            "temperature": positive(4),
            "weight": mo.shared(positive=True),
        },
        steps=4,
    ),
    Case(
        "belief propagation, max-product",
        lambda: mo.BeliefPropagation(0.3, marginalize=mo.problems.log_max),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "belief propagation, a weight for each factor",
        lambda: mo.BeliefPropagation(0.3, weight=mo.algorithms.tree_weights(loopy(0))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "weight": mo.shared(positive=True)},
        steps=4,
        fixed_point=200,
    ),
    Case(
        "mean field",
        lambda: mo.MeanField(0.2, colors=mo.algorithms.coloring(loopy(0))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.per_step(4), "temperature": positive(4)},
        steps=4,
        fixed_point=60,
    ),
    Case(
        "belief propagation, learned damping",
        lambda: mo.BeliefPropagation(correction=seeded(as_if_trained(mo.networks.LearnedDamping))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "correction": mo.per_step(4)},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "belief propagation, neural-enhanced",
        lambda: mo.BeliefPropagation(correction=seeded(as_if_trained(lambda: mo.networks.GraphCorrection(4)))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "correction": mo.shared()},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "graph network on a factor graph",
        lambda: seeded(lambda: mo.models.GraphNetwork(4)),
        lambda seed: loopy(seed, batch=3),
        {"entries": mo.per_step(4), "move": mo.shared(), "decide": mo.shared()},
        steps=4,
        memory=lambda state: state.memory,
    ),
]


def graph_problem(seed: int, dropped_by: int | None = None) -> mo.GraphSignal:
    """Six nodes on a ring with a chord, and one alone."""
    ring = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    signal = mo.GraphSignal.from_edges(normal(seed, 7, 3), torch.cat([ring, ring.flip(0)], 1))
    return signal.with_seed(dropped_by)


def equilibrium() -> mo.Propagation:
    """Smooth, so that a long run's gradients converge as the run itself does."""
    contraction, inject = mo.networks.Contraction(3, 0.6), mo.networks.NodeEncoder((3, 3))
    return mo.Propagation(nn.Identity(), nn.Linear(3, 2), mix=contraction, inject=inject, activation=nn.Tanh())


GRAPHS = [
    Case(
        "personalised pagerank",
        lambda: mo.algorithms.personalized_pagerank(0.2),
        graph_problem,
        {"teleport": mo.per_step(5, interval=(0.0, 1.0))},
        couples=True,
    ),
    Case(
        "label propagation",
        lambda: mo.algorithms.label_propagation(0.8),
        graph_problem,
        {"teleport": mo.shared()},
        couples=True,
    ),
    Case(
        "gcn with dropout",
        lambda: seeded(lambda: mo.models.gcn(3, 2, hidden=4, layers=5).algorithm),
        lambda seed: graph_problem(seed, dropped_by=seed),
        {"encode": mo.shared(), "mix": mo.shared(), "decode": mo.shared()},
        couples=True,
    ),
    Case(
        "appnp with dropout",
        lambda: seeded(lambda: mo.models.appnp(3, 2, hidden=4).algorithm),
        lambda seed: graph_problem(seed, dropped_by=seed),
        {"teleport": mo.per_step(5)},
        couples=True,
    ),
    Case(
        "implicit gnn",
        lambda: seeded(equilibrium),
        graph_problem,
        {"mix": mo.shared(), "inject": mo.shared()},
        couples=True,
        fixed_point=120,
    ),
    Case(
        "chebyshev filter",
        lambda: mo.algorithms.heat_kernel(1.5, 5),
        graph_problem,
        {"first": mo.shared(), "coefficient": mo.per_step(5)},
        couples=True,
    ),
]

CASES = [
    *OPTIMIZERS,
    *PRIORS,
    *INFERENCE,
    *GRAPHS,
    Case(
        "rim",
        lambda: seeded(lambda: mo.Descent(rim_cell())),
        lambda seed: picture_problem(seed, 6, 5),
        {"update": mo.per_step(5)},
        memory=lambda state: state.memory,
    ),
    Case(
        "rim, noise of every pixel",
        lambda: seeded(lambda: mo.Descent(rim_cell())),
        lambda seed: uneven_noise(picture_problem(seed, 6, 5), 3, 1, 6, 5),
        {"update": mo.shared()},
        steps=3,
        memory=lambda state: state.memory,
    ),
    Case(
        "rim, noise of every frequency",
        lambda: seeded(lambda: mo.Descent(mo.updates.ComplexAsBatch(rim_cell(stride=2)))),
        lambda seed: uneven_noise(kspace_problem(seed), 1, 1, 6, 8),
        {"update": mo.shared()},
        steps=3,
        memory=lambda state: state.memory,
    ),
    Case(
        "rim at half resolution, two GRUs, complex",
        lambda: seeded(lambda: mo.Descent(mo.updates.ComplexAsChannels(rim_cell(2, stride=2, kernels=(3, 1))))),
        kspace_problem,
        {"update": mo.shared()},
        memory=lambda state: state.memory,
    ),
    Case(
        "rim in three dimensions",
        lambda: seeded(lambda: mo.Descent(rim_cell(dims=3, stride=2))),
        lambda seed: picture_problem(seed, 3, 4, 5),
        {"update": mo.per_step(3)},
        steps=3,
        memory=lambda state: state.memory,
    ),
    Case(
        "rim that reads each part",
        lambda: seeded(lambda: mo.Descent(mo.updates.ComplexAsBatch(rim_cell(stride=2)))),
        kspace_problem,
        {"update": mo.per_step(3)},
        steps=3,
        memory=lambda state: state.memory,
    ),
    Case(
        "rim that does not see its estimate",
        lambda: seeded(lambda: mo.Descent(mo.updates.WithoutEstimate(rim_cell()))),
        lambda seed: picture_problem(seed, 6, 5),
        {"update": mo.per_step(3)},
        steps=3,
        memory=lambda state: state.memory,
    ),
    Case(
        "rim without memory",
        lambda: seeded(lambda: mo.Descent(mo.updates.WithoutMemory(rim_cell(stride=2)))),
        lambda seed: picture_problem(seed, 6, 5),
        {"update": mo.shared()},
        steps=3,
    ),
    Case(
        "invertible rim",
        lambda: seeded(lambda: mo.models.irim(hidden=4, layers=2).algorithm),
        lambda seed: picture_problem(seed, 6, 5),
        {"read": mo.per_step(5), "mix": mo.per_step(5), "write": mo.per_step(5)},
        reversible=True,
        memory=lambda state: state.memory,
    ),
    Case(
        "invertible rim, complex",
        lambda: seeded(lambda: mo.models.irim(hidden=4, layers=1, stride=2, is_complex=True).algorithm),
        kspace_problem,
        {"read": mo.shared()},
        reversible=True,
        memory=lambda state: state.memory,
    ),
    Case(
        "reversible momentum",
        lambda: mo.algorithms.reversible_momentum(0.05, 0.9),
        dense_problem,
        {"mix.factor": mo.shared(positive=True), "read.factor": mo.shared()},
        reversible=True,
        memory=lambda state: state.memory,
    ),
]
