"""Priors say what is known of x apart from the measurement."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
from .cycle_spinning import CycleSpinning
from .field_of_experts import FieldOfExperts, dct_filters
from .prior import Prior, Sparsity
from .total_variation import TotalVariation
from .wavelet import HAAR, SYM4, Wavelet

if TYPE_CHECKING:
    from .non_negative import NonNegative

__all__ = [
    "HAAR",
    "SYM4",
    "CycleSpinning",
    "FieldOfExperts",
    "NonNegative",
    "Prior",
    "Sparsity",
    "TotalVariation",
    "Wavelet",
    "dct_filters",
]

__getattr__ = on_demand(__name__, {"NonNegative": ".non_negative"})
