"""Adam and AdamW."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from ..core import slot, tree
from ..records import recorded
from .moments import as_complex, matching, root, running_mean, running_square, zeros
from .weight_decay import add_weight_decay


class Moments(NamedTuple):
    """Running means of the gradient (``first``) and of its square (``second``), both starting at zero."""

    first: Any
    second: Any


@recorded
class Adam(nn.Module):
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  change = -step_size m' / (sqrt(v') + epsilon),

    with m' = m / (1 - beta1^(k+1)), v' = v / (1 - beta2^(k+1)) and g = gradient + weight_decay * x (L2 penalty).

    ``torch.optim.Adam``. Kingma and Ba, arXiv:1412.6980.

    Slots: ``step_size``, ``beta1``, ``beta2``, ``epsilon``; ``weight_decay`` unless it is ``None``.
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
        self.step_size, self.epsilon = slot(step_size), slot(epsilon)
        self.beta1, self.beta2 = slot(beta1), slot(beta2)
        self.weight_decay = None if weight_decay is None else slot(weight_decay)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Moments:
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
    """Adam, whose weights decay apart from the gradient: change = Adam's change - step_size * weight_decay * x.

    ``torch.optim.AdamW``. Loshchilov and Hutter, arXiv:1711.05101.

    Slots: ``step_size``, ``beta1``, ``beta2``, ``epsilon``, ``weight_decay``.
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
        self.step_size, self.epsilon = slot(step_size), slot(epsilon)
        self.beta1, self.beta2, self.weight_decay = slot(beta1), slot(beta2), slot(weight_decay)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Moments:
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
    return Moments(first, running_square(memory.second, gradient, 1 - beta2))


def _change(memory: Moments, x: Any, k: int, step_size: Tensor, beta1: Tensor, beta2: Tensor, epsilon: Tensor) -> Any:
    """The corrections of both means are moved to the scalars: m' / (sqrt(v') + e) = c m' / (sqrt(v) + c e)."""
    c = (1 - beta2 ** (k + 1)).sqrt()
    size, floor = matching(step_size * c / (beta1 ** (k + 1) - 1)), matching(epsilon * c)

    def change(m: Tensor, v: Tensor, t: Tensor) -> Tensor:
        return as_complex(size(m) * m / (root(v) + floor(v)), t)

    return tree.map(change, memory.first, memory.second, x)
