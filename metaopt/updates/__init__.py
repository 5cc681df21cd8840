"""Updates: rules that turn a gradient into a change of x."""

from .conv_gru import ConvGru, GruCell, RealImaginary
from .update import Update

__all__ = ["ConvGru", "GruCell", "RealImaginary", "Update"]
