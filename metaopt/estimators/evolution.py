"""Estimate gradients by evolution strategies, from the change of a loss under random changes of the parameters.

They need no graph, so their memory does not grow with the number of steps, and they work for steps without a useful
derivative. All pairs of runs are computed at once by ``vmap``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ..contracts import Between, Natural, Positive, checked
from ..core import MetaoptError, Unrolled, random, tree
from ..losses import TrainingLoss
from ..losses.training_loss import check_training_loss, evaluate

Tensors = dict[str, Tensor]
Pairs = Annotated[int, Between(2)]


@dataclass(frozen=True, eq=False)
class Particles:
    """Hold pairs of runs in progress.

    Args:
        states: The states of all runs, stacked, (2N, ...): first those with the perturbations added, then their
            opposites.
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

    def run(values: Tensors, state: Any) -> tuple[Tensor, Any]:
        perturbed: Any = tree.substitute(net, values)
        trajectory = perturbed(problem, state=state, start=particles.k)
        return evaluate(loss, perturbed, trajectory, problem, target), trajectory.state

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
    nothing = {name: p.new_zeros(pairs, *p.shape) for name, p in _learned(net).items()}
    begin = net.algorithm.init(problem) if state is None else state
    return Particles(tree.map(lambda t: t.detach().expand(2 * pairs, *t.shape).clone(), begin), nothing, start)


def _learned(net: nn.Module) -> Tensors:
    parameters = {name: p.detach() for name, p in net.named_parameters() if p.requires_grad}
    if not parameters:
        raise MetaoptError("There is nothing to learn: no parameter of the network requires a gradient; open a slot.")
    return parameters
