"""Unrolled proximal gradient descent with networks."""

from __future__ import annotations

import torch

import metaopt as mo
from metaopt.models import load, proximal_net
from metaopt.records import record_of

from ..cases.problems import picture_problem
from ..helpers import normal, seeded


def test_before_training_it_is_gradient_descent_in_units_of_the_noise() -> None:
    """Its networks are the identity then; the step size is half of noise^2."""
    problem = picture_problem(0, 6, 7)
    net = seeded(lambda: proximal_net(hidden=3, layers=3, steps=3)).double()
    x = problem.start()
    for output in net(problem).outputs:
        x = x - 0.5 * problem.noise.reshape(-1, 1, 1, 1) ** 2 * problem.gradient(x)
        torch.testing.assert_close(output, x)


def test_the_prox_knows_how_strong_it_is_to_be_for_every_sample() -> None:
    prior = seeded(lambda: mo.networks.ResidualProx(hidden=4, layers=3)).double()
    for parameter in prior.layers[-1].parameters():
        torch.nn.init.normal_(parameter)
    x, step = normal(0, 2, 1, 6, 5), torch.tensor([0.1, 0.4]).double().reshape(2, 1, 1, 1)
    both, each = prior.prox(x, step), [prior.prox(x[i : i + 1], float(step[i])) for i in range(2)]
    torch.testing.assert_close(both, torch.cat(each))
    assert (both - prior.prox(x, 0.1)).abs().max() > 1e-3


def test_every_step_learns_a_network_of_its_own_that_denoises() -> None:
    torch.manual_seed(0)
    net = proximal_net(hidden=8, layers=3, steps=2)
    target = torch.linspace(0, 1, 12).expand(4, 1, 12, 12).contiguous()
    problem = mo.InverseProblem(mo.operators.Identity(), target + 0.2 * torch.randn_like(target), 0.2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = mo.mse(net(problem).final, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    first, second = net.algorithm.prior.content()
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)


def test_it_has_the_size_of_the_shipped_denoiser() -> None:
    sizes = [sum(p.numel() for p in net.parameters()) for net in (proximal_net(), load("denoise_grey"))]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01
    assert record_of(proximal_net(layers=2))["call"] == "metaopt.models.proximal_net"
