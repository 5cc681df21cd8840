"""Priors say what is known of x apart from the measurement."""

from .cycle_spinning import CycleSpinning
from .field_of_experts import FieldOfExperts, dct_filters
from .prior import Prior, Sparsity
from .total_variation import TotalVariation
from .wavelet import HAAR, SYM4, Wavelet

__all__ = [
    "HAAR",
    "SYM4",
    "CycleSpinning",
    "FieldOfExperts",
    "Prior",
    "Sparsity",
    "TotalVariation",
    "Wavelet",
    "dct_filters",
]
