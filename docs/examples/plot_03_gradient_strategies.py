"""
Choose a gradient strategy
==========================

``unroll(algorithm, steps, gradient=...)`` takes an object that owns the loop and decides how it is differentiated. The
algorithm never knows. The outputs of the forward pass are the same for all but ``Implicit``, which stops when it has
converged; what differs is memory, time, and whether the gradient is exact.

.. list-table::
   :header-rows: 1
   :widths: 20 16 30 34

   * - strategy
     - memory in T
     - take it when
     - needs, or refuses
   * - :class:`~metaopt.Backprop`
     - O(T)
     - it fits into memory
     - nothing; the only one under ``mo.vmap``, ``torch.func``
   * - :class:`~metaopt.Checkpointed`
     - O(√T)
     - it does not fit, any algorithm
     - one more forward pass; no tensor hidden in a closure
   * - :class:`~metaopt.Reversible`
     - O(1)
     - T is large and the step can be undone
     - ``inverse_step``; first derivatives only; drift grows with T
   * - :class:`~metaopt.Truncated`
     - O(m)
     - a long run, and a biased gradient is good enough
     - nothing; the first T − m outputs carry no gradient
   * - :class:`~metaopt.Implicit`
     - O(1)
     - the algorithm runs to a fixed point
     - convergence; refuses ``per_step``; first derivatives only; one output

Memory and time depend on the machine and on the size of the state; ``python -m benchmarks.recipe`` measures them:
full, checkpointed and reversible gradients for T from 8 to 256. This page is about correctness, so it
computes in float64.
"""

import textwrap
import warnings

import matplotlib.pyplot as plt
import torch

import metaopt as mo

# %%
# The same gradient in three ways
# -------------------------------
# The problem: find x from 20 noisy projections. The algorithm: gradient descent with momentum, in the form that can be
# run backwards. Two numbers are learned, the step size and the momentum.

torch.manual_seed(0)
A = torch.randn(20, 10).double() / 20**0.5
target = torch.randn(8, 10).double()
problem = mo.InverseProblem(A, target @ A.T + 0.05 * torch.randn(8, 20).double())
algorithm = mo.parameterize(
    mo.algorithms.reversible_momentum(step_size=0.02, momentum=0.9),
    {"read.factor": mo.shared(), "mix.factor": mo.shared()},
)


def gradient(strategy, steps=32, weights="uniform"):
    """d loss / d (step size, momentum), and the report of the run."""
    trajectory = mo.unroll(algorithm, steps, gradient=strategy)(problem)
    loss = mo.trajectory_loss(trajectory, target, weights=weights)
    algorithm.zero_grad()
    loss.backward()
    return torch.stack([p.grad.clone() for p in algorithm.parameters()]), trajectory.report


exact, report = gradient(mo.Backprop())
print("Backprop:", exact.tolist())
for strategy in (mo.Checkpointed(), mo.Checkpointed(every=4), mo.Reversible()):
    found, report = gradient(strategy)
    error = ((found - exact).norm() / exact.norm()).item()
    print(f"{strategy!s:26} relative difference from Backprop {error:.0e}")

# %%
# ``Reversible`` keeps only the last state and undoes one step after another, so rounding errors grow on the way back.
# It knows where it must arrive, the initial state, and reports by how much it missed it:

_, report = gradient(mo.Reversible())
print(f"float64,  32 steps: {report.backward_residual:.0e}")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    algorithm.float()
    problem32, target32 = mo.core.tree.to((problem, target), dtype=torch.float32)
    trajectory = mo.unroll(algorithm, 400, gradient=mo.Reversible())(problem32)
    mo.trajectory_loss(trajectory, target32).backward()
    algorithm.double()
print(f"float32, 400 steps: {trajectory.report.backward_residual:.0e}")
print(textwrap.fill(str(caught[0].message), 80))

# %%
# Truncated: cheaper, and biased
# ------------------------------
# ``Truncated(last=m)`` runs the first T − m steps without a graph. Memory is that of m steps. What the early steps do
# to the result is not seen, so the gradient has an error that no number of samples averages away. How large it is
# depends on how long the algorithm remembers: measure it on your own problem, as here, with a loss on the last step of
# 32.

lasts = [1, 2, 4, 8, 12, 16, 20, 24, 28, 32]
exact, _ = gradient(mo.Backprop(), weights="last")
truncated = torch.stack([gradient(mo.Truncated(last), weights="last")[0] for last in lasts])
errors = (truncated - exact).norm(dim=1) / exact.norm()

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
left.plot(lasts, errors, "o-", ms=4)
left.set(xlabel="last (steps differentiated, of 32)", ylim=(0, None))
left.set(ylabel="relative error of the gradient")
right.plot(lasts, truncated[:, 1], "o-", ms=4)
right.axhline(exact[1], color="0.5", ls="--", label="exact")
right.set(xlabel="last (steps differentiated, of 32)", ylabel="d loss / d momentum")
right.legend()
for axes in (left, right):
    axes.grid(alpha=0.3)

# %%
# Left, the error of the whole gradient, in which the step size dominates. Right, its smaller entry alone, which
# truncation gets wrong in size and in sign.
#
# With one value a step the bias is plain to see: the early steps get no gradient at all.

untied = mo.parameterize(algorithm, {"read": mo.per_step(6)})
trajectory = mo.unroll(untied, 6, gradient=mo.Truncated(2))(problem)
mo.trajectory_loss(trajectory, target, weights="last").backward()
for name, parameter in untied.named_parameters():
    if name.startswith("read"):
        print(name, [f"{g:.2g}" for g in parameter.grad.flatten().tolist()])

# %%
# Implicit: differentiate the answer, not the way to it
# -----------------------------------------------------
# Where an algorithm runs to a fixed point ``x* = f(x*)``, the implicit function theorem gives the gradient from ``x*``
# alone, by one linear system. Here: how should the weight of a sparsity prior change so that the estimate gets nearer
# to the target? The long unroll is the reference.

lasso = mo.ProximalGradient(mo.priors.Sparsity(mo.shared(0.02)), step_size=mo.algorithms.step_size_for(problem))


def weight_gradient(strategy, steps):
    trajectory = mo.unroll(lasso, steps, gradient=strategy, keep="last")(problem)
    lasso.zero_grad()
    mo.mse(trajectory.final, target).backward()
    return lasso.prior(0).weight.value.grad.item(), trajectory.report


reference, _ = weight_gradient(mo.Backprop(), 600)
for tolerance in (1e-2, 1e-4, 1e-6, 1e-8):
    found, report = weight_gradient(mo.Implicit(tolerance=tolerance), 600)
    error = abs(found - reference) / abs(reference)
    print(f"tolerance {tolerance:.0e}: {report.steps:3d} steps, error of the gradient {error:.0e}")
print(textwrap.fill(str(report), 80))

# %%
# The report says whether it converged. Where it did not, the gradient cannot be trusted, and a warning says so:

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    _, report = weight_gradient(mo.Implicit(), 10)
print(textwrap.fill(str(caught[0].message), 80))
print(textwrap.fill(str(report), 80))

# %%
# What is refused, and how it sounds
# ----------------------------------


def show(attempt):
    try:
        attempt()
    except mo.MetaoptError as error:
        print(textwrap.fill(f"MetaoptError: {error}", 80), "\n")


# Implicit differentiation of steps that differ.
two_sizes = mo.parameterize(lasso, {"step_size": mo.per_step(10)})
show(lambda: mo.unroll(two_sizes, 10, gradient=mo.Implicit())(problem))

# A step without an inverse.
show(lambda: mo.unroll(lasso, 10, gradient=mo.Reversible())(problem))

# Second derivatives, where the backward pass is not itself differentiable. Checkpointed() gives them.
loss = mo.mse(mo.unroll(algorithm, 8, gradient=mo.Reversible())(problem).final, target)
show(lambda: torch.autograd.grad(loss, list(algorithm.parameters()), create_graph=True))

# %%
# Which one, then?
# ----------------
# Start with ``Backprop``. When memory runs out, write ``gradient=mo.Checkpointed()`` and change nothing else. For very
# deep networks build the step so that it can be undone (:func:`~metaopt.models.irim`) and use ``Reversible``. For
# solvers that converge, ``Implicit``. ``Truncated`` is the choice of learned optimizers that run for thousands of
# steps, and a useful regulariser: with a random number of steps before the differentiated ones, a network learns to
# stay where it is when it is run on (the recipes of this package are trained like that).
