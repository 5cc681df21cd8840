"""
Make your own solver learnable
==============================

An algorithm that the library has never heard of takes three functions: how to start, one step, and how to read the
result. This page wraps one in ten lines, writes it again as a class, opens its places, and shows what happens when
something does not fit.
"""

import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import metaopt as mo

# %%
# The problem
# -----------
# Everything that is given goes into a *problem*: a frozen dataclass of tensors, batch first. Methods are welcome. Ours
# is a batch of linear systems ``A x = b``. Give it ``start``, ``energy`` and ``gradient``, and every first-order method
# of the library (``Descent`` with any update) runs on it too.
#
# Why a dataclass and not a closure? Some gradient strategies compute steps again during ``backward``. They must find
# every tensor that a step uses, and those inside a closure cannot be found.


@dataclass(frozen=True)
class LinearSystem:
    """A x = b with symmetric positive definite A, (B, n, n), and b, (B, n)."""

    A: Tensor
    b: Tensor

    def start(self):
        return torch.zeros_like(self.b)

    def energy(self, x):
        return (x * (torch.einsum("bij,bj->bi", self.A, x) / 2 - self.b)).sum(1)

    def gradient(self, x):
        return torch.einsum("bij,bj->bi", self.A, x) - self.b


torch.manual_seed(0)


def draw(batch, n=8):
    """Poisson's equation on a line: random coefficients, random right-hand sides."""
    cells = 0.5 + torch.rand(batch, n + 1)
    A = torch.diag_embed(cells[:, :-1] + cells[:, 1:])
    A = A - torch.diag_embed(cells[:, 1:-1], 1) - torch.diag_embed(cells[:, 1:-1], -1)
    return LinearSystem(A, torch.randn(batch, n))


# %%
# Three functions
# ---------------
# The damped Jacobi iteration solves ``A x = b`` by ``x' = x + w (b - A x) / D``, where D is the diagonal of A and w a
# damping factor. ``step`` gets the problem, the state, the step number k (a plain int) and, by name, the value of each
# slot at step k.


def jacobi_step(problem, x, k, damping):
    return x - damping * problem.gradient(x) / problem.A.diagonal(dim1=-2, dim2=-1)


def start(problem):
    return problem.start()


jacobi = mo.Algorithm.from_step(jacobi_step, init=start, slots={"damping": 0.9})

# %%
# That is all. It can be run to convergence without a graph:

problem = draw(4)
result = mo.solve(jacobi, problem, max_steps=2000)
print(result.report)
print("largest |A x - b|:", problem.gradient(result.final).abs().max().item())

# %%
# and it can be unrolled and opened. Here each of 10 steps gets a damping factor of its own, kept above 0.

T = 10
opened = mo.parameterize(jacobi, {"damping": mo.per_step(T, positive=True)})
net, plain = mo.unroll(opened, steps=T), mo.unroll(jacobi, steps=T)
with torch.no_grad():
    difference = (net(problem).final - plain(problem).final).abs().max().item()
print(f"before training it differs from the plain solver by {difference:.0e}")

# %%
# Training needs no known solution: what we want is a small residual after T steps, on systems that we draw.
#
# One look at the mathematics first. These steps commute, so as long as all factors are equal, all their gradients are
# equal too, and they would stay equal for ever. A list gives every step a start of its own, which breaks the tie.

nearly_equal = [0.88, 0.92] * (T // 2)
opened = mo.parameterize(jacobi, {"damping": mo.per_step(T, nearly_equal, positive=True)})
net = mo.unroll(opened, steps=T)


def residual(problem, x):
    """|A x - b| / |b|, averaged over the batch."""
    return (problem.gradient(x).norm(dim=1) / problem.b.norm(dim=1)).mean()


optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
for _ in range(200):
    problem = draw(32)
    loss = residual(problem, net(problem).final).log()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
# The rival is the Jacobi iteration with the one factor that serves best after T steps.

held_out = draw(500)


@torch.no_grad()
def curve(algorithm, steps=T):
    outputs = mo.unroll(algorithm, steps)(held_out).outputs
    return [residual(held_out, x).item() for x in (held_out.start(), *outputs)]


factors = [0.7 + 0.02 * i for i in range(20)]
fixed = {w: mo.parameterize(jacobi, {"damping": mo.fixed(w)}) for w in factors}
classical = {w: curve(fixed[w], 2 * T) for w in factors}
best = min(classical, key=lambda w: classical[w][T])
learned = curve(opened)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.semilogy(classical[best], "s-", color="0.5", ms=4, label=f"Jacobi, best factor {best:.2f}")
left.semilogy(learned, "o-", color="C0", ms=4, label="Jacobi, 10 learned factors")
left.set(xlabel="step", ylabel="residual |A x − b| / |b|")
left.grid(alpha=0.3)
left.legend()
values = [opened.damping(k).item() for k in range(T)]
right.plot(range(1, T + 1), values, "o-", color="C0", ms=4)
right.axhline(best, color="0.5", linestyle="--")
right.set(xlabel="step", ylabel="damping factor", ylim=(0, None))
right.grid(alpha=0.3)
print(f"residual: classical {classical[best][T]:.3f} after {T} steps")
print(f"residual: classical {classical[best][-1]:.3f} after {2 * T} steps")
print(f"residual: learned   {learned[-1]:.3f} after {T} steps")

# %%
# Ten learned steps do about what twenty classical ones do. Long steps, which would diverge if they were repeated, take
# away what short steps leave behind: training has found what numerical analysis calls Chebyshev's semi-iteration.
#
# As a class
# ----------
# A class says the same with names. What changes from step to step is a NamedTuple of tensors, the *state*; slots are
# made in ``__init__`` by ``mo.slot`` and read in ``step`` as ``self.name(k)``. Three rules make everything else work:
# ``step`` changes nothing in place, keeps the shapes and dtypes of the state, and draws no random number from torch's
# global generator.


class HeavyBallState(NamedTuple):
    x: Tensor
    v: Tensor


class HeavyBall(mo.Algorithm):
    """v <- momentum v - step_size gradient(x), x <- x + v. Slots: ``step_size``, ``momentum``."""

    def __init__(self, step_size, momentum):
        super().__init__()
        self.step_size, self.momentum = mo.slot(step_size), mo.slot(momentum)

    def init(self, problem):
        x = problem.start()
        return HeavyBallState(x, torch.zeros_like(x))

    def step(self, problem, state, k):
        v = self.momentum(k) * state.v - self.step_size(k) * problem.gradient(state.x)
        return HeavyBallState(state.x + v, v)

    def readout(self, problem, state, k):
        return state.x


heavy_ball = HeavyBall(step_size=0.4, momentum=0.9)
opened = mo.parameterize(
    heavy_ball, {"step_size": mo.per_step(T, positive=True), "momentum": mo.shared(interval=(0, 1))}
)
print({name: tuple(parameter.shape) for name, parameter in opened.named_parameters()})

# %%
# A slot can hold a module as well: give ``mo.slot`` an ``nn.Module``, and ``self.name(k)`` is the module to call. That
# is how :class:`~metaopt.Ista` holds its two matrices, and :class:`~metaopt.Descent` its update.
#
# A run may be stopped and continued, and a call may ask for another number of steps:

net = mo.unroll(heavy_ball, steps=4)
first = net(held_out)
second = net(held_out, state=first.state, start=first.stop, steps=6)
with torch.no_grad():
    print("4 + 6 steps equal 10:", torch.equal(second.final, net(held_out, steps=10).final))

# %%
# What errors look like
# ---------------------
# An error names the cause and the remedy. A few that everyone meets:


def show(attempt):
    try:
        attempt()
    except mo.MetaoptError as error:
        print(textwrap.fill(f"MetaoptError: {error}", 80), "\n")


# A name that is not a slot.
show(lambda: mo.parameterize(heavy_ball, {"stepsize": mo.shared()}))

# More steps than a per-step slot holds.
show(lambda: mo.unroll(opened, steps=20)(held_out))

# A start outside the constraint.
show(lambda: mo.parameterize(heavy_ball, {"momentum": mo.shared(1.0, interval=(0, 1))}))

# A step that changes the shape of its state.
broken = mo.Algorithm.from_step(lambda problem, x, k: x[:, :-1], init=start)
show(lambda: mo.unroll(broken, steps=3)(held_out))

# A strategy that needs more than this algorithm has.
show(lambda: mo.unroll(heavy_ball, steps=3, gradient=mo.Reversible())(held_out))

# A tensor that requires grad, hidden in a closure.
hidden = torch.ones(8, requires_grad=True)
sneaky = mo.Algorithm.from_step(lambda problem, x, k: x - hidden * problem.gradient(x), init=start)
show(lambda: mo.unroll(sneaky, steps=3, gradient=mo.Checkpointed())(held_out))

# %%
# Test it
# -------
# In your own project, three checks find most mistakes: the opened algorithm equals the classical one before training; a
# run equals an independent solution; every gradient strategy gives the gradient of ``Backprop``.

net = mo.unroll(heavy_ball, steps=400, keep="last")
small = mo.core.tree.to(draw(3), dtype=torch.float64)
exact = torch.linalg.solve(small.A, small.b)
torch.testing.assert_close(net(small).final, exact, rtol=1e-6, atol=1e-6)
print("heavy ball agrees with torch.linalg.solve")

# %%
# An algorithm inside this library gets all of that from one row in the tables of ``tests/cases``:
#
# .. code-block:: python
#
#     Case(
#         "heavy ball",
#         lambda: HeavyBall(step_size=0.1, momentum=0.9),
#         dense_problem,
#         {"step_size": mo.per_step(5, positive=True), "momentum": mo.shared(interval=(0, 1))},
#         memory=lambda state: state.v,
#     ),
#
# That row runs every law of the library on it: opened equals classical, ``step`` is pure, the state keeps its shapes,
# all gradient strategies agree, stopping and continuing equals one run, a batch equals its items, ``state_dict``,
# ``deepcopy`` and pickle round-trip, and the memory matters.
