"""Readers: pictures, volumes and folders of them, graphical models, codes."""

from .alist import read_alist, read_generator
from .digits import read_digits, read_mnist
from .folders import data_path, read_pictures, read_slices
from .images import Picture, check_writable, read_image, write_image
from .omniglot import read_omniglot
from .planetoid import read_planetoid
from .uai import UaiModel, read_evidence, read_uai, write_evidence, write_uai
from .uai_answers import (
    read_assignment,
    read_log10_z,
    read_marginals,
    write_assignment,
    write_log10_z,
    write_marginals,
)
from .uai_graphs import factor_graph, uai_model

__all__ = [
    "Picture",
    "UaiModel",
    "check_writable",
    "data_path",
    "factor_graph",
    "read_alist",
    "read_assignment",
    "read_digits",
    "read_evidence",
    "read_generator",
    "read_image",
    "read_log10_z",
    "read_marginals",
    "read_mnist",
    "read_omniglot",
    "read_pictures",
    "read_planetoid",
    "read_slices",
    "read_uai",
    "uai_model",
    "write_assignment",
    "write_evidence",
    "write_image",
    "write_log10_z",
    "write_marginals",
    "write_uai",
]
