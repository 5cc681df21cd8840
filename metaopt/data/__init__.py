"""Readers: pictures, volumes, and folders of them."""

from .digits import read_digits, read_mnist
from .folders import data_path, read_pictures, read_slices
from .images import Picture, check_writable, read_image, write_image
from .omniglot import read_omniglot
from .planetoid import read_planetoid

__all__ = [
    "Picture",
    "check_writable",
    "data_path",
    "read_digits",
    "read_image",
    "read_mnist",
    "read_omniglot",
    "read_pictures",
    "read_planetoid",
    "read_slices",
    "write_image",
]
