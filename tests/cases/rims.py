"""Recurrent Inference Machines, and descent that can be undone."""

from __future__ import annotations

import metaopt as mo

from ..helpers import Case, seeded
from .problems import dense_problem, kspace_problem, picture_problem, uneven_noise


def rim_cell(channels: int = 1, dims: int = 2, stride: int = 1, kernels: tuple[int, ...] = (3,)) -> mo.updates.ConvGru:
    return mo.updates.ConvGru(channels, hidden=4, kernels=kernels, stride=stride, dims=dims)


RIMS = [
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
        "rim held to its data",
        lambda: seeded(lambda: mo.models.data_consistent(mo.models.rim(hidden=4, is_complex=True), 0.3).algorithm),
        kspace_problem,
        {"trust": mo.per_step(3), "algorithm.update": mo.shared()},
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
