"""Learned sparse coding: ISTA unrolled, with more or fewer of its places opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..algorithms import CoupledIsta, Ista, analytic_weights
from ..core import Unrolled, fixed, parameterize, per_step, shared, unroll
from ..networks import LstmSchedule
from ..records import recorded

Net = Unrolled[Tensor, Any, Tensor]


@recorded
def lista(dictionary: Tensor, penalty: float, steps: int = 16) -> Net:
    """Both matrices, the same in all steps, and every step's threshold are learned (Gregor and LeCun, ICML 2010)."""
    openings = {"encode": shared(), "mix": shared(), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(Ista(dictionary, penalty), openings), steps)


@recorded
def lista_cp(dictionary: Tensor, penalty: float, steps: int = 16, support: Sequence[float] = ()) -> Net:
    """One coupled matrix and one threshold a step, with support selection (Chen et al., arXiv:1808.10038)."""
    openings = {"weights": per_step(steps), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(CoupledIsta(dictionary, penalty, support), openings), steps)


@recorded
def alista(
    dictionary: Tensor,
    penalty: float,
    steps: int = 16,
    support: Sequence[float] = (),
    step_size: float = 1.0,
    decay: float = 1.0,
) -> Net:
    """Analytic weights; a step size and a threshold a step are all that is learned (Liu et al., ICLR 2019).

    Training starts from equal step sizes and from thresholds ``penalty / |A|^2 * decay^k``. From constant ones (decay
    1) it gets stuck where n is several times m; from 0.8 it does not.
    """
    algorithm = CoupledIsta(dictionary, penalty, support)
    return _analytic(algorithm, steps, step_size, decay)


@recorded
def na_alista(
    dictionary: Tensor,
    penalty: float,
    steps: int = 16,
    support: Sequence[float] = (),
    step_size: float = 1.0,
    decay: float = 1.0,
    hidden: int = 128,
) -> Net:
    """:func:`alista` whose numbers an LSTM multiplies, for every sample by its own factors (arXiv:2102.00714)."""
    schedule = LstmSchedule(hidden).to(dictionary.dtype)
    algorithm = CoupledIsta(dictionary, penalty, support, schedule)
    return _analytic(algorithm, steps, step_size, decay)


def _analytic(algorithm: CoupledIsta, steps: int, step_size: float, decay: float) -> Net:
    first = float(algorithm.threshold(0).detach())
    openings = {
        "weights": fixed(analytic_weights(algorithm.dictionary)),
        "step_size": per_step(steps, step_size),
        "threshold": per_step(steps, [first * decay**k for k in range(steps)], positive=True),
    }
    return unroll(parameterize(algorithm, openings), steps)
