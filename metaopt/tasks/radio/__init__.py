"""Simulate what radio interferometers observe: where they measure, how much noise there is, and what calibrates it."""

from .arrays import array_names, band, read_array, sefd
from .closure import (
    Closures,
    closure_phase_chi2,
    closure_phases,
    closure_quadrangles,
    closure_triangles,
    log_closure_amplitudes,
    log_closure_chi2,
)
from .coverage import Coverage, synthesize
from .noise import add_thermal_noise, thermal_noise

__all__ = [
    "Closures",
    "Coverage",
    "add_thermal_noise",
    "array_names",
    "band",
    "closure_phase_chi2",
    "closure_phases",
    "closure_quadrangles",
    "closure_triangles",
    "log_closure_amplitudes",
    "log_closure_chi2",
    "read_array",
    "sefd",
    "synthesize",
    "thermal_noise",
]
