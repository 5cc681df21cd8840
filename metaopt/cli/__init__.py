"""Define the command line ``metaopt``, with one file for each command."""

from .program import main

__all__ = ["main"]
