"""Minimise by a gradient step for the smooth part of an energy and a prox for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..arguments.checks import check_tensor
from ..arguments.contracts import Count, Matrix, ModuleSlot, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, fixed, slot, tree
from ..operators import Mask
from ..operators.reach import PerAxis, period_of, reach_of
from ..operators.spectral import spectral_norm
from ..priors.prior import prior_slot, soft_threshold
from ..problems import Gaussian, InverseProblem, protocol
from ..problems.noise import per_sample

STEP = within("step_size", 0)  # the prox of a negative step is not defined


class IstaState(NamedTuple):
    """Hold the code ``z``, (B, n)."""

    z: Tensor


@checked
class Ista(Algorithm[Tensor, IstaState, Tensor]):
    """Code y sparsely in a dictionary A, ``min_z |A z - y|^2 / 2 + penalty |z|_1``, by iterated soft thresholding.

    A step is ``z <- soft(encode(y) + mix(z), threshold)``, from z = 0, with encode = A^T / L, mix = I - A^T A / L,
    threshold = penalty / L, and L the largest eigenvalue of A^T A. It equals :class:`ProximalGradient` with a fixed
    dictionary. With its slots opened it is LISTA (Gregor and LeCun, ICML 2010). The problem is the measurement y, (B,
    m).

    Args:
        dictionary: A, (m, n), real.
        penalty: Weight of the 1-norm of z, in the units of y squared.

    Slots:
        encode: Module from y (B, m) to (B, n).
        mix: Module from z (B, n) to (B, n).
        threshold: The threshold.

    Raises:
        MetaoptError: The dictionary is not a real matrix, or y does not fit it.
    """

    def __init__(self, dictionary: Matrix, penalty: float):
        super().__init__()
        check_dictionary("Ista", dictionary)
        self.shape = tuple(dictionary.shape)
        lipschitz = torch.linalg.matrix_norm(dictionary, 2).square()
        identity = torch.eye(self.shape[1], dtype=dictionary.dtype, device=dictionary.device)
        self.encode = slot(fixed(_linear(dictionary.T / lipschitz)))
        self.mix = slot(fixed(_linear(identity - dictionary.T @ dictionary / lipschitz)))
        self.threshold = slot(penalty / float(lipschitz), within("threshold", 0))

    def init(self, problem: Tensor) -> IstaState:
        return IstaState(
            zero_code("Ista", problem, self.shape, next((p.dtype for p in self.parameters() if p.ndim > 1), None))
        )

    def step(self, problem: Tensor, state: IstaState, k: int) -> IstaState:
        return IstaState(soft_threshold(self.encode(k)(problem) + self.mix(k)(state.z), self.threshold(k)))

    def readout(self, problem: Tensor, state: IstaState, k: int) -> Tensor:
        return state.z


def check_dictionary(who: str, dictionary: Tensor) -> None:
    """Check that a dictionary is a real matrix that is not empty, and has a precision that torch decomposes.

    Args:
        who: Name of the algorithm, for the error message.
        dictionary: The dictionary.

    Raises:
        MetaoptError: It is not.
    """
    check_tensor(f"The dictionary of {who}", dictionary, "real", "(m, n)")
    if dictionary.dtype.itemsize < 4 or not bool(dictionary.any()):
        raise MetaoptError(
            f"{who} needs a dictionary (m, n) in float32 or float64 with an entry other than 0, but got "
            f"{tree.describe(dictionary)}."
        )


def zero_code(who: str, y: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
    """Return the code before the first step.

    Args:
        who: Name of the algorithm, for the error message.
        y: The measurement, (B, m).
        shape: (m, n) of the dictionary.
        dtype: Its precision, where that is known.

    Returns:
        Zeros, (B, n).

    Raises:
        MetaoptError: y does not fit the dictionary.
    """
    check_tensor(f"The measurement that {who} codes", y)
    if y.ndim != 2 or y.shape[1] != shape[0] or y.dtype != (dtype or y.dtype):
        precision = "" if dtype is None else f" {str(dtype).removeprefix('torch.')}"
        raise MetaoptError(
            f"{who} with a dictionary {shape} codes measurements (B, {shape[0]}){precision}, but got "
            f"{tree.describe(y)}."
        )
    return y.new_zeros(len(y), shape[1])


class ProximalGradientState(NamedTuple):
    """Hold the estimate ``x``."""

    x: Tensor


@checked
class ProximalGradient(Algorithm[Any, ProximalGradientState, Tensor]):
    """Minimise the energies of problem and prior by ``x <- prox(x - step_size * gradient(x), step_size)``.

    The energy falls for step_size <= 1/L, where L is the Lipschitz constant of the problem's gradient
    (:func:`step_size_for`). The method is known as ISTA, and the excess energy falls like 1/k (Beck and Teboulle,
    doi:10.1137/080716542, theorem 3.1). The problem has ``start()`` and ``gradient(x)``, as an
    :class:`~metaopt.InverseProblem` has.

    Args:
        prior: The prior, with a method ``prox(x, step)``.
        step_size: A number, a tensor, or an opening of a slot.
        unit: A function of (problem, x) that gives a positive tensor, broadcastable to x, by which the step size is
            multiplied. With :func:`~metaopt.problems.noise_variance` one number fits every noise level. A prox has one
            step per sample, so of a unit that varies within a sample the smallest value counts. None: 1.

    Slots:
        prior: The prior, and its own slots, such as ``prior.weight``.
        step_size: The step size.
    """

    def __init__(self, prior: ModuleSlot, step_size: ValueSlot, unit: Callable[[Any, Tensor], Tensor] | None = None):
        super().__init__()
        self.unit = unit
        self.prior, self.step_size = prior_slot(prior, "prox", "ProximalGradient"), slot(step_size, STEP)

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.prior, "prox_reach")

    @property
    def period(self) -> PerAxis:
        return period_of(self.prior)

    def init(self, problem: Any) -> ProximalGradientState:
        x = protocol.begin(problem, "ProximalGradient")
        protocol.check_steps_fit("ProximalGradient", self.step_size(0), x)
        return ProximalGradientState(x)

    def step(self, problem: Any, state: ProximalGradientState, k: int) -> ProximalGradientState:
        step = self.step_size(k)
        if self.unit is not None:
            unit = self.unit(problem, state.x)
            step = (per_sample(unit.flatten(1).amin(1), state.x) if unit.ndim > 1 else unit) * step
        return ProximalGradientState(_forward_backward(self.prior(k), problem, state.x, step, k))

    def readout(self, problem: Any, state: ProximalGradientState, k: int) -> Tensor:
        return state.x


class FistaState(NamedTuple):
    """Hold the estimate ``x``, and ``ahead``, the point to which momentum carries it for the next step."""

    x: Tensor
    ahead: Tensor


@checked
class Fista(Algorithm[Any, FistaState, Tensor]):
    """Accelerate :class:`ProximalGradient` by momentum, so that the excess energy falls like 1/k^2.

    A step is ``x' <- prox(v - step_size * gradient(v), step_size)``, then ``v <- x' + (t_k - 1) / t_{k+1} (x' - x)``.

    The proof of Beck and Teboulle (doi:10.1137/080716542) needs t_1 = 1 and t_{k+1}^2 - t_{k+1} <= t_k^2. They take
    equality; here t_k = (k + 1)/2 (Chambolle and Dossal, doi:10.1007/s10957-015-0746-4), which has the same bound, ``2
    L |x_0 - x*|^2 / (k + 1)^2`` after k steps, and is a function of k alone.

    Args:
        prior: The prior, with a method ``prox(x, step)``.
        step_size: A number, a tensor, or an opening of a slot.

    Slots:
        prior: The prior, and its own slots, such as ``prior.weight``.
        step_size: The step size.
    """

    def __init__(self, prior: ModuleSlot, step_size: ValueSlot):
        super().__init__()
        self.prior, self.step_size = prior_slot(prior, "prox", "Fista"), slot(step_size, STEP)

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.prior, "prox_reach")

    @property
    def period(self) -> PerAxis:
        return period_of(self.prior)

    def init(self, problem: Any) -> FistaState:
        x = protocol.begin(problem, "Fista")
        protocol.check_steps_fit("Fista", self.step_size(0), x)
        return FistaState(x, x)

    def step(self, problem: Any, state: FistaState, k: int) -> FistaState:
        x = _forward_backward(self.prior(k), problem, state.ahead, self.step_size(k), k)
        return FistaState(x, x + k / (k + 3) * (x - state.x))

    def readout(self, problem: Any, state: FistaState, k: int) -> Tensor:
        return state.x


def _forward_backward(prior: Any, problem: Any, x: Tensor, step: Tensor, k: int) -> Tensor:
    """Step forward along the problem's gradient, then backward by the prior's prox."""
    return prior.prox(x - step * protocol.at(problem, k).gradient(x), step, k)


@checked
def step_size_for(problem: InverseProblem, *, iterations: Count = 50) -> Tensor:
    """Return the step size 1/L, where L is the Lipschitz constant of the gradient of a Gaussian likelihood.

    ``1/L = noise^2 / |A|^2``, by power iteration. Where the noise varies within a sample it is ``1 / |A / noise|^2``,
    one number for all samples. A smooth prior adds its own curvature to L.

    Args:
        problem: The problem, with a Gaussian likelihood.
        iterations: Number of power iterations.

    Returns:
        A number, or (B, 1, ...) where every sample has its own noise.

    Raises:
        MetaoptError: The likelihood is another one, whose gradient has no global Lipschitz constant.
    """
    if not isinstance(problem.likelihood, Gaussian):
        raise MetaoptError(
            f"step_size_for needs a Gaussian likelihood, but got {type(problem.likelihood).__name__}, whose gradient "
            "can be as steep as it likes; choose a step size by hand, or learn it by parameterize."
        )
    x = problem.start()
    noise = torch.ones((), dtype=x.dtype.to_real(), device=x.device) if problem.noise is None else problem.noise
    if noise.ndim > 1:
        steepest = spectral_norm(Mask(noise.reciprocal()) @ problem.operator, x, iterations=iterations)
        return noise.new_tensor(steepest).square().reciprocal()
    norm = spectral_norm(problem.operator, x, iterations=iterations)
    return per_sample(noise, x).div(norm).square()


def _linear(matrix: Tensor) -> nn.Linear:
    """Return the linear module of a matrix, made without drawing random weights first."""
    rows, columns = matrix.shape
    linear = nn.Linear(columns, rows, bias=False, dtype=matrix.dtype, device="meta").to_empty(device=matrix.device)
    with torch.no_grad():
        linear.weight.copy_(matrix)
    return linear
