"""
The recipe
==========

Take a classical iterative algorithm. Cut it off after *T* steps. Open the places in it that may be learned. Put targets
at the end, backpropagate through the whole, then run it. This page does the six steps once, on sparse coding, where the
result is known as LISTA (Gregor and LeCun, ICML 2010).

.. code-block:: text

    problem (dataclass) -----+---- slots: fixed | shared | per_step
                             v
       init(P) -> S    step(P, S, k) -> S    readout(P, S, k) -> Out
                             v
       unroll(algorithm, steps, gradient=strategy)      the strategy owns the loop
                             v
       Trajectory(outputs, state) -> losses -> backward -> training -> viewer
"""

import matplotlib.pyplot as plt
import torch

import metaopt as mo

# %%
# The task
# --------
# A code ``z`` of 100 numbers, about 10 of them not zero, is seen through a known dictionary ``A`` as 50 measurements
# ``y = A z + noise``. We can draw as many pairs (y, z) as we like: that is a *distribution of problems*, and it is what
# makes learning an algorithm possible.

torch.manual_seed(0)
ROWS, COLUMNS = 50, 100
A = torch.nn.functional.normalize(torch.randn(ROWS, COLUMNS), dim=0)


def draw(batch):
    z = torch.randn(batch, COLUMNS) * (torch.rand(batch, COLUMNS) < 0.1)
    return z @ A.T + 0.01 * torch.randn(batch, ROWS), z


test_y, test_z = draw(1000)

# %%
# Step 1: study a classical algorithm
# -----------------------------------
# The iterative shrinkage-thresholding algorithm (ISTA) minimises ``|A z - y|^2 / 2 + penalty |z|_1``. A step is
#
# .. code-block:: text
#
#    z <- soft(encode y + mix z, threshold)
#
#    encode = A^T / L,   mix = I - A^T A / L,   threshold = penalty / L,
#
# where L is the largest eigenvalue of ``A^T A``, and ``soft`` moves every entry towards 0 by the threshold. In the
# library it is an :class:`~metaopt.Algorithm`: three methods ``init``, ``step`` and ``readout``. The places in it that
# could be learned are its *slots*.

ista = mo.Ista(A, penalty=0.2)
print("slots of ISTA:", ", ".join(mo.slots(ista)))

# %%
# Step 2: unroll
# --------------
# ``unroll`` cuts the algorithm off after T steps. The result is an ordinary ``nn.Module``: it takes a problem (here
# ``y``) and returns a :class:`~metaopt.Trajectory` that holds the estimate after every step.

T = 8
classical = mo.unroll(ista, steps=T)
trajectory = classical(test_y)
print(len(trajectory.outputs), "estimates, the last of shape", tuple(trajectory.final.shape))

# %%
# Step 3: open the places
# -----------------------
# ``parameterize`` returns a copy in which the named slots are learned. ``shared()`` learns one value for all steps,
# ``per_step(T)`` one value for each step. The two matrices are shared, every step gets a threshold of its own, and
# ``positive`` keeps it above zero.
#
# Nothing has been trained yet, so the opened algorithm must compute what the classical one computes. This is a law of
# the library, and it is tested for every algorithm.

openings = {"encode": mo.shared(), "mix": mo.shared(), "threshold": mo.per_step(T, positive=True)}
lista = mo.parameterize(ista, openings)
net = mo.unroll(lista, steps=T)

with torch.no_grad():
    difference = (net(test_y).final - classical(test_y).final).abs().max()
print("learned numbers:", sum(p.numel() for p in net.parameters()))
print("largest difference from ISTA before training:", float(difference))

# %%
# Steps 4 and 5: targets, and backpropagate
# -----------------------------------------
# The target is the true code. ``trajectory_loss`` compares it with the estimates: ``weights="last"`` looks at the last
# step only, ``"uniform"`` and ``"linear"`` at every step. The rest is a plain PyTorch loop.

UPDATES = 600
optimizer = torch.optim.Adam(net.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=UPDATES)
for update in range(UPDATES):
    y, z = draw(128)
    loss = mo.trajectory_loss(net(y), z, mo.mse, weights="last")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if update % 100 == 0 or update == UPDATES - 1:
        print(f"update {update:4d}   loss {loss.item():.5f}")

# %%
# Step 6: execute
# ---------------
# On codes that training never saw. The fair classical rivals are ISTA and its accelerated form FISTA, given the same
# problem, with the penalty that serves them best after T steps. The measure is the normalised mean squared error,
# ``|estimate - z|^2 / |z|^2`` over all test codes, in dB: 10 dB less is a tenth of the squared error.


def nmse(estimate):
    return 10 * torch.log10((estimate - test_z).square().sum() / test_z.square().sum()).item()


@torch.no_grad()
def curve(algorithm, problem):
    return [nmse(z) for z in mo.unroll(algorithm, steps=T)(problem).outputs]


problem = mo.InverseProblem(mo.operators.Dense(A), test_y)
step_size = mo.algorithms.step_size_for(problem)
penalties = [0.05 * 2 ** (i / 2) for i in range(9)]
ista_curve = min((curve(mo.Ista(A, p), test_y) for p in penalties), key=lambda c: c[-1])
fistas = [mo.Fista(mo.priors.Sparsity(p), step_size) for p in penalties]
fista_curve = min((curve(fista, problem) for fista in fistas), key=lambda c: c[-1])
lista_curve = curve(net.algorithm, test_y)

steps = range(1, T + 1)
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
axes.plot(steps, ista_curve, "s-", color="0.6", markersize=4, label="ISTA, best penalty")
axes.plot(steps, fista_curve, "^-", color="0.3", markersize=4, label="FISTA, best penalty")
axes.plot(steps, lista_curve, "o-", color="C0", markersize=4, label="LISTA, trained")
axes.set(xlabel="step", ylabel="NMSE on 1000 test codes (dB)", xlim=(0.5, T + 0.5))
axes.grid(alpha=0.3)
axes.legend()
for name, values in (("ISTA", ista_curve), ("FISTA", fista_curve), ("LISTA", lista_curve)):
    print(f"{name:5} after {T} steps: {values[-1]:.1f} dB")

# %%
# LISTA was trained for its last step and is behind FISTA in the first two: nothing asked it to be good there. What was
# learned can be read. ISTA has one threshold; LISTA has found a schedule.

with torch.no_grad():
    learned = [net.algorithm.threshold(k).item() for k in range(T)]
figure, axes = plt.subplots(figsize=(6.4, 3), layout="constrained")
axes.plot(steps, learned, "o-", color="C0", markersize=4, label="LISTA, trained")
axes.axhline(ista.threshold(0).item(), color="0.6", ls="--", label="before training (ISTA)")
axes.set(xlabel="step", ylabel="threshold (units of z)", ylim=(0, None))
axes.legend()
axes.grid(alpha=0.3)

# %%
# Where to go from here
# ---------------------
# The same six steps make the :doc:`Recurrent Inference Machine <plot_04_rim>` from gradient descent. To do them with an
# algorithm of your own, go on with :doc:`plot_02_your_algorithm`. How ``backward`` is done, and what it costs in
# memory, is a choice of its own: :doc:`plot_03_gradient_strategies`.
