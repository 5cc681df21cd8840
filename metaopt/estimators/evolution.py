"""Estimate gradients by evolution strategies, from the change of a loss under random changes of the parameters.

They need no graph, so their memory does not grow with the number of steps, and they work for steps without a useful
derivative. All pairs of runs are computed at once by ``vmap``, or one after another where an operation in them cannot
be, such as a sparse product or the cell of an LSTM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ..arguments.checks import said
from ..arguments.contracts import Between, Natural, Positive, checked
from ..core import MetaoptError, Unrolled, autodiff, random, tree
from ..foundation.purity import Reads, leaves
from ..losses import TrainingLoss
from ..losses.training_loss import check_training_loss, evaluate
from ..problems.substitution import check_kept, check_network

Tensors = dict[str, Tensor]
Pairs = Annotated[int, Between(2)]


@dataclass(frozen=True, eq=False)
class Particles:
    """Hold pairs of runs in progress.

    Args:
        states: The states of all runs, stacked, (2N, ...): first those with the perturbations added, then their
            opposites. None before the first step: each run then has the start that its own parameters give.
        perturbations: The sum of the perturbations that each pair has had so far, (N, ...), by the parameter's name.
        k: The next step.
    """

    states: Any
    perturbations: Tensors
    k: int


@dataclass(frozen=True, eq=False)
class Estimate:
    """Hold what the pairs say about one piece of a run.

    Args:
        gradients: Gradients by the names of ``net.named_parameters()``.
        errors: Their standard errors over the pairs.
        loss: The mean loss over the runs.
        particles: The runs, from which the next call of :func:`pes` continues.
    """

    gradients: Tensors
    errors: Tensors
    loss: Tensor
    particles: Particles

    def assign(self, net: nn.Module) -> None:
        """Write the gradients to the parameters of ``net``, where an optimizer reads them.

        Args:
            net: The network.
        """
        for name, parameter in net.named_parameters():
            if name in self.gradients:
                parameter.grad = self.gradients[name].clone()


@checked
def es(
    net: Unrolled[Any, Any, Any],
    problem: Any,
    loss: TrainingLoss,
    *,
    pairs: Pairs,
    sigma: Positive,
    seed: int,
    target: Any = None,
    state: Any = None,
    start: Natural = 0,
) -> Estimate:
    """Estimate the gradient of ``E[loss(net(problem))]`` under Gaussian changes of the parameters, by antithetic pairs.

    The estimate is ``g = 1 / (N sigma^2) sum_i e_i (L(theta + e_i) - L(theta - e_i)) / 2`` with e_i ~ N(0, sigma^2). It
    is unbiased for the loss smoothed by that Gaussian. If a run is computed in pieces, it misses the effect of a piece
    on later ones, like truncated backpropagation; :func:`pes` includes it.

    Args:
        net: The unrolled network.
        problem: The problem.
        loss: The training loss ``loss(net, trajectory, problem, target)`` of one piece. The sum over the pieces is
            minimised.
        pairs: Number N of pairs, at least 2.
        sigma: Standard deviation of the perturbations, positive.
        seed: Seed of the perturbations.
        target: What the loss gets as the target.
        state: The state from which the piece starts. None: the algorithm's own start.
        start: The number of the first step.

    Returns:
        The estimate.

    Raises:
        MetaoptError: There are fewer than two pairs, sigma is not positive, no parameter is learned, or the loss is not
            one finite number.

    Source:
        Salimans et al., arXiv:1703.03864.
    """
    particles = _begin(net, problem, pairs, sigma, state, start)
    return pes(net, problem, loss, pairs=pairs, sigma=sigma, seed=seed, target=target, particles=particles)


@torch.no_grad()
@checked
def pes(
    net: Unrolled[Any, Any, Any],
    problem: Any,
    loss: TrainingLoss,
    *,
    pairs: Pairs,
    sigma: Positive,
    seed: int,
    target: Any = None,
    particles: Particles | None = None,
) -> Estimate:
    """Estimate the gradient by persistent evolution strategies: :func:`es` for runs in pieces, without truncation bias.

    Every pair of runs keeps its own two states from piece to piece, is perturbed anew in each piece, and weighs the
    losses of a piece by the sum x_i of all its perturbations so far: ``g = 1 / (N sigma^2) sum_i x_i (L_i+ - L_i-) /
    2``. The gradients of the pieces of a run add up to that of the whole run.

    Args:
        net: The unrolled network.
        problem: The problem.
        loss: The training loss of one piece, as for :func:`es`.
        pairs: Number N of pairs, at least 2.
        sigma: Standard deviation of the perturbations, positive.
        seed: Seed of the perturbations. Every piece needs another one.
        target: What the loss gets as the target.
        particles: Those of the last estimate, from which the run continues for ``net.steps`` steps. None: a run begins.

    Returns:
        The estimate.

    Raises:
        MetaoptError: As for :func:`es`.

    Source:
        Vicol, Metz and Sohl-Dickstein, arXiv:2112.13835.
    """
    if particles is None:
        particles = _begin(net, problem, pairs, sigma)
    check_training_loss(loss)
    parameters = _learned(net)
    generator = random.generator(seed, particles.k)  # every piece draws its own
    change = {
        name: sigma * torch.randn(pairs, *p.shape, generator=generator, dtype=p.dtype).to(p.device)
        for name, p in parameters.items()
    }
    both = {name: torch.cat([parameters[name] + c, parameters[name] - c]) for name, c in change.items()}

    places = {id(p): name for name, p in net.named_parameters() if name in parameters}
    shared = any(id(t) in places for t in tree.leaves(problem))

    def run(values: Tensors, state: Any) -> tuple[Tensor, Any]:
        perturbed: Any = _put(net, values)
        given = tree.map(lambda t: values[places[id(t)]] if id(t) in places else t, problem) if shared else problem
        trajectory = perturbed(given, state=state, start=particles.k)
        return evaluate(loss, perturbed, trajectory, given, target), trajectory.state

    losses, states = tree.vmap(run)(both, particles.states)
    if not bool(torch.isfinite(losses).all()):
        raise MetaoptError(
            f"The loss of {int((~torch.isfinite(losses)).sum())} of {2 * pairs} runs is not finite after step "
            f"{particles.k + net.steps}; lower sigma, or begin a new run."
        )
    total = {name: particles.perturbations[name] + c for name, c in change.items()}
    slope = (losses[:pairs] - losses[pairs:]) / (2 * sigma**2)
    single = {name: slope.to(t).reshape(-1, *[1] * (t.ndim - 1)) * t for name, t in total.items()}
    return Estimate(
        {name: t.mean(0) for name, t in single.items()},
        {name: t.std(0) / pairs**0.5 for name, t in single.items()},
        losses.mean(),
        replace(particles, states=states, perturbations=total, k=particles.k + net.steps),
    )


def _begin(net: Any, problem: Any, pairs: Pairs, sigma: float, state: Any = None, start: int = 0) -> Particles:
    """Return runs that have not been perturbed yet."""
    learned = _learned(net)
    if state is not None:
        _check_state(net.algorithm.init(problem), state)
    _check_seen(net, learned, problem, state, start)
    nothing = {name: p.new_zeros(pairs, *p.shape) for name, p in learned.items()}
    states = tree.map(lambda t: t.detach().expand(2 * pairs, *t.shape).clone(), state)
    return Particles(states, nothing, start)


def _put(net: nn.Module, values: Tensors) -> nn.Module:
    """Return the network with these parameters and copies of its buffers, so that a run changes nothing."""
    return tree.substitute(net, {**{name: b.clone() for name, b in net.named_buffers()}, **values})


def _check_seen(net: Any, learned: Tensors, problem: Any, state: Any, k: int) -> None:
    """Raise if the start and a step read a parameter past the module that has it, keep it, or write into it."""
    inputs, own = tree.leaves((problem, state)), list(net.named_parameters())
    changed = {n: autodiff.leaf(p.clone(), True) for n, p in learned.items()}

    def run() -> Any:
        algorithm: Any = getattr(_put(net, changed), "algorithm")  # noqa: B009
        begin = algorithm.init(problem) if state is None else state
        return (after := algorithm.step(problem, begin, k)), algorithm.readout(problem, after, k)

    foreign = [(name, p) for name, p in own if name in learned]
    with torch.enable_grad(), Reads([*inputs, *changed.values()], foreign) as seen:
        reached = run()
    check_kept(type(net.algorithm).__name__, changed, learned, seen, run)
    names, known = {id(p): name for name, p in own}, set(map(id, inputs))
    found = [names[id(t)] for t in leaves(tree.leaves(reached)) if id(t) in names and id(t) not in known]
    if name := seen.found or next(iter(found), None):
        raise MetaoptError(
            f"A step reads the parameter '{name}' past the module that has it, as by a global name, so its changes "
            "would not be seen; reach it by submodules."
        )


def _check_state(begin: Any, state: Any) -> None:
    own, given = ({n: tree.describe(t) for n, t in tree.named_leaves(s, "state")} for s in (begin, state))
    if type(state) is not type(begin) or own != given:
        raise MetaoptError(f"The state to start from must hold {own}, but got {said(state)} of {given or 'no tensor'}.")


def _learned(net: nn.Module) -> Tensors:
    check_network(net)
    parameters = {name: p.detach() for name, p in net.named_parameters() if p.requires_grad}
    if not parameters:
        raise MetaoptError("There is nothing to learn: no parameter of the network requires a gradient; open a slot.")
    return parameters
