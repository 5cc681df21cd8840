"""Adam and AdamW follow the running mean of the gradient, scaled by that of its square."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from ..arguments.contracts import within
from ..core import slot, tree
from ..records import recorded
from .moments import as_complex, matching, root, running_mean, running_square, zeros
from .update import check_x
from .weight_decay import add_weight_decay


class Moments(NamedTuple):
    """Moments hold the running means of the gradient (``first``) and of its square (``second``), from zero on."""

    first: Any
    second: Any


@recorded
class Adam(nn.Module):
    """Follow the running mean of the gradient, divided by the root of the running mean of its square.

    ``change = -step_size * m' / (sqrt(v') + epsilon)`` with ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 -
    beta2) g^2``, the corrections ``m' = m / (1 - beta1^(k+1))`` and ``v' = v / (1 - beta2^(k+1))``, and ``g = gradient
    + weight_decay * x`` (an L2 penalty). It computes what ``torch.optim.Adam`` does.

    Slots:
        step_size: At least 0, about the largest change of a coordinate in one step, in the units of x.
        beta1: the decay of the mean of the gradient, in [0, 1).
        beta2: the decay of the mean of its square, in [0, 1).
        epsilon: What keeps the quotient finite, in the units of the gradient.
        weight_decay: The weight of the L2 penalty; no slot where it is ``None``, the default.

    Source:
        Kingma and Ba, 2014, arXiv:1412.6980.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(
        self,
        step_size: Any = 1e-3,
        beta1: Any = 0.9,
        beta2: Any = 0.999,
        epsilon: Any = 1e-8,
        weight_decay: Any = None,
    ):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.epsilon = slot(epsilon, within("epsilon", 0))
        self.beta1, self.beta2 = slot(beta1, within("beta1", 0, below=1)), slot(beta2, within("beta2", 0, below=1))
        self.weight_decay = None if weight_decay is None else slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Moments:
        check_x("Adam", x)
        return Moments(zeros(x), zeros(x))

    def forward(
        self, gradient: Any, x: Any, memory: Moments, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, Moments]:
        gradient = add_weight_decay(gradient, x, self.weight_decay, k)
        beta1, beta2 = self.beta1(k), self.beta2(k)
        memory = _remember(memory, gradient, beta1, beta2)
        return _change(memory, x, k, self.step_size(k), beta1, beta2, self.epsilon(k)), memory


@recorded
class AdamW(nn.Module):
    """Follow Adam, and let x decay independently of the gradient.

    ``change = Adam's change - step_size * weight_decay * x``. It computes what ``torch.optim.AdamW`` does.

    Slots:
        step_size: As in :class:`Adam`.
        beta1: as in :class:`Adam`.
        beta2: as in :class:`Adam`.
        epsilon: As in :class:`Adam`.
        weight_decay: The rate of decay per unit of step size.

    Source:
        Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(
        self,
        step_size: Any = 1e-3,
        beta1: Any = 0.9,
        beta2: Any = 0.999,
        epsilon: Any = 1e-8,
        weight_decay: Any = 1e-2,
    ):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.epsilon = slot(epsilon, within("epsilon", 0))
        self.beta1, self.beta2 = slot(beta1, within("beta1", 0, below=1)), slot(beta2, within("beta2", 0, below=1))
        self.weight_decay = slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Moments:
        check_x("AdamW", x)
        return Moments(zeros(x), zeros(x))

    def forward(
        self, gradient: Any, x: Any, memory: Moments, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, Moments]:
        step_size, beta1, beta2 = self.step_size(k), self.beta1(k), self.beta2(k)
        memory = _remember(memory, gradient, beta1, beta2)
        change = _change(memory, x, k, step_size, beta1, beta2, self.epsilon(k))
        decay = step_size * self.weight_decay(k)
        return tree.map(lambda c, weights: (c - decay * weights).to(c.dtype), change, x), memory


def _remember(memory: Moments, gradient: Any, beta1: Tensor, beta2: Tensor) -> Moments:
    first = running_mean(memory.first, gradient, 1 - beta1)
    return Moments(first, running_square(memory.second, gradient, beta2))


def _change(memory: Moments, x: Any, k: int, step_size: Tensor, beta1: Tensor, beta2: Tensor, epsilon: Tensor) -> Any:
    """The corrections of both means are moved to the scalars: m' / (sqrt(v') + e) = c m' / (sqrt(v) + c e)."""
    c = (1 - beta2 ** (k + 1)).sqrt()
    size, floor = matching(step_size * c / (beta1 ** (k + 1) - 1)), matching(epsilon * c)

    def change(m: Tensor, v: Tensor, t: Tensor) -> Tensor:
        return as_complex(size(m) * m / (root(v) + floor(v)), t)

    return tree.map(change, memory.first, memory.second, x)
