"""Whole pipelines, made of the rest of the library."""
