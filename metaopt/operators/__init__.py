"""Linear operators A with exact adjoints, among them those of MRI and of interferometers, and what samples k-space."""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from .adapt import as_operator
from .blur import Blur, CircularBlur, gaussian_kernel
from .check import check_adjoint
from .dense import Dense
from .dictionary import gaussian_dictionary
from .downsample import Separable, bicubic_downsample, box_downsample
from .fourier import Fourier
from .identity import Identity, RealToComplex
from .linear_map import LinearMap
from .mask import Mask, Select
from .operator import Adjoint, Compose, Operator, Scaled
from .projection import Blocks, bernoulli_projection, fourier_projection, gaussian_projection
from .sense import Sense
from .sparse import SparseMatrix
from .spectral import spectral_norm

if _TYPE_CHECKING:
    from .gridded_visibilities import GriddedVisibilities
    from .imaging_weights import (
        briggs_weights,
        dirty_picture,
        natural_weights,
        point_spread,
        uniform_weights,
        uv_density,
    )
    from .nufft import Nufft
    from .patterns import partial_fourier_mask, regular_mask
    from .poisson import poisson_disc_mask
    from .sampling import cartesian_mask, equispaced_mask, gaussian_columns_mask, gaussian_mask
    from .trajectories import radial_mask, radial_points, spiral_mask, spiral_points
    from .uv import largest_cell, w_phase
    from .visibilities import Visibilities
    from .whitening import Whitened, Whitening, prewhiten
    from .wide_visibilities import WideVisibilities, visibility_operator

_LAZY = {
    "GriddedVisibilities": "gridded_visibilities",
    "Nufft": "nufft",
    "Visibilities": "visibilities",
    "Whitened": "whitening",
    "Whitening": "whitening",
    "WideVisibilities": "wide_visibilities",
    "briggs_weights": "imaging_weights",
    "cartesian_mask": "sampling",
    "dirty_picture": "imaging_weights",
    "equispaced_mask": "sampling",
    "gaussian_columns_mask": "sampling",
    "gaussian_mask": "sampling",
    "largest_cell": "uv",
    "natural_weights": "imaging_weights",
    "partial_fourier_mask": "patterns",
    "point_spread": "imaging_weights",
    "poisson_disc_mask": "poisson",
    "prewhiten": "whitening",
    "radial_mask": "trajectories",
    "radial_points": "trajectories",
    "regular_mask": "patterns",
    "spiral_mask": "trajectories",
    "spiral_points": "trajectories",
    "uniform_weights": "imaging_weights",
    "uv_density": "imaging_weights",
    "visibility_operator": "wide_visibilities",
    "w_phase": "uv",
}

__all__ = [
    "Adjoint",
    "Blocks",
    "Blur",
    "CircularBlur",
    "Compose",
    "Dense",
    "Fourier",
    "GriddedVisibilities",
    "Identity",
    "LinearMap",
    "Mask",
    "Nufft",
    "Operator",
    "RealToComplex",
    "Scaled",
    "Select",
    "Sense",
    "Separable",
    "SparseMatrix",
    "Visibilities",
    "Whitened",
    "Whitening",
    "WideVisibilities",
    "as_operator",
    "bernoulli_projection",
    "bicubic_downsample",
    "box_downsample",
    "briggs_weights",
    "cartesian_mask",
    "check_adjoint",
    "dirty_picture",
    "equispaced_mask",
    "fourier_projection",
    "gaussian_columns_mask",
    "gaussian_dictionary",
    "gaussian_kernel",
    "gaussian_mask",
    "gaussian_projection",
    "largest_cell",
    "natural_weights",
    "partial_fourier_mask",
    "point_spread",
    "poisson_disc_mask",
    "prewhiten",
    "radial_mask",
    "radial_points",
    "regular_mask",
    "spectral_norm",
    "spiral_mask",
    "spiral_points",
    "uniform_weights",
    "uv_density",
    "visibility_operator",
    "w_phase",
]


def __getattr__(name: str) -> _Any:
    """Import what samples k-space or the (u, v) plane when it is first asked for, as not everyone needs it."""
    if name in _LAZY:
        return getattr(_importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
