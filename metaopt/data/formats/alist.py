"""Read parity-check matrices in MacKay's alist format, and his generator matrices.

The folder of the (96, 48) code that comes with arXiv:1906.00554 holds these files, each checked by multiplication over
GF(2):

- ``96.3.963`` and ``A``, the same file: the parity-check matrix, 48 checks of 6 bits, 96 bits in 3 checks. Its rank is
  46, so it has 2^50 codewords.
- ``A2``: the same with 3 more ones in its last 48 columns, which makes its rank 48.
- ``Cn``: the last 48 columns of ``A2``, which are invertible.
- ``G``: binary, P^T for P = Cn^-1 A2[:, :48]. The words [u, P u] are the codewords of ``A2``. Half of them violate
  checks 46 and 48 of ``A``, whose codewords have to come from its own null space
  (:func:`~metaopt.tasks.generator_matrix`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...arguments.contracts import checked
from ...core import MetaoptError
from .number_file import read_text, read_words

LARGEST = 2**32  # entries of a matrix

_Line = tuple[int, list[int]]  # its number in the file, from 1, and the numbers on it


@checked
def read_alist(path: str | Path) -> np.ndarray:
    """Read the parity-check matrix of an alist file.

    The lines of the file hold: the numbers of bits and of checks; the largest degree of each; the degrees of all bits;
    the degrees of all checks; the checks of each bit, one bit a line; the bits of each check, one check a line.
    Numbering starts at 1, and zeros that fill up a line are ignored. Comments are as in UAI files.

    Args:
        path: The file.

    Returns:
        The matrix, (checks, bits) uint8.

    Raises:
        MetaoptError: The file has another format, numbers are missing, left over or out of range, degrees disagree with
            the lists, or the lists of bits and of checks contradict each other. The message names the file and line.

    Source:
        https://www.inference.org.uk/mackay/codes/alist.html
    """
    shape, rows, columns = _ones(path)
    matrix = np.zeros(shape, np.uint8)
    matrix[rows, columns] = 1
    return matrix


@checked
def read_sparse_alist(path: str | Path) -> torch.Tensor:
    """Read the parity-check matrix of an alist file as a sparse matrix, whose memory is that of its ones.

    Args:
        path: The file.

    Returns:
        The matrix, (checks, bits) uint8, coalesced ``torch.sparse_coo``.

    Raises:
        MetaoptError: As for :func:`read_alist`.
    """
    shape, rows, columns = _ones(path)
    places = torch.from_numpy(np.stack([rows, columns]))
    ones = torch.ones(len(rows), dtype=torch.uint8)
    return torch.sparse_coo_tensor(places, ones, shape, is_coalesced=True, check_invariants=False)


def _ones(path: str | Path) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Return the shape of the matrix, and row and column of each of its ones, sorted."""
    lines = _lines(path)
    bits, checks = _row(path, lines, 0, 2, "the numbers of bits and checks")
    if min(bits, checks) < 1 or bits * checks > LARGEST:
        raise _error(
            path, lines[0][0], f"{checks} checks of {bits} bits are declared; a matrix has 1 to {LARGEST} entries"
        )
    if len(lines) != 4 + bits + checks:
        raise _error(
            path,
            lines[-1][0],
            f"the file has {len(lines)} lines, but {bits} bits and {checks} checks need {4 + bits + checks}",
        )
    largest = _row(path, lines, 1, 2, "the largest degrees")
    of_bits = _row(path, lines, 2, bits, f"the degrees of {bits} bits")
    of_checks = _row(path, lines, 3, checks, f"the degrees of {checks} checks")
    column, row = _listed(path, lines[4 : 4 + bits], of_bits, largest[0], checks)
    rows, columns = _listed(path, lines[4 + bits :], of_checks, largest[1], bits)
    by_bits, by_checks = np.sort(row * bits + column), np.sort(rows * bits + columns)
    wrong = np.setxor1d(by_bits, by_checks, assume_unique=True)
    if len(wrong):
        check = int(wrong[0]) // bits
        raise _error(
            path, lines[4 + bits + check][0], f"check {check + 1} has other bits here than the lists of the bits say"
        )
    return (checks, bits), by_checks // bits, by_checks % bits


@checked
def read_generator(path: str | Path) -> np.ndarray:
    """Read the generator matrix G = [I, P^T] of MacKay's binary file; codewords are u G over GF(2).

    The file holds P^T, with one row per message bit: the numbers of its rows and columns in 4 bytes each, then the bits
    of each row, 32 to a word of 8 bytes, the least significant first. All is little endian.

    Args:
        path: The file.

    Returns:
        G, (messages, bits) uint8.

    Raises:
        MetaoptError: The file has another length than its first 8 bytes declare, or bits set beyond its columns.
    """
    data = read_text(path)
    rows, columns = np.frombuffer(data[:8], "<u4").astype(int).tolist() if len(data) >= 8 else (0, 0)
    words = -(-columns // 32)
    if not rows or not columns or len(data) != 8 + 8 * rows * words:
        raise MetaoptError(
            f"{path} has {len(data)} bytes, but a generator of {rows} rows and {columns} columns, as it starts with, "
            f"has {8 + 8 * rows * words}; it is something else, or was not copied whole."
        )
    packed = np.frombuffer(data, "<u4", offset=8).reshape(rows, words, 2)
    spread = np.unpackbits(packed.copy().view(np.uint8).reshape(rows, words, 8), axis=2, bitorder="little")
    parity = spread[:, :, :32].reshape(rows, 32 * words)
    if spread[:, :, 32:].any() or parity[:, columns:].any():
        raise MetaoptError(
            f"{path} has bits set beyond its {columns} columns; it is no generator matrix of 32-bit words."
        )
    return np.concatenate([np.eye(rows, dtype=np.uint8), parity[:, :columns]], axis=1)


def _lines(path: str | Path) -> list[_Line]:
    lines = []
    for number, text in enumerate(read_words(path).splitlines(), 1):
        words = text.split()
        if words:
            bad = next((word for word in words if not word.isdigit()), None)
            if bad is not None:
                shown = bad[:40].decode("ascii", "replace")
                raise _error(path, number, f"{shown!r} is not a whole number from 0 on")
            lines.append((number, [int(word.lstrip(b"0")[:30] or b"0") for word in words]))
    return lines


def _row(path: str | Path, lines: list[_Line], index: int, count: int, what: str) -> list[int]:
    if index >= len(lines):
        raise _error(path, lines[-1][0] if lines else 1, f"the file ends before {what}")
    number, values = lines[index]
    if len(values) != count:
        raise _error(path, number, f"{what} are {count} numbers, but {len(values)} stand here")
    return values


def _listed(
    path: str | Path, lines: list[_Line], degrees: list[int], largest: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the line of each one, and the number that stands there, both from 0."""
    found: list[int] = []
    for (number, values), degree in zip(lines, degrees, strict=True):
        ones = [value for value in values if value]
        if len(ones) != degree or degree > largest or len(set(ones)) < degree:
            raise _error(
                path,
                number,
                f"the list has {len(set(ones))} different numbers, but its degree is {degree} of at most {largest}",
            )
        if ones and max(ones) > most:
            raise _error(path, number, f"{max(ones)} is in the list, but there are {most}, numbered from 1")
        found += ones
    return np.repeat(np.arange(len(lines)), degrees), np.array(found, int) - 1


def _error(path: str | Path, line: int, message: str) -> MetaoptError:
    return MetaoptError(f"{path}, line {line}: {message}; see whether it is an alist file, copied whole.")
