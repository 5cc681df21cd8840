"""Trained weights, each with its card; read by :func:`metaopt.models.load`."""
