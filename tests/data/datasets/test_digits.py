"""Digits: what the files hold, and what is said of those that hold something else."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.data import read_digits, read_mnist


def write(path: Path, kind: int, values: np.ndarray) -> None:
    path.write_bytes(gzip.compress(struct.pack(f">{values.ndim + 1}I", kind, *values.shape) + values.tobytes()))


def test_mnist_is_read_from_its_own_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    write(tmp_path / "t10k-images-idx3-ubyte.gz", 0x803, pixels)
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", 0x801, np.arange(5, dtype=np.uint8))
    images, labels = read_mnist(tmp_path)
    assert images.shape == (5, 1, 28, 28)
    np.testing.assert_array_equal((images[:, 0] * 255).round().numpy(), pixels)
    assert labels.tolist() == list(range(5))
    assert labels.dtype == torch.int64
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", 0x801, np.arange(4, dtype=np.uint8))
    with pytest.raises(mo.MetaoptError, match="5 images of t10k, but 4 labels"):
        read_mnist(tmp_path)
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", 0x803, np.arange(5, dtype=np.uint8))
    with pytest.raises(mo.MetaoptError, match=r"labels-idx1-ubyte\.gz does not hold what"):
        read_mnist(tmp_path)
    for content in (b"no gzip", gzip.compress(bytes(100))[:20]):
        (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(content)
        with pytest.raises(mo.MetaoptError, match="is no whole gzip file"):
            read_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"ab"))
    with pytest.raises(mo.MetaoptError, match="does not hold what"):
        read_mnist(tmp_path)
    with pytest.raises(mo.MetaoptError, match=r"There is no .*train-images-idx3-ubyte\.gz"):
        read_mnist(tmp_path, "train")


def test_digits_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = read_digits()
    own = datasets.load_digits()
    np.testing.assert_allclose(16 * images[:, 0].numpy(), own.images)
    assert labels.tolist() == own.target.tolist()
    some, of_them = read_digits(first=3, last=9)
    assert torch.equal(some, images[3:9])
    assert torch.equal(of_them, labels[3:9])
