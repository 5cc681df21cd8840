"""Calls of the operators, masks and trajectories that sample k-space."""

import torch

from metaopt import operators as ops

from . import NOT_A_CALL, Call


def coils():
    return torch.ones(1, 2, 4, 4, dtype=torch.complex64)


def draw():
    return {"shape": (8, 8), "acceleration": 2.0, "center_fraction": 0.1, "seed": 0, "centred": True}


NUFFT = {
    "Nufft": Call(
        ops.Nufft,
        lambda: {"points": torch.linspace(-0.4, 0.4, 10).view(5, 2), "shape": (4, 4), "tolerance": 1e-6},
        lambda nufft: nufft.normal(coils()),
    ),
}
PATTERNS = {
    "partial_fourier_mask": Call(
        ops.partial_fourier_mask,
        lambda: {"shape": (8, 8), "share": 0.75, "axis": -1, "mask": torch.ones(8, 8), "centred": True},
    ),
    "regular_mask": Call(
        ops.regular_mask,
        lambda: {"shape": (8, 8), "every": 2, "center": 2, "offset": 1, "elliptical": True, "centred": True},
    ),
}
POISSON = {"poisson_disc_mask": Call(ops.poisson_disc_mask, lambda: {**draw(), "falloff": 2.0, "elliptical": True})}
SAMPLING = {
    "cartesian_mask": Call(ops.cartesian_mask, draw),
    "check_request": NOT_A_CALL,
    "check_room": NOT_A_CALL,
    "check_shape": NOT_A_CALL,
    "count_of": NOT_A_CALL,
    "draw": NOT_A_CALL,
    "equispaced_mask": Call(ops.equispaced_mask, draw),
    "gaussian_columns_mask": Call(ops.gaussian_columns_mask, lambda: {**draw(), "width": 0.7}),
    "gaussian_mask": Call(ops.gaussian_mask, lambda: {**draw(), "width": 0.7}),
    "placed": NOT_A_CALL,
    "squared_radius": NOT_A_CALL,
}
TRAJECTORIES = {
    "radial_mask": Call(ops.radial_mask, draw),
    "radial_points": Call(
        ops.radial_points, lambda: {"spokes": 3, "samples": 4, "angle": 0.5, "start": 0.1, "dims": 2}
    ),
    "spiral_mask": Call(ops.spiral_mask, draw),
    "spiral_points": Call(
        ops.spiral_points, lambda: {"interleaves": 3, "samples": 4, "turns": 2.0, "power": 1.0, "start": 0.1}
    ),
}
WHITENING = {
    "Whitened": NOT_A_CALL,
    "Whitening": Call(
        ops.Whitening, lambda: {"covariance": torch.eye(2, dtype=torch.complex64)}, lambda white: white(coils())
    ),
    "prewhiten": Call(
        ops.prewhiten, lambda: {"kspace": coils(), "sense": ops.Sense(coils()), "covariance": torch.eye(2)}
    ),
}
