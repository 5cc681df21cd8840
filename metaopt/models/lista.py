"""Build learned sparse coding: unrolled ISTA with more or fewer learned slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..algorithms import CoupledIsta, Ista, analytic_weights
from ..arguments.contracts import Count, Matrix, Natural, NotNegative, Positive, Share, checked
from ..core import Unrolled, fixed, parameterize, per_step, shared, unroll
from ..networks import LstmSchedule
from ..records import recorded

Net = Unrolled[Tensor, Any, Tensor]


@recorded
@checked
def lista(dictionary: Matrix, penalty: NotNegative, steps: Natural = 16) -> Net:
    """Build LISTA: ISTA with learned matrices, shared by all steps, and one learned threshold per step.

    Before training it equals ISTA.

    Args:
        dictionary: The dictionary A, (m, n).
        penalty: Weight of the 1-norm.
        steps: Number of steps.

    Returns:
        The network. It maps measurements (B, m) to codes (B, n).

    Source:
        Gregor and LeCun, ICML 2010, https://icml.cc/Conferences/2010/papers/449.pdf
    """
    openings = {"encode": shared(), "mix": shared(), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(Ista(dictionary, penalty), openings), steps)


@recorded
@checked
def lista_cp(dictionary: Matrix, penalty: NotNegative, steps: Natural = 16, support: Sequence[Share] = ()) -> Net:
    """Build LISTA with coupled weights: one matrix and one threshold per step (Chen et al., arXiv:1808.10038).

    Args:
        dictionary: The dictionary A, (m, n).
        penalty: Weight of the 1-norm.
        steps: Number of steps.
        support: For each step, the share of the largest entries that the threshold leaves alone (support selection).

    Returns:
        The network. It maps measurements (B, m) to codes (B, n).
    """
    openings = {"weights": per_step(steps), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(CoupledIsta(dictionary, penalty, support), openings), steps)


@recorded
@checked
def alista(
    dictionary: Matrix,
    penalty: NotNegative,
    steps: Natural = 16,
    support: Sequence[Share] = (),
    step_size: float = 1.0,
    decay: Positive = 1.0,
) -> Net:
    """Build ALISTA: analytic weights, with one learned step size and threshold per step (Liu et al., ICLR 2019).

    Training starts from equal step sizes and from the thresholds ``penalty / |A|^2 * decay^k``. With constant
    thresholds (``decay=1``) training gets stuck where n is several times m; with 0.8 it does not.

    Args:
        dictionary: The dictionary A, (m, n).
        penalty: Weight of the 1-norm.
        steps: Number of steps.
        support: For each step, the share of the largest entries that the threshold leaves alone (support selection).
        step_size: Initial step size of every step.
        decay: Factor from each initial threshold to the next.

    Returns:
        The network. It maps measurements (B, m) to codes (B, n).

    Source:
        https://openreview.net/forum?id=B1lnzn0ctQ
    """
    algorithm = CoupledIsta(dictionary, penalty, support)
    return _analytic(algorithm, steps, step_size, decay)


@recorded
@checked
def na_alista(
    dictionary: Matrix,
    penalty: NotNegative,
    steps: Natural = 16,
    support: Sequence[Share] = (),
    step_size: float = 1.0,
    decay: Positive = 1.0,
    hidden: Count = 128,
) -> Net:
    """Build :func:`alista` whose step sizes and thresholds an LSTM scales for every sample (arXiv:2102.00714).

    Args:
        dictionary: The dictionary A, (m, n).
        penalty: Weight of the 1-norm.
        steps: Number of steps.
        support: For each step, the share of the largest entries that the threshold leaves alone (support selection).
        step_size: Initial step size of every step.
        decay: Factor from each initial threshold to the next.
        hidden: Width of the LSTM.

    Returns:
        The network. It maps measurements (B, m) to codes (B, n).
    """
    schedule = LstmSchedule(hidden).to(dictionary.dtype)
    algorithm = CoupledIsta(dictionary, penalty, support, schedule)
    return _analytic(algorithm, steps, step_size, decay)


def _analytic(algorithm: CoupledIsta, steps: int, step_size: float, decay: Positive) -> Net:
    first = float(algorithm.threshold(0).detach())
    openings = {
        "weights": fixed(analytic_weights(algorithm.dictionary)),
        "step_size": per_step(steps, step_size),
        "threshold": per_step(steps, [first * decay**k for k in range(steps)], positive=True),
    }
    return unroll(parameterize(algorithm, openings), steps)
