"""What the recipe costs: the parts of ``benchmarks.recipe``, one module a table."""
