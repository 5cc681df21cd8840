"""Calls of what prepares k-space of MRI."""

import torch

import metaopt as mo
from metaopt.applications import mri

from . import NOT_A_CALL, Call


def kspace():
    return torch.view_as_complex(torch.randn(1, 2, 16, 16, 2, generator=torch.Generator().manual_seed(0)))


def problem():
    mask = torch.ones(16, 16)
    return mo.InverseProblem(mo.operators.Fourier(mask, centred=True), kspace()[:, :1], 0.1)


MRI = {
    "CoilMaps": NOT_A_CALL,
    "Compressed": NOT_A_CALL,
    "Reconstruction": NOT_A_CALL,
    "Request": NOT_A_CALL,
    "ResidualMaps": NOT_A_CALL,
    "Settings": Call(mri.Settings, lambda: {"method": "cs", "network": "mri", "steps": 3, "weight": 1.0}),
    "border_noise": Call(
        mri.border_noise, lambda: {"kspace": kspace(), "share": 0.5, "readout": -1, "centred": True}, torch.linalg.inv
    ),
    "calibration_region": Call(mri.calibration_region, lambda: {"mask": torch.ones(6, 8)}),
    "cg_sense": Call(mri.cg_sense, lambda: {"problem": problem(), "weight": 0.1, "max_steps": 2}),
    "compress_coils": Call(mri.compress_coils, lambda: {"kspace": kspace(), "coils": 1}),
    "describe": NOT_A_CALL,  # it takes a file that was opened, and so do the other commands; tests/cli tries them
    "espirit": Call(
        mri.espirit, lambda: {"kspace": kspace(), "calibration": 8, "kernel": 3, "sets": 2, "centred": True}
    ),
    "l1_wavelet": Call(mri.l1_wavelet, lambda: {"problem": problem(), "weight": 0.1, "levels": 2, "max_steps": 2}),
    "noise_covariance": Call(mri.noise_covariance, lambda: {"noise": kspace()[0]}),
    "reconstruct": NOT_A_CALL,
    "reconstruct_file": NOT_A_CALL,
    "residual_maps": Call(mri.residual_maps, lambda: {"problem": problem(), "x": kspace()[:, :1]}),
    "root_sum_of_squares": Call(mri.root_sum_of_squares, lambda: {"pictures": kspace()}),
    "simulate_file": NOT_A_CALL,
    "total_variation": Call(
        mri.total_variation, lambda: {"problem": problem(), "weight": 0.1, "isotropic": True, "max_steps": 2}
    ),
    "zero_filled": Call(mri.zero_filled, lambda: {"problem": problem()}),
}
