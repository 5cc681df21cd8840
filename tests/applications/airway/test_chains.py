"""Nodes in line are joined to chains, and smoothed along them by what all of the chain says."""

from __future__ import annotations

import numpy as np
import pytest

from metaopt.applications.airway import chains
from metaopt.applications.airway.chains import linked, smoothed


def test_crossing_lines_become_two_chains():
    t = np.arange(-10, 11, 2.0) + 0.5
    first = np.stack([t, 0 * t, 0 * t], 1)
    second = np.stack([0 * t, t, 0 * t + 0.7], 1)
    position = np.concatenate([first, second])
    direction = np.repeat(np.eye(3)[:2], len(t), axis=0)
    order = np.random.default_rng(0).permutation(len(position))
    sign = np.where(np.arange(len(position)) % 3 == 0, -1.0, 1.0)[:, None]
    found = linked(position[order], np.ones(len(order)), direction[order] * sign)
    lines = sorted(sorted(order[chain].tolist()) for chain in found)
    assert lines == [list(range(11)), list(range(11, 22))]


def test_every_node_is_in_one_chain_and_lonely_ones_are_alone():
    rng = np.random.default_rng(1)
    position, direction = rng.uniform(0, 30, (80, 3)), rng.normal(size=(80, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    found = linked(position, np.ones(80), direction)
    assert sorted(n for chain in found for n in chain) == list(range(80))
    assert linked(position[:1], np.ones(1), direction[:1]) == [[0]]
    assert linked(position[:0], np.ones(0), direction[:0]) == []


def _dense(position, direction, radius, noise, weight, gap):
    """The mean and the variance by one linear system over all nodes of a chain, for each coordinate and for radii."""
    n = len(position)
    size = 2 * n
    measured = np.stack([noise**2, np.full(n, chains.DIRECTION**2)], 1) / weight[:, None]
    precision = np.diag(1 / measured.reshape(-1))
    for i, d in enumerate(gap):
        growth = np.array(
            [
                [chains.SWAY * d + chains.BEND * d**3 / 3, chains.BEND * d**2 / 2],
                [chains.BEND * d**2 / 2, chains.BEND * d],
            ]
        )
        row = np.zeros((2, size))
        row[:, 2 * i : 2 * i + 2] = -np.array([[1, d], [0, 1]])
        row[:, 2 * i + 2 : 2 * i + 4] = np.eye(2)
        precision += row.T @ np.linalg.inv(growth) @ row
    data = np.stack([position, direction], 1).reshape(size, 3) / measured.reshape(-1, 1)
    variance = np.linalg.inv(precision)
    mean = (variance @ data).reshape(n, 2, 3)
    own = (chains.RADIUS * radius) ** 2 / weight
    level = np.diag(1 / own)
    for i, d in enumerate(gap):
        row = np.zeros((1, n))
        row[0, i], row[0, i + 1] = -1, 1
        level += row.T @ row / (chains.TAPER * radius[i + 1] ** 2 * d)
    return mean, np.diag(variance).reshape(n, 2), np.linalg.inv(level) @ (radius / own), np.diag(np.linalg.inv(level))


@pytest.mark.parametrize("count", [2, 7])
def test_filter_and_smoother_solve_the_linear_system_of_the_chain(count):
    rng = np.random.default_rng(2)
    position = np.cumsum(rng.uniform(0.5, 2, (count, 3)), axis=0)
    way = np.gradient(position, axis=0)
    direction = way / np.linalg.norm(way, axis=1, keepdims=True)
    radius, noise, weight = rng.uniform(1, 2, count), rng.uniform(0.2, 0.5, count), rng.uniform(0.3, 1, count)
    other = rng.uniform(50, 60, (3, 3))  # a chain of three beside it, so that there is padding
    every = [np.concatenate(pair) for pair in ((position, other), (radius, np.ones(3)), (direction, np.eye(3)))]
    chain = [list(range(count)), [count, count + 1, count + 2]]
    mean, variance = smoothed(
        chain, every[0], every[1], every[2], np.concatenate([noise, np.ones(3)]), np.concatenate([weight, np.ones(3)])
    )
    gap = np.linalg.norm(np.diff(position, axis=0), axis=1)
    exact, spread, level, own = _dense(position, direction, radius, noise, weight, gap)
    np.testing.assert_allclose(mean[:count, :3], exact[:, 0], atol=1e-8)
    unit = exact[:, 1] / np.linalg.norm(exact[:, 1], axis=1, keepdims=True)
    np.testing.assert_allclose(mean[:count, 4:], unit, atol=1e-8)
    np.testing.assert_allclose(variance[:count, [0, 4]], spread, atol=1e-8)
    np.testing.assert_allclose(mean[:count, 3], level, atol=1e-8)
    np.testing.assert_allclose(variance[:count, 3], own, atol=1e-8)


def test_a_node_alone_is_what_was_measured():
    mean, variance = smoothed([[0]], np.ones((1, 3)), np.array([2.0]), np.eye(3)[:1], np.array([0.5]), np.array([0.5]))
    np.testing.assert_allclose(mean, [[1, 1, 1, 2, 1, 0, 0]])
    np.testing.assert_allclose(variance[0, :4], [0.5, 0.5, 0.5, 2 * (chains.RADIUS * 2) ** 2])
