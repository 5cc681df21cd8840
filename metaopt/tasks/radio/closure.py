"""Compute closure phases and amplitudes, which errors of single stations leave as they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_tensor
from ...core.errors import MetaoptError

Baselines = dict[tuple[int, int], tuple[int, int]]  # of two stations: the row, and -1 where they are swapped


class Closures(NamedTuple):
    """Closures of an observation: which rows each is made of, and whether as they are or conjugated.

    ``rows`` is (N, 3) or (N, 4); ``signs`` has the same shape, 1 or -1: of closure phases -1 where the row is
    conjugated, of log closure amplitudes -1 where its logarithm is subtracted.
    """

    rows: Tensor
    signs: Tensor


def closure_triangles(time: Tensor, antenna1: Tensor, antenna2: Tensor, used: Tensor) -> Closures:
    """Return an independent set of triangles at each time: those with the station that has most baselines then.

    Triangles of n stations that all see each other are (n - 1)(n - 2) / 2, each with the first of them.

    Args:
        time: (V,), equal within an integration.
        antenna1: (V,) whole numbers.
        antenna2: (V,) whole numbers.
        used: (V,) bools, False for rows that are flagged.

    Returns:
        Rows of 12, 23 and 31 of each triangle.

    Raises:
        MetaoptError: The arguments do not fit each other.
    """
    rows, signs = [], []
    for index in _times(time, antenna1, antenna2, used):
        first = _most_seen(index)
        others = sorted({b for pair in index for b in pair if first in pair} - {first})
        for i, second in enumerate(others):
            for third in others[i + 1 :]:
                if (second, third) in index:
                    steps = [index[pair] for pair in ((first, second), (second, third), (third, first))]
                    rows.append([row for row, _ in steps])
                    signs.append([sign for _, sign in steps])
    return _closures(rows, signs, 3)


def closure_quadrangles(time: Tensor, antenna1: Tensor, antenna2: Tensor, used: Tensor) -> Closures:
    """Return an independent set of quadrangles at each time, ``|V_12| |V_34| / (|V_13| |V_24|)``.

    Of n stations that all see each other there are n (n - 3) / 2; a quadrangle is kept if its logarithm is no sum of
    those before it.

    Args:
        time: (V,), equal within an integration.
        antenna1: (V,) whole numbers.
        antenna2: (V,) whole numbers.
        used: (V,) bools, False for rows that are flagged.

    Returns:
        Rows of 12, 34, 13 and 24 of each quadrangle.

    Raises:
        MetaoptError: The arguments do not fit each other.
    """
    rows, signs = [], []
    for index in _times(time, antenna1, antenna2, used):
        for quadrangle in _independent(index):
            rows.append([index[pair][0] for pair in quadrangle])
            signs.append([1, 1, -1, -1])
    return _closures(rows, signs, 4)


def closure_phases(visibilities: Tensor, weights: Tensor, triangles: Closures) -> tuple[Tensor, Tensor]:
    """Return the phases of the products of the visibilities around triangles, and their standard deviations.

    Args:
        visibilities: (..., V) complex of one channel.
        weights: (V,), 1 / variance of the real part and of the imaginary part each.
        triangles: Of :func:`closure_triangles`.

    Returns:
        The phases in radians, (..., N), and their standard deviations at a high ratio of signal to noise, (..., N).

    Raises:
        MetaoptError: The arguments are no such tensors.
    """
    _check(visibilities, weights)
    around = visibilities[..., triangles.rows]
    phases = (around.angle() * triangles.signs).sum(-1)
    return torch.remainder(phases + torch.pi, 2 * torch.pi) - torch.pi, _deviation(around, weights, triangles)


def log_closure_amplitudes(visibilities: Tensor, weights: Tensor, quadrangles: Closures) -> tuple[Tensor, Tensor]:
    """Return ``log |V_12| + log |V_34| - log |V_13| - log |V_24|``, and their standard deviations.

    Args:
        visibilities: (..., V) complex of one channel.
        weights: (V,), 1 / variance of the real part and of the imaginary part each.
        quadrangles: Of :func:`closure_quadrangles`.

    Returns:
        The logarithms, (..., N), and their standard deviations at a high ratio of signal to noise, (..., N).

    Raises:
        MetaoptError: The arguments are no such tensors.
    """
    _check(visibilities, weights)
    around = visibilities[..., quadrangles.rows]
    return (around.abs().log() * quadrangles.signs).sum(-1), _deviation(around, weights, quadrangles)


def closure_phase_chi2(phases: Tensor, model: Tensor, deviation: Tensor) -> Tensor:
    """Return the reduced chi^2 of closure phases, ``mean 2 (1 - cos(phases - model)) / deviation^2``.

    Args:
        phases: (..., N) in radians.
        model: Those of the model.
        deviation: Their standard deviations.

    Returns:
        (...).

    Source:
        Event Horizon Telescope Collaboration, First M87 results IV, 2019, doi:10.3847/2041-8213/ab0e85, equation 21.
    """
    return (2 * (1 - (phases - model).cos()) / deviation.square()).mean(-1)


def log_closure_chi2(amplitudes: Tensor, model: Tensor, deviation: Tensor) -> Tensor:
    """Return the reduced chi^2 of log closure amplitudes, ``mean (amplitudes - model)^2 / deviation^2``.

    Args:
        amplitudes: (..., N).
        model: Those of the model.
        deviation: Their standard deviations.

    Returns:
        (...).
    """
    return ((amplitudes - model) / deviation).square().mean(-1)


def _check(visibilities: Tensor, weights: Tensor) -> None:
    check_tensor("The visibilities of closures", visibilities, "real or complex")
    check_tensor("The weights of closures", weights, "real", "(V,)")
    if not visibilities.is_complex() or visibilities.shape[-1] != len(weights):
        raise MetaoptError(
            f"Closures need complex visibilities (..., {len(weights)}) of one channel, as many as weights, but got "
            f"{tuple(visibilities.shape)} of {visibilities.dtype}."
        )


def _deviation(around: Tensor, weights: Tensor, closures: Closures) -> Tensor:
    return (1 / (around.abs().square() * weights[closures.rows])).sum(-1).sqrt()


def _times(time: Tensor, antenna1: Tensor, antenna2: Tensor, used: Tensor) -> list[Baselines]:
    """Return for each time the row of each baseline, and -1 where its stations are the other way round."""
    check_tensor("The time of closures", time, "real", "(V,)")
    check_tensor("The used rows of closures", used, "boolean", "(V,)")
    for stations in (antenna1, antenna2):
        check_tensor("The antennas of closures", stations, "whole", "(V,)")
    if len({len(t) for t in (time, antenna1, antenna2, used)}) != 1:
        raise MetaoptError("Time, antennas and used rows of closures must have one entry for each visibility.")
    found: dict[float, Baselines] = {}
    rows = zip(time.tolist(), antenna1.tolist(), antenna2.tolist(), used.tolist(), strict=True)
    for row, (moment, a, b, counted) in enumerate(rows):
        if counted and a != b:
            baselines = found.setdefault(moment, {})
            baselines[a, b], baselines[b, a] = (row, 1), (row, -1)
    return list(found.values())


def _most_seen(index: Baselines) -> int:
    counts: dict[int, int] = {}
    for a, _ in index:
        counts[a] = counts.get(a, 0) + 1
    return min(counts, key=lambda a: (-counts[a], a))


def _independent(index: Baselines) -> list[list[tuple[int, int]]]:
    """Return quadrangles, as their four baselines, whose log closure amplitudes are linearly independent."""
    stations = sorted({a for a, _ in index})
    columns = {pair: n for n, pair in enumerate(sorted(p for p in index if p[0] < p[1]))}
    kept: list[list[tuple[int, int]]] = []
    basis: list[Tensor] = []
    for n, a in enumerate(stations):
        for m, b in enumerate(stations[n + 1 :], n + 1):
            for k, c in enumerate(stations[m + 1 :], m + 1):
                for d in stations[k + 1 :]:
                    for quadrangle in ([(a, b), (c, d), (a, c), (b, d)], [(a, b), (c, d), (a, d), (b, c)]):
                        if all(pair in columns for pair in quadrangle):
                            row = torch.zeros(len(columns), dtype=torch.float64)
                            row[[columns[pair] for pair in quadrangle]] = row.new_tensor([1, 1, -1, -1])
                            for other in basis:
                                row = row - (row @ other) * other
                            if (size := row.norm()) > 1e-9:
                                basis.append(row / size)
                                kept.append(quadrangle)
    return kept


def _closures(rows: list[list[int]], signs: list[list[int]], sides: int) -> Closures:
    shape = (-1, sides)
    return Closures(torch.tensor(rows, dtype=torch.int64).reshape(shape), torch.tensor(signs).long().reshape(shape))
