"""Benchmarks: one module a claim; each runs alone by ``python -m benchmarks.NAME`` and writes its results."""
