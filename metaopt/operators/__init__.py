"""Linear operators A with exact adjoints: dense, sparse, masks, Fourier, blur, downsampling and random projections."""

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
from .sampling import cartesian_mask, gaussian_mask
from .sense import Sense
from .sparse import SparseMatrix
from .spectral import spectral_norm

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
    "Operator",
    "RealToComplex",
    "Scaled",
    "Select",
    "Sense",
    "Separable",
    "SparseMatrix",
    "as_operator",
    "bernoulli_projection",
    "bicubic_downsample",
    "box_downsample",
    "cartesian_mask",
    "check_adjoint",
    "fourier_projection",
    "gaussian_dictionary",
    "gaussian_kernel",
    "gaussian_mask",
    "gaussian_projection",
    "spectral_norm",
]
