"""Six solvers that were not written for this library: each as its textbook has it, and wrapped."""

from . import chambolle_pock, conjugate_gradient, poisson, richardson_lucy, sinkhorn
from .case import SPAN, Case, Setting, inside

# With the slots of the textbook's own numbers alone, for what the learned stencils bring.
WITHOUT_STENCIL = [poisson.CHEBYSHEV.without("smoothing"), chambolle_pock.CASE.without("smoothing")]

CASES = [
    poisson.SOR,
    poisson.CHEBYSHEV,
    conjugate_gradient.CASE,
    sinkhorn.CASE,
    richardson_lucy.CASE,
    chambolle_pock.CASE,
]

__all__ = ["CASES", "SPAN", "WITHOUT_STENCIL", "Case", "Setting", "inside"]
