"""Algorithms of sparse coding and of priors."""

from __future__ import annotations

import torch
from torch import nn

import metaopt as mo

from ..helpers import Case, normal, positive, seeded
from .problems import (
    blurred_mask_problem,
    coils_problem,
    dense_problem,
    frequencies_problem,
    kspace_problem,
    picture_problem,
    uneven_noise,
)


def lstm_schedule() -> nn.Module:
    """One whose factors are not 1, as if trained."""
    schedule = mo.networks.LstmSchedule(3)
    nn.init.normal_(schedule.read.weight, std=0.3)
    return schedule


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
        "fista, wavelets, not negative",
        lambda: mo.Fista(mo.priors.NonNegative(mo.priors.Wavelet(0.5, levels=1), inner=2), 0.1),
        blurred_mask_problem,
        {"prior.prior.weight": positive(4), "step_size": positive(4)},
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
        "fista, wavelets, spinning, two coils",
        lambda: mo.Fista(mo.priors.CycleSpinning(mo.priors.Wavelet(0.5, levels=1), span=2), 0.02),
        coils_problem,
        {"prior.prior.weight": mo.per_step(4), "step_size": positive(4)},
        steps=4,
    ),
    Case(
        "clean",
        lambda: mo.algorithms.Clean(
            0.3, 0.5, 0.5, (0.0, 3.0), torch.tensor([1.0, 0.8], dtype=torch.float64), softness=0.3
        ),
        frequencies_problem,
        {name: positive(4) for name in ("gain", "share", "threshold", "bias")},
        steps=4,
    ),
    Case(
        "deconvolution",
        lambda: mo.algorithms.Deconvolution(seeded(lambda: mo.updates.ConvGru(2, 3, (1,), context=0)).double(), 0.5, 3),
        frequencies_problem,
        {"trust": positive(3)},
        steps=3,
    ),
    Case(
        "conjugate gradient",
        lambda: mo.ConjugateGradient(0.4),
        dense_problem,
        {"weight": positive(3)},
        steps=3,
    ),
    Case(
        "conjugate gradient, two coils and two sets, noise of every frequency",
        lambda: mo.ConjugateGradient(0.4),
        lambda seed: uneven_noise(coils_problem(seed), 3, 2, 6, 8),
        {"weight": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "primal-dual, total variation",
        lambda: mo.PrimalDual(mo.priors.TotalVariation(0.02), 0.1, ratio=2.0),
        blurred_mask_problem,
        {"prior.weight": positive(4), "step_size": positive(4), "ratio": mo.shared(positive=True)},
        steps=4,
    ),
    Case(
        "primal-dual, two coils",
        lambda: mo.PrimalDual(mo.priors.TotalVariation(0.02, isotropic=False, periodic=True), 0.1),
        coils_problem,
        {"prior.weight": mo.per_step(4), "step_size": mo.shared(), "ratio": positive(4)},
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
        fixed_point=1500,
    ),
]
