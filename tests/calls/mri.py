"""Calls of what prepares k-space of MRI."""

import torch

from metaopt.applications import mri

from . import NOT_A_CALL, Call


def kspace():
    return torch.view_as_complex(torch.randn(1, 2, 16, 16, 2, generator=torch.Generator().manual_seed(0)))


MRI = {
    "CoilMaps": NOT_A_CALL,
    "Compressed": NOT_A_CALL,
    "border_noise": Call(
        mri.border_noise, lambda: {"kspace": kspace(), "share": 0.5, "readout": -1, "centred": True}, torch.linalg.inv
    ),
    "calibration_region": Call(mri.calibration_region, lambda: {"mask": torch.ones(6, 8)}),
    "compress_coils": Call(mri.compress_coils, lambda: {"kspace": kspace(), "coils": 1}),
    "espirit": Call(
        mri.espirit, lambda: {"kspace": kspace(), "calibration": 8, "kernel": 3, "sets": 2, "centred": True}
    ),
    "noise_covariance": Call(mri.noise_covariance, lambda: {"noise": kspace()[0]}),
}
