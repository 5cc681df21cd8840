"""Gradient strategies, re-exported from :mod:`metaopt.core.gradients`."""

from .core.gradients import *  # noqa: F403
from .core.gradients import __all__ as __all__
