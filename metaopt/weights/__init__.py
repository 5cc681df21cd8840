"""Weights: trained networks in files, their cards, and the weights that come with the package."""

from .calls import build
from .cards import load, read_card, read_weights, save, shipped
from .tensors import load_tensors, save_tensors

__all__ = ["build", "load", "load_tensors", "read_card", "read_weights", "save", "save_tensors", "shipped"]
