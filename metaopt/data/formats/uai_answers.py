"""Read and write UAI answers: marginals (MAR), log10 of the partition function (PR), best states (MAP).

As in 2010, a line with the number of samples of evidence, which is 1, may follow the heading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...arguments.contracts import Natural, checked
from ...core import MetaoptError
from ...files import replacing
from .number_file import read_number_file

ROUNDING = 1e-2  # how far from 1 printed probabilities may sum


@checked
def read_marginals(path: str | Path) -> list[np.ndarray]:
    """Read the marginal distribution of each variable.

    Args:
        path: The file.

    Returns:
        A list of (states,) float64 arrays.

    Raises:
        MetaoptError: The file is not a list of distributions. The message names the file, the line and the variable.
    """
    numbers = read_number_file(path, ("MAR",))[1]
    variables, at = numbers.whole(0, "the number of variables"), 1
    if variables == 1 and len(numbers) > 1 and (numbers.values[1] == 0 or len(numbers) != 2 + numbers.values[1]):
        variables, at = numbers.whole(1, "the number of variables"), 2
    marginals = []
    for variable in range(variables):
        states = numbers.whole(at, f"the number of states of variable {variable}", 1)
        if states > len(numbers) - at - 1:
            raise numbers.error(at, f"variable {variable} has {states} states, but the file ends before the last.")
        marginal = numbers.values[at + 1 : at + 1 + states]
        if not (marginal >= 0).all() or not abs(marginal.sum() - 1) <= ROUNDING:
            raise numbers.error(at, f"the marginal of variable {variable} is not a distribution: {_shown(marginal)}.")
        marginals.append(marginal)
        at += 1 + states
    numbers.end(at)
    return marginals


@checked
def write_marginals(path: str | Path, marginals: Iterable[np.ndarray]) -> None:
    """Write the marginal distribution of each variable so that :func:`read_marginals` reads them.

    Args:
        path: The file to write.
        marginals: One array (states,) for each variable.

    Raises:
        MetaoptError: An array is not a distribution, or the file cannot be written.
    """
    words = []
    for variable, values in enumerate(marginals):
        marginal = np.asarray(values, dtype=float)
        if marginal.ndim != 1 or not (marginal >= 0).all() or not abs(marginal.sum() - 1) <= ROUNDING:
            raise MetaoptError(f"The marginal of variable {variable} is not a distribution: {_shown(marginal)}.")
        words.append(" ".join([str(len(marginal)), *map(repr, marginal.tolist())]))
    _write(path, "MAR", [str(len(words)), *words])


@checked
def read_log10_z(path: str | Path) -> float:
    """Read the logarithm to base 10 of the partition function (the probability of the evidence).

    Args:
        path: The file.

    Returns:
        The logarithm, -inf where the partition function is zero.

    Raises:
        MetaoptError: The file holds anything but one number. The message names the file and the line.
    """
    numbers = read_number_file(path, ("PR",))[1]
    at = int(len(numbers) == 2 and numbers.values[0] == 1)
    if len(numbers) != at + 1 or not numbers.values[at] < np.inf:
        raise numbers.error(0, f"PR is followed by one number, not by {_shown(numbers.values)}.")
    return float(numbers.values[at])


def write_log10_z(path: str | Path, log10_z: float) -> None:
    """Write the logarithm to base 10 of a partition function so that :func:`read_log10_z` reads it.

    Args:
        path: The file to write.
        log10_z: The logarithm.

    Raises:
        MetaoptError: The number is NaN or infinity, or the file cannot be written.
    """
    number = isinstance(log10_z, int | float | np.number) and not isinstance(log10_z, bool)
    if not number or not log10_z < np.inf or not isinstance(path, str | Path):
        what = f"{log10_z!r:.80} to {path!s:.200}"
        raise MetaoptError(f"The logarithm of a partition function is a number below infinity; {what} is not written.")
    _write(path, "PR", [repr(float(log10_z))])


@checked
def read_assignment(path: str | Path) -> list[int]:
    """Read the state of each variable.

    Args:
        path: The file.

    Returns:
        The states.

    Raises:
        MetaoptError: The file does not hold the declared number of states. The message names the file and the line.
    """
    numbers = read_number_file(path, ("MAP", "MPE"))[1]
    variables = numbers.whole(0, "the number of variables")
    at = int(variables == 1 and len(numbers) != 2)
    count = numbers.whole(at, "the number of variables")
    if len(numbers) != at + 1 + count:
        raise numbers.error(at, f"the file declares {count} variables, but holds {len(numbers) - at - 1} states.")
    return [numbers.whole(i, f"the state of variable {i - at - 1}") for i in range(at + 1, len(numbers))]


@checked
def write_assignment(path: str | Path, states: Sequence[Natural], heading: str = "MAP") -> None:
    """Write the state of each variable so that :func:`read_assignment` reads them.

    Args:
        path: The file to write.
        states: The states.
        heading: ``"MAP"`` or ``"MPE"``, two names of one task.

    Raises:
        MetaoptError: A state is not a nonnegative integer, or the file cannot be written.
    """
    if any(int(state) != state or state < 0 for state in states):
        raise MetaoptError("A state is a whole number from 0 on.")
    _write(path, heading, [" ".join(str(int(n)) for n in (len(states), *states))])


def _shown(values: np.ndarray) -> str:
    return f"{np.array2string(values.ravel()[:8], precision=6)}{' and more' if values.size > 8 else ''}"


def _write(path: str | Path, heading: str, words: list[str]) -> None:
    with replacing(Path(path).resolve()) as file:
        file.write("\n".join([heading, " ".join(words), ""]).encode())
