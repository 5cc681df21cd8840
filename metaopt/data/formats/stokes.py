"""Make Stokes I of the correlations that receivers give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import MetaoptError

# The numbers of casacore's enumeration Stokes::StokesTypes.
NAMES = ("?", "I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY")
HANDS = (("XX", "YY"), ("RR", "LL"))


def correlation_names(codes: Sequence[int]) -> tuple[str, ...]:
    """Return the names of correlations.

    Args:
        codes: Their numbers in casacore.
    """
    return tuple(NAMES[code] if 0 < code < len(NAMES) else f"code {code}" for code in codes)


def choose_hands(names: Sequence[str]) -> tuple[tuple[int, ...], str | None]:
    """Return which correlations Stokes I is the mean of, and what its user should know of that.

    Args:
        names: Such as ("XX", "XY", "YX", "YY").

    Returns:
        One or two indices, and a note or None.

    Raises:
        MetaoptError: There is none that Stokes I could be made of.
    """
    names = list(names)
    if "I" in names:
        return (names.index("I"),), None
    for first, second in HANDS:
        if first in names and second in names:
            return (names.index(first), names.index(second)), None
    for hand in ("XX", "YY", "RR", "LL"):
        if hand in names:
            return (names.index(hand),), f"only {hand} was correlated, and is taken for Stokes I"
    raise MetaoptError(
        f"holds the correlations {', '.join(names)}, of which Stokes I cannot be made; it takes I, XX and YY, or RR "
        "and LL."
    )


def stokes_i(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Stokes I, the mean of two hands whose noise is independent, or the one that there is.

    Args:
        values: (V, F, 1 or 2).
        weights: (V, F, 1 or 2), 1 / variance; where one hand has 0, I has.

    Returns:
        The values and the weights, (V, F) each.
    """
    if values.shape[-1] == 1:
        return values[..., 0], weights[..., 0]
    first, second = (np.where(np.isfinite(w) & (w > 0), w, 0) for w in (weights[..., 0], weights[..., 1]))
    both = np.where((first > 0) & (second > 0), first + second, 1)
    return (values[..., 0] + values[..., 1]) / 2, 4 * first * second / both
