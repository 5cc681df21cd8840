"""Read and write UAI files: discrete graphical models, and evidence about their variables.

The format is that of the UAI inference competitions (https://uaicompetition.github.io/uci-2022/file-formats/):
``MARKOV`` or ``BAYES``, the number of variables and their cardinalities, the number of factors and their scopes (the
number of variables, then the variables), and the tables of the factors (the number of entries, then the entries).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...arguments.contracts import checked
from ...core import MetaoptError
from ...files import replacing
from .number_file import NumberFile, read_number_file

KINDS = ("MARKOV", "BAYES")
MOST_VARIABLES = 60  # of one factor; arrays of torch and NumPy have at most 64 axes


@checked
@dataclass(frozen=True, eq=False)
class UaiModel:
    """Hold a discrete model: p(x) is proportional to the product over the factors f of ``tables[f][x[scopes[f]]]``.

    Args:
        cardinalities: Number of states of each variable.
        scopes: Variables of each factor, numbered from 0. A factor without variables is a constant.
        tables: Values of the factors (not their logarithms), float64 and nonnegative. The shape of each is the
            cardinalities of its scope; in the file the last variable runs fastest.
        kind: ``MARKOV``, or ``BAYES`` where every table is the probability of its last variable given the others.
    """

    cardinalities: list[int]
    scopes: list[tuple[int, ...]]
    tables: list[np.ndarray]
    kind: str = "MARKOV"


@checked
def read_uai(path: str | Path) -> UaiModel:
    """Read the model of a UAI file.

    Args:
        path: The file.

    Returns:
        The model.

    Raises:
        MetaoptError: A count is missing, not whole or negative, a scope has an unknown variable or one twice, a table
            does not fit its scope, an entry is negative or not finite, a table is zero everywhere, or numbers are left
            over. The message names the file, the line and the factor.
    """
    kind, numbers = read_number_file(path, KINDS)
    variables = numbers.whole(0, "the number of variables")
    cardinalities = _cardinalities(numbers, variables)
    starts, arities, at = _walk_scopes(numbers, 1 + variables, variables)
    scopes, shapes, sizes = _scopes(numbers, starts, arities, cardinalities)
    tables = _tables(numbers, at, scopes, shapes, sizes)
    return UaiModel(cardinalities.astype(int).tolist(), scopes, tables, kind)


def _cardinalities(numbers: NumberFile, variables: int) -> np.ndarray:
    if variables > len(numbers) - 1:
        left = len(numbers) - 1
        raise numbers.error(0, f"the file declares {variables} variables, but holds {left} more numbers.")
    found = numbers.values[1 : 1 + variables]
    bad = np.flatnonzero(~((found >= 1) & (found == np.floor(found)) & (found < 2**53)))
    if len(bad):
        numbers.whole(1 + int(bad[0]), f"the cardinality of variable {bad[0]}", 1)
    return found


def _walk_scopes(numbers: NumberFile, at: int, variables: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return where the first variable of each scope stands, the number of its variables, and where the scopes end."""
    factors = numbers.whole(at, "the number of factors")
    if factors > len(numbers) - at - 1:
        raise numbers.error(at, f"the file declares {factors} factors, but holds {len(numbers) - at - 1} more numbers.")
    starts, arities = np.empty(factors, int), np.empty(factors, int)
    values, at = numbers.values, at + 1
    for factor in range(factors):
        arity = values[at] if at < len(values) else -1
        if not (0 <= arity <= min(variables, MOST_VARIABLES) and arity == int(arity)):
            arity = numbers.whole(at, f"the number of variables of factor {factor}")
            if arity <= variables:
                raise numbers.error(at, f"factor {factor} has {arity} variables; at most {MOST_VARIABLES} are taken.")
            raise numbers.error(at, f"factor {factor} has {arity} variables, but the model has {variables}.")
        starts[factor], arities[factor] = at + 1, arity
        at += 1 + int(arity)
    if at > len(values):
        raise numbers.error(len(values), f"the file ends within the scope of factor {factors - 1}.")
    return starts, arities, at


def _scopes(
    numbers: NumberFile, starts: np.ndarray, arities: np.ndarray, cardinalities: np.ndarray
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], np.ndarray]:
    """Return the scopes and the shapes and sizes of their tables; a size is float64, exact where a file can hold it."""
    scopes: list[tuple[int, ...]] = [()] * len(starts)
    shapes = scopes.copy()
    sizes = np.ones(len(starts))
    for arity in np.unique(arities[arities > 0]).tolist():
        factors = np.flatnonzero(arities == arity)
        places = starts[factors, None] + np.arange(arity)
        members = numbers.values[places]
        _check_members(numbers, factors, places, members, len(cardinalities))
        members = members.astype(int)
        states = cardinalities[members]
        with np.errstate(over="ignore"):
            sizes[factors] = states.prod(axis=1)
        columns = zip(*members.T.tolist(), strict=True), zip(*states.T.astype(int).tolist(), strict=True)
        for factor, scope, shape in zip(factors.tolist(), *columns, strict=True):
            scopes[factor], shapes[factor] = scope, shape
    return scopes, shapes, sizes


def _check_members(
    numbers: NumberFile, factors: np.ndarray, places: np.ndarray, members: np.ndarray, variables: int
) -> None:
    unknown = np.argwhere(~((members >= 0) & (members < variables) & (members == np.floor(members))))
    if len(unknown):
        row, column = unknown[0]
        raise numbers.error(
            int(places[row, column]),
            f"factor {factors[row]} has variable {members[row, column]:g} in its scope, but the {variables} variables "
            "are numbered from 0.",
        )
    twice = np.argwhere(np.diff(np.sort(members, axis=1), axis=1) == 0)
    if len(twice):
        row, column = twice[0]
        variable = np.sort(members[row])[column]
        raise numbers.error(int(places[row, 0]), f"factor {factors[row]} has variable {variable:g} twice in its scope.")


def _tables(
    numbers: NumberFile, at: int, scopes: list[tuple[int, ...]], shapes: list[tuple[int, ...]], sizes: np.ndarray
) -> list[np.ndarray]:
    _check_sizes(numbers, at, scopes, sizes)
    whole = sizes.astype(int)
    starts = at + 1 + np.concatenate([[0], np.cumsum(whole + 1)])
    numbers.end(int(starts[-1]) - 1)
    entries = numbers.values.copy()
    entries[starts[:-1] - 1] = 0  # the counts are no entries
    bad = at + np.flatnonzero(~((entries[at:] >= 0) & (entries[at:] < np.inf)))
    if len(bad):
        factor = int(np.searchsorted(starts, bad[0], "right")) - 1
        raise numbers.error(
            int(bad[0]),
            f"factor {factor} {_named(scopes[factor])} has the entry {entries[bad[0]]:g}, but entries are finite and "
            "not negative.",
        )
    if len(scopes):
        zero = np.flatnonzero(np.maximum.reduceat(entries, starts[:-1]) == 0)
        if len(zero):
            factor = int(zero[0])
            raise numbers.error(
                int(starts[factor]), f"factor {factor} {_named(scopes[factor])} is zero everywhere, so nothing can be."
            )
    bounds = zip(starts.tolist(), (starts[:-1] + whole).tolist(), shapes, strict=False)
    return [entries[first:last].reshape(shape) for first, last, shape in bounds]


def _check_sizes(numbers: NumberFile, at: int, scopes: list[tuple[int, ...]], sizes: np.ndarray) -> None:
    """Raise for the first count that is missing or different from what the scope asks for."""
    places = at + np.concatenate([[0], np.cumsum(sizes + 1)])[:-1]  # wrong after the first wrong count
    inside = places < len(numbers)
    found = np.full(len(sizes), -1.0)
    found[inside] = numbers.values[places[inside].astype(int)]
    wrong = np.flatnonzero((found != sizes) | (places + sizes >= len(numbers)))
    if not len(wrong):
        return
    factor = int(wrong[0])
    place, name = int(min(places[factor], len(numbers))), f"factor {factor} {_named(scopes[factor])}"
    declared = numbers.whole(place, f"the number of entries of {name}")
    if declared != sizes[factor]:
        raise numbers.error(place, f"{name} declares {declared} entries, but its scope asks for {sizes[factor]:.15g}.")
    left = len(numbers) - place - 1
    raise numbers.error(place, f"{name} has {declared} entries, but the file ends {left} numbers later.")


def _named(scope: tuple[int, ...]) -> str:
    shown = " ".join(map(str, scope[:8])) + (" ..." if len(scope) > 8 else "")
    return f"(variables {shown})" if scope else "(no variables)"


@checked
def write_uai(path: str | Path, model: UaiModel) -> None:
    """Write a model so that :func:`read_uai` returns the same numbers; the file appears complete or not at all.

    Args:
        path: The file to write.
        model: The model.

    Raises:
        MetaoptError: :func:`read_uai` would refuse the model, or the file cannot be written.
    """
    _check(model)
    count = len(model.scopes)
    lines = itertools.chain(
        [model.kind, str(len(model.cardinalities)), " ".join(map(str, model.cardinalities)), str(count)],
        (" ".join(map(str, (len(scope), *scope))) for scope in model.scopes),
        (f"{table.size}\n{' '.join(map(repr, table.ravel().tolist()))}" for table in _arrays(model)),
    )
    with replacing(Path(path).resolve()) as file:
        for some in iter(lambda: list(itertools.islice(lines, 10_000)), []):
            file.write(("\n".join(some) + "\n").encode())


def _arrays(model: UaiModel) -> itertools.starmap:
    return itertools.starmap(np.asarray, ((table, float) for table in model.tables))


def _check(model: UaiModel) -> None:
    variables, factors, tables = len(model.cardinalities), len(model.scopes), len(model.tables)
    if model.kind not in KINDS or factors != tables or min(model.cardinalities, default=1) < 1:
        raise MetaoptError(
            f"The model is {model.kind!r} (of {' and '.join(KINDS)}), with {factors} scopes and {tables} tables, and "
            f"cardinalities from {min(model.cardinalities, default=1)}; a file needs a table for each scope, and "
            "cardinalities of at least 1."
        )
    for factor, (scope, table) in enumerate(zip(model.scopes, _arrays(model), strict=True)):
        if len(set(scope)) < len(scope) or not all(0 <= v < variables for v in scope):
            raise MetaoptError(f"Factor {factor} has the scope {scope}, but there are {variables} variables, from 0.")
        shape = tuple(model.cardinalities[v] for v in scope)
        if table.shape != shape or not (table.min() >= 0 and 0 < table.max() < np.inf):
            raise MetaoptError(
                f"Factor {factor} {_named(scope)} has a table {table.shape} with values from {table.min():g} to "
                f"{table.max():g}; it has to be {shape}, finite, not negative, and not zero everywhere."
            )


@checked
def read_evidence(
    path: str | Path, cardinalities: Sequence[int] | None = None, sample: int | None = None
) -> dict[int, int]:
    """Read observed variables and their states; an empty file and the number 0 mean none.

    The file holds the number of observed variables, then the variable and the state of each. Since 2010 the number of
    samples of evidence may come first, and one such list follows for each.

    Args:
        path: The file.
        cardinalities: Number of states of each variable, with which variables and states are checked. None: no check.
        sample: Which sample of evidence is read, from 0. None: the only one.

    Returns:
        The state of each observed variable.

    Raises:
        MetaoptError: The numbers are not of that form, there are several samples and ``sample`` does not say which, a
            variable is observed in two states, or the model has no such variable or state. The message names the file
            and the line.
    """
    numbers = read_number_file(path)[1]
    starts = _samples(numbers)
    if sample is None and len(starts) > 1:
        raise numbers.error(
            0,
            f"the file holds {len(starts)} samples of evidence, and a question is about one: choose it by --sample 0 "
            f"to {len(starts) - 1}, or sample= in Python.",
        )
    if not 0 <= (sample or 0) < max(1, len(starts)):
        raise numbers.error(0, f"there is no sample {sample} of evidence; the file holds {len(starts)}, from 0.")
    if not starts:
        return {}
    first = starts[sample or 0]
    count = numbers.whole(first, "the number of observed variables")
    evidence: dict[int, int] = {}
    for at in range(first + 1, first + 1 + 2 * count, 2):
        variable = numbers.whole(at, "an observed variable")
        state = numbers.whole(at + 1, f"the state of variable {variable}")
        if evidence.setdefault(variable, state) != state:
            raise numbers.error(at, f"variable {variable} is observed in states {evidence[variable]} and {state}.")
        if cardinalities is not None and variable >= len(cardinalities):
            raise numbers.error(at, f"variable {variable} is observed, but the model has {len(cardinalities)}, from 0.")
        if cardinalities is not None and state >= cardinalities[variable]:
            states = cardinalities[variable]
            raise numbers.error(at, f"variable {variable} is observed in state {state}, but has {states}, from 0.")
    return evidence


def _samples(numbers: NumberFile) -> list[int]:
    """Return where the count of observed variables of each sample of evidence stands."""
    total = len(numbers)
    if not total:
        return []
    if total == 1 + 2 * float(numbers.values[0]):  # a list alone: a count, and as many pairs
        return [0]
    samples, at = numbers.whole(0, "the number of observed variables"), 1
    starts: list[int] = []
    while len(starts) < samples and at < total:
        starts.append(at)
        at += 1 + 2 * numbers.whole(at, "the number of observed variables")
    if at != total or len(starts) != samples:
        raise numbers.error(
            0,
            f"the file declares {samples} observed variables in 1 samples, but {total - 1} numbers follow, which are "
            f"neither as many pairs of a variable and a state nor {samples} lists, each of a count and its pairs.",
        )
    return starts


@checked
def write_evidence(path: str | Path, evidence: dict[int, int]) -> None:
    """Write observed variables and their states so that :func:`read_evidence` reads them.

    Args:
        path: The file to write.
        evidence: The state of each observed variable.

    Raises:
        MetaoptError: A number is negative, or the file cannot be written.
    """
    for variable, state in evidence.items():
        if variable < 0 or state < 0:
            raise MetaoptError(f"Variable {variable} is observed in state {state}; both are numbered from 0.")
    words = [len(evidence), *itertools.chain.from_iterable(evidence.items())]
    with replacing(Path(path).resolve()) as file:
        file.write((" ".join(map(str, words)) + "\n").encode())
