"""Join nodes that are in line with each other, and smooth position, radius and direction along them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...foundation.extras import require

NEIGHBORS = 12
STRAIGHT = 0.75  # least cosine between a node's direction and the way to the next
ALIKE = 0.6  # largest difference of log radius
REACH = 3.0  # radii, and so many of the least distance of a node, to the next one
BEND = 0.012  # variance of the direction per mm
TAPER = 0.01  # variance of the radius per mm, relative to its square
SWAY = 0.01  # mm^2 per mm, variance of the position
DIRECTION = 0.2  # standard deviation of a measured direction
RADIUS = 0.2  # that of a measured radius, relative to it


def linked(position: np.ndarray, radius: np.ndarray, direction: np.ndarray) -> list[list[int]]:
    """Return chains of nodes, each the number of a node once; a node that is alone is a chain of one.

    The nearest nodes in line are joined first, and each node has one neighbour on either side.

    Args:
        position: (n, 3) in mm.
        radius: (n,) in mm.
        direction: (n, 3), unit vectors of either sign.

    Returns:
        Lists of numbers, in the order along the chain.
    """
    spatial: Any = require("scipy.spatial", "airway")
    count = len(position)
    if count < 2:
        return [[n] for n in range(count)]
    near = spatial.cKDTree(position).query(position, k=min(NEIGHBORS, count - 1) + 1)[1][:, 1:]
    first, second = np.repeat(np.arange(count), near.shape[1]), near.reshape(-1)
    step = position[second] - position[first]
    length = np.maximum(np.linalg.norm(step, axis=1), 1e-6)
    way = step / length[:, None]
    ahead, behind = (direction[first] * way).sum(1), (direction[second] * way).sum(1)
    wide = np.maximum(radius[first], radius[second])
    fits = (np.abs(ahead) > STRAIGHT) & (np.abs(behind) > STRAIGHT)
    fits &= np.abs(np.log(radius[first] / radius[second])) < ALIKE
    fits &= length < REACH * (wide + 1)
    cost = length / np.maximum(np.abs(ahead * behind), 1e-9)
    leader, sides = list(range(count)), np.full((count, 2), -1)
    for e in np.flatnonzero(fits)[np.argsort(cost[fits], kind="stable")].tolist():
        a, b = int(first[e]), int(second[e])
        side, other = int(ahead[e] > 0), int(behind[e] < 0)
        if sides[a, side] < 0 and sides[b, other] < 0 and _leader(leader, a) != _leader(leader, b):
            sides[a, side], sides[b, other] = b, a
            leader[_leader(leader, a)] = _leader(leader, b)
    return _walked(sides)


def smoothed(
    chains: list[list[int]],
    position: np.ndarray,
    radius: np.ndarray,
    direction: np.ndarray,
    noise: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and variances (n, 7) of position, radius and direction, given all nodes of their chains.

    Along a chain the position moves by the distance of the nodes in the present direction, while direction and radius
    stay what they are, up to a noise that grows with the distance. The filter runs from one end to the other and the
    smoother back, so that it does not matter where a chain begins. Coordinates share their variance.

    Args:
        chains: From :func:`linked`.
        position: (n, 3) in mm.
        radius: (n,) in mm.
        direction: (n, 3), unit vectors of either sign.
        noise: (n,), standard deviation of the measured positions in mm.
        weight: (n,), from 0 to 1; the variance of what is measured is divided by it.

    Returns:
        Means and variances.

    Source:
        H. E. Rauch, F. Tung and C. T. Striebel, Maximum likelihood estimates of linear dynamic systems (1965),
        https://doi.org/10.2514/3.3166
    """
    mean = np.concatenate([position, radius[:, None], direction], axis=1)
    trust = np.clip(weight, 0.1, 1.0)
    measured = np.stack([noise**2, DIRECTION**2 * np.ones_like(noise), (RADIUS * radius) ** 2], 1) / trust[:, None]
    variance = measured[:, [0, 0, 0, 2, 1, 1, 1]]
    long = [chain for chain in chains if len(chain) > 1]
    if not long:
        return mean, variance
    steps = max(map(len, long))
    index = np.zeros((len(long), steps), int)
    for row, chain in enumerate(long):
        index[row, : len(chain)] = chain
        index[row, len(chain) :] = chain[-1]
    size = np.array([len(chain) for chain in long])
    place, turned = position[index], _along(position[index], direction[index])
    gap = np.linalg.norm(np.diff(place, axis=1), axis=2)
    x, p = _line(np.stack([place, turned], 2), measured[index][:, :, :2], gap, size)
    r, q = _level(radius[index], measured[index][:, :, 2], gap, size)
    inside = np.arange(steps) < size[:, None]
    rows = index[inside]
    unit = x[:, :, 1][inside]
    mean[rows, :3], mean[rows, 3], mean[rows, 4:] = x[:, :, 0][inside], np.maximum(r[inside], 0.1), unit
    mean[:, 4:] /= np.maximum(np.linalg.norm(mean[:, 4:], axis=1, keepdims=True), 1e-9)
    variance[rows] = np.stack([p[..., 0, 0], q, p[..., 1, 1]], -1)[inside][:, [0, 0, 0, 1, 2, 2, 2]]
    return mean, variance


def _line(z: np.ndarray, noise: np.ndarray, gap: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smooth positions and directions (C, T, 2, 3) of C chains, of which ``size`` say how long each is."""
    chains, steps = z.shape[:2]
    x, p = z.copy(), np.zeros((chains, steps, 2, 2))
    p[:, 0] = noise[:, 0, :, None] * np.eye(2)
    ahead, spread, moves = x.copy(), p.copy(), np.tile(np.eye(2), (chains, steps, 1, 1))
    for t in range(1, steps):
        d = gap[:, t - 1]
        move = moves[:, t]
        move[:, 0, 1] = d
        growth = np.zeros((chains, 2, 2))
        growth[:, 0, 0], growth[:, 1, 1] = SWAY * d + BEND * d**3 / 3, BEND * d
        growth[:, 0, 1] = growth[:, 1, 0] = BEND * d**2 / 2
        ahead[:, t] = move @ x[:, t - 1]
        spread[:, t] = move @ p[:, t - 1] @ move.transpose(0, 2, 1) + growth
        own = noise[:, t, :, None] * np.eye(2)
        gain = spread[:, t] @ np.linalg.inv(spread[:, t] + own)
        x[:, t] = ahead[:, t] + gain @ (z[:, t] - ahead[:, t])
        p[:, t] = (np.eye(2) - gain) @ spread[:, t]
    for t in range(steps - 2, -1, -1):
        back = p[:, t] @ moves[:, t + 1].transpose(0, 2, 1) @ np.linalg.inv(spread[:, t + 1] + 1e-12 * np.eye(2))
        back = back * (t + 1 < size)[:, None, None]
        x[:, t] += back @ (x[:, t + 1] - ahead[:, t + 1])
        p[:, t] += back @ (p[:, t + 1] - spread[:, t + 1]) @ back.transpose(0, 2, 1)
    return x, p


def _level(z: np.ndarray, noise: np.ndarray, gap: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smooth numbers (C, T) that change slowly along C chains."""
    steps = z.shape[1]
    x, p = z.copy(), noise.copy()
    spread = p.copy()
    for t in range(1, steps):
        spread[:, t] = p[:, t - 1] + TAPER * z[:, t] ** 2 * gap[:, t - 1]
        gain = spread[:, t] / (spread[:, t] + noise[:, t])
        x[:, t] = x[:, t - 1] + gain * (z[:, t] - x[:, t - 1])
        p[:, t] = (1 - gain) * spread[:, t]
    for t in range(steps - 2, -1, -1):
        back = p[:, t] / np.maximum(spread[:, t + 1], 1e-12) * (t + 1 < size)
        p[:, t] += back**2 * (p[:, t + 1] - spread[:, t + 1])
        x[:, t] += back * (x[:, t + 1] - x[:, t])
    return x, p


def _along(place: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return directions (C, T, 3) with the sign of the way along their chain."""
    way = np.gradient(place, axis=1)
    return direction * np.where((direction * way).sum(-1, keepdims=True) < 0, -1.0, 1.0)


def _walked(sides: np.ndarray) -> list[list[int]]:
    seen, chains = np.zeros(len(sides), bool), []
    ends = np.flatnonzero((sides < 0).any(1))
    for start in ends.tolist():
        if seen[start]:
            continue
        chain, before, node = [], -1, start
        while node >= 0:
            chain.append(node)
            seen[node] = True
            one, two = sides[node].tolist()
            before, node = node, two if one == before else one
        chains.append(chain)
    return chains


def _leader(leader: list[int], node: int) -> int:
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node
