"""Linear operators A with exact adjoints, among them those of MRI, and the masks and points that sample k-space."""

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
    from .nufft import Nufft
    from .patterns import partial_fourier_mask, regular_mask
    from .poisson import poisson_disc_mask
    from .sampling import cartesian_mask, equispaced_mask, gaussian_columns_mask, gaussian_mask
    from .trajectories import radial_mask, radial_points, spiral_mask, spiral_points
    from .whitening import Whitened, Whitening, prewhiten

_LAZY = {
    "Nufft": "nufft",
    "Whitened": "whitening",
    "Whitening": "whitening",
    "cartesian_mask": "sampling",
    "equispaced_mask": "sampling",
    "gaussian_columns_mask": "sampling",
    "gaussian_mask": "sampling",
    "partial_fourier_mask": "patterns",
    "poisson_disc_mask": "poisson",
    "prewhiten": "whitening",
    "radial_mask": "trajectories",
    "radial_points": "trajectories",
    "regular_mask": "patterns",
    "spiral_mask": "trajectories",
    "spiral_points": "trajectories",
}

__all__ = [
    "Adjoint",
    "Blocks",
    "Blur",
    "CircularBlur",
    "Compose",
    "Dense",
    "Fourier",
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
    "Whitened",
    "Whitening",
    "as_operator",
    "bernoulli_projection",
    "bicubic_downsample",
    "box_downsample",
    "cartesian_mask",
    "check_adjoint",
    "equispaced_mask",
    "fourier_projection",
    "gaussian_columns_mask",
    "gaussian_dictionary",
    "gaussian_kernel",
    "gaussian_mask",
    "gaussian_projection",
    "partial_fourier_mask",
    "poisson_disc_mask",
    "prewhiten",
    "radial_mask",
    "radial_points",
    "regular_mask",
    "spectral_norm",
    "spiral_mask",
    "spiral_points",
]


def __getattr__(name: str) -> _Any:
    """Import what samples k-space when it is first asked for, as not everyone needs it."""
    if name in _LAZY:
        return getattr(_importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
