"""RMSprop divides the gradient by the root of the running mean of its square."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..arguments.contracts import within
from ..core import slot, tree
from ..records import recorded
from .moments import as_complex, as_real, matching, root, running_square, zeros
from .update import check_x
from .weight_decay import add_weight_decay


@recorded
class RMSprop(nn.Module):
    """Descend along the gradient, divided by the root of the running mean of its square.

    ``change = -step_size * g / (sqrt(v) + epsilon)`` with ``v <- smoothing * v + (1 - smoothing) * g^2`` and ``g =
    gradient + weight_decay * x``. The memory is v, which starts at zero. It computes what ``torch.optim.RMSprop`` does.

    Slots:
        step_size: The step size, at least 0, in the units of x.
        smoothing: The decay of the mean of the square, in [0, 1].
        epsilon: What keeps the quotient finite, in the units of the gradient.
        weight_decay: The weight of an L2 penalty; no slot where it is ``None``, the default.

    Source:
        Tieleman and Hinton, Coursera lecture 6.5, 2012.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, step_size: Any = 1e-2, smoothing: Any = 0.99, epsilon: Any = 1e-8, weight_decay: Any = None):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.epsilon = slot(epsilon, within("epsilon", 0))
        self.smoothing = slot(smoothing, within("smoothing", 0, 1))
        self.weight_decay = None if weight_decay is None else slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Any:
        check_x("RMSprop", x)
        return zeros(x)

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        gradient = add_weight_decay(gradient, x, self.weight_decay, k)
        memory = running_square(memory, gradient, self.smoothing(k))
        size, epsilon = matching(-self.step_size(k)), matching(self.epsilon(k))

        def change(g: Tensor, v: Tensor) -> Tensor:
            return as_complex(size(v) * as_real(g) / (root(v) + epsilon(v)), g)

        return tree.map(change, gradient, memory), memory
