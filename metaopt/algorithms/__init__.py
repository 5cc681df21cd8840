"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .descent import Descent, DescentState

__all__ = ["Descent", "DescentState"]
