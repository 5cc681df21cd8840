"""The command line: one file for each command of ``metaopt``."""

from .program import main

__all__ = ["main"]
