"""Calls of what interferometers measure."""

import torch

from metaopt import operators as ops
from metaopt.applications import radio

from . import NOT_A_CALL, Call


def baselines():
    return {
        "uvw": 10 * torch.tensor([[1.0, 2, 0], [3, -1, 0], [-2, 2, 0], [0, 4, 0]], dtype=torch.float64),
        "frequency": torch.tensor([1.4e9, 1.3e9], dtype=torch.float64),
    }


def geometry():
    return {**baselines(), "shape": (6, 4), "cell": 1e-3}


def weighed():
    return {**baselines(), "weights": torch.ones(4, 2), "shape": (6, 4), "cell": 1e-3}


def full():
    return {**geometry(), "weights": torch.ones(4, 2), "beam": torch.ones(6, 4), "planes": 1}


def operator():
    return ops.Visibilities(**full())


def picture():
    return torch.ones(1, 1, 6, 4, dtype=torch.float64)


def bell():
    side = torch.arange(-8, 9, dtype=torch.float64)
    return torch.exp(-(side[:, None].square() + side.square()) / 6)


def density():
    return ops.uv_density(**weighed())


VISIBILITIES = {
    "Visibilities": Call(ops.Visibilities, lambda: {**full(), "tolerance": 1e-6}, lambda made: made.normal(picture())),
    "check_fields": NOT_A_CALL,
    "convolve": NOT_A_CALL,
    "fitting": NOT_A_CALL,
    "fitting_samples": NOT_A_CALL,
    "pixel_gain": NOT_A_CALL,
    "weigh": NOT_A_CALL,
    "whitened": NOT_A_CALL,
}
WIDE_VISIBILITIES = {
    "WideVisibilities": Call(
        ops.WideVisibilities, lambda: {**full(), "tolerance": 1e-6}, lambda made: made.normal(picture())
    ),
    "visibility_operator": Call(ops.visibility_operator, full, lambda made: made.normal(picture())),
}
UV = {
    "check_baselines": NOT_A_CALL,
    "check_geometry": NOT_A_CALL,
    "check_weights": NOT_A_CALL,
    "direction_cosines": NOT_A_CALL,
    "inverse_n": NOT_A_CALL,
    "known": NOT_A_CALL,
    "largest_cell": Call(ops.largest_cell, baselines),
    "seconds": NOT_A_CALL,
    "w_phase": Call(ops.w_phase, geometry),
}
IMAGING_WEIGHTS = {
    "briggs_weights": Call(ops.briggs_weights, lambda: {**weighed(), "robust": 0.5, "density": density()}),
    "dirty_picture": Call(
        ops.dirty_picture,
        lambda: {
            "operator": operator(),
            "visibilities": operator()(picture()),
            "weights": torch.ones(4, 2),
        },
    ),
    "natural_weights": Call(ops.natural_weights, lambda: {"weights": torch.ones(4, 2)}),
    "point_spread": Call(ops.point_spread, lambda: {"operator": operator(), "weights": torch.ones(4, 2)}),
    "uniform_weights": Call(ops.uniform_weights, lambda: {**weighed(), "density": density()}),
    "uv_density": Call(ops.uv_density, weighed),
}
RADIO = {
    "Fact": NOT_A_CALL,
    "Imaged": NOT_A_CALL,
    "Imaging": Call(
        radio.Imaging,
        lambda: {
            "method": "clean",
            "weighting": "briggs",
            "robust": 0.5,
            "network": "radio",
            "steps": 3,
            "weight": None,
        },
    ),
    "Observation": Call(radio.Observation, lambda: {"array": "atca", "channels": 2}),
    "Request": Call(radio.Request, lambda: {"size": 32, "cell": 1e-5, "channels": (0, 2), "planes": 1, "workers": 2}),
    "Source": NOT_A_CALL,  # it names a file, as describe and the other commands take one; tests/applications try them
    "describe": NOT_A_CALL,
    "fit_beam": Call(radio.fit_beam, lambda: {"point": bell(), "cell": 1e-5}),
    "image_file": NOT_A_CALL,
    "restore": Call(
        radio.restore, lambda: {"model": bell(), "residual": bell(), "beam": (4e-5, 3e-5, 0.5), "cell": 1e-5}
    ),
    "simulate": NOT_A_CALL,
    "simulate_file": NOT_A_CALL,
}
