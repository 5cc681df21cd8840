"""Simulate what radio interferometers observe: where they measure and how much noise there is."""

from .coverage import Coverage, synthesize

__all__ = ["Coverage", "synthesize"]
