"""
From CT to airway tree
======================

This page finds the airways in a CT of the chest and measures them: which branch follows which, how long and wide each
is, and how far the tree goes. With a CT on disk it takes one command, which needs
``pip install 'metaopt-torch[airway,viewer]'``:

.. code-block:: console

   $ metaopt airway segment DICOM/ airways.nii.gz --tree tree.swc --table branches.csv --page airways.html
   $ metaopt airway evaluate ct.nii.gz reference.nii.gz          # for those who have a reference mask
   $ metaopt airway measure mask.nii.gz --table branches.csv     # for those who have a mask already

NIfTI, NRRD and folders of DICOM slices are read; ``--method`` says how the airways are found.

What is simulated here: **all of it**. :mod:`metaopt.tasks.airways` draws lungs, airways, vessels and the noise of a
scanner from published morphometry, so that the truth is known to the last branch. The chest is that of a small person,
and its CT is coarser than those of hospitals, so that this page is made within a minute. Nobody moves or coughs in it,
there is no mucus and no disease, and lungs have smooth surfaces. Its scores say nothing about patients.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from metaopt.applications.airway import Outputs, describe_scores, evaluate_file, segment_file, summarize, tabulate
from metaopt.data import write_nifti
from metaopt.tasks.airways import Scanner, by_generation, draw_lungs, grow_airways, simulate_ct

# %%
# A chest
# -------
# An airway tree grows into two lungs. Each region of lung is divided by a plane; the flow that each side needs gives
# the diameters and angles of two branches, until a lumen would be narrower than 1.4 mm. The scanner blurs by 1 mm and
# adds a noise of 20 Hounsfield units. The volume is written as NIfTI, as a scan would be, and its lumen beside it.

SPACING = (1.0, 1.0, 1.0)  # mm along (z, y, x)
lungs = draw_lungs(seed=3, spacing=SPACING, litres=3.0)
chest = simulate_ct(grow_airways(lungs, SPACING, seed=3), lungs, SPACING, seed=3, scanner=Scanner(blur=1.0, noise=20.0))
print(f"truth: {summarize(chest.tree)}")

folder = Path(tempfile.mkdtemp())
affine = torch.diag(torch.tensor([*SPACING[::-1], 1.0], dtype=torch.float64))
write_nifti(folder / "ct.nii.gz", chest.volume, affine=affine)
write_nifti(folder / "truth.nii.gz", chest.lumen.float(), affine=affine)

# %%
# Find the airways
# ----------------
# :func:`~metaopt.applications.airway.segment_file` is what the command calls. Region growing has learned nothing: it
# starts in the trachea and takes what is dark and connected, up to the threshold above which it would leak into the
# lung.


def segmented(method):
    names = (f"{method}.nii.gz", f"{method}.swc", f"{method}.csv", f"{method}.html")
    outputs = Outputs(*(folder / name for name in names))
    found = segment_file(folder / "ct.nii.gz", outputs, method=method)
    print(*found.notes, sep="\n")
    print(*(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB" for path in outputs.paths), sep="\n")
    return found


grown = segmented("grow")

# %%
# How much of the truth is that? These are the measures of the EXACT'09 and ATM'22 challenges.

print(describe_scores(evaluate_file(folder / "grow.nii.gz", folder / "truth.nii.gz")))

# %%
# What was found is right, but it ends early. Where a wall is thinner than a voxel, it is seen as little more than lung,
# and growing further would leak. The default method has learned to see more than one voxel at a time: a network says of
# each voxel how probably it lies in an airway, candidate branches are joined to a graph, a graph network says which of
# its edges are real, and the most probable tree is filled.

found = segmented("gnn")
print(describe_scores(evaluate_file(folder / "gnn.nii.gz", folder / "truth.nii.gz")))

# %%
# The tree
# --------
# The trees from the front in the colours of their generations, and a slice with the outlines of the truth (blue) and
# of what the network found (orange). The person's left is on the right: volumes that are read lead to the head, the
# back and the left, whatever the file has; simulated ones lead to the head, the front and the right.

WIDTH = SPACING[2] * (lungs.shape[2] - 1)


COLORS = plt.get_cmap("viridis_r", 10)  # of the generations


def draw(axis, title, tree, mirrored=False):
    for line, radius, generation in zip(tree.points, tree.radius, tree.generation.tolist(), strict=True):
        across = WIDTH - line[:, 2] if mirrored else line[:, 2]
        axis.plot(across, line[:, 0], color=COLORS(generation), lw=float(radius.mean()), solid_capstyle="round")
    axis.set(title=title, aspect="equal", xlim=(0, WIDTH), xlabel="to the left, mm")


_, axes = plt.subplots(1, 4, figsize=(13, 4.2), layout="constrained", sharey=True)
draw(axes[0], "truth", chest.tree, mirrored=True)
draw(axes[1], "region growing", grown.tree)
draw(axes[2], "graph network", found.tree)
axes[0].set_ylabel("to the head, mm")
at = round(float(found.tree.points[0][-1, 1]) / SPACING[1])  # where the trachea divides
axes[3].imshow(found.ct.volume[:, at], cmap="gray", vmin=-1350, vmax=150, origin="lower")
axes[3].contour(chest.lumen.flip(1, 2)[:, at], levels=[0.5], colors="tab:blue", linewidths=1.5)
axes[3].contour(found.mask[:, at], levels=[0.5], colors="tab:orange", linewidths=0.8)
axes[3].set(title="coronal slice", xlabel="to the left, mm")

# %%
# The table
# ---------
# :func:`~metaopt.applications.airway.tabulate` gives a row for each branch, and ``gnn.csv`` has them all. Taper is
# by how much the diameter falls per length.

rows = tabulate(found.tree, found.ct.grid)
print(f"{'branch':>6}{'parent':>8}{'generation':>12}{'side':>7}{'length':>9}{'diameter':>10}{'area':>11}{'taper':>12}")
for row in rows[:12]:
    taper = "" if row.taper_mm_per_mm is None else f"{row.taper_mm_per_mm:+.3f} mm/mm"
    print(
        f"{row.branch:6}{row.parent:8}{row.generation:12}{row.side:>7}{row.length_mm:6.1f} mm{row.diameter_mm:7.1f} mm"
        f"{row.area_mm2:7.1f} mm2{taper:>13}"
    )

# %%
# Which branches are missing, and are those that were found as wide as they should be?

print(f"{'generation':>10}{'branches':>10}{'found':>7}{'diameter, mm':>15}{'found':>7}")
deep = by_generation([found.tree])
for real in by_generation([chest.tree]):
    print(f"{real.generation:10}{real.branches:10.0f}", end="")
    print(f"{deep[real.generation].branches:7.0f}" if real.generation < len(deep) else f"{0:7}", end="")
    print(f"{2 * real.radius:15.1f}", end="")
    print(f"{2 * deep[real.generation].radius:7.1f}" if real.generation < len(deep) else "")

# %%
# Where a branch is missed, the two pieces before and after it count as one, so that what follows has a lower number
# than in the truth. Small airways are measured up to a quarter too narrow here: voxels at their rim are partly wall,
# and region growing leaves them out.
#
# Look at it
# ----------
# ``gnn.html`` shows the tree beside three planes of the CT, without a network or anything installed: it is turned
# with mouse, fingers or keys, and a click on a branch, in the tree, in a slice or in the table, shows it everywhere.
# This is how it looks.
#
# .. image:: /images/airway_page.jpg
#    :alt: A tree of airways in the colours of its generations, beside an axial, a coronal and a sagittal slice in which
#          the lumen is outlined in the same colours
#
# Learn it
# --------
# The other methods of ``--method`` judge the same graph: ``mfn`` unrolls mean field, ``bp`` belief propagation, and
# ``edge`` sees each edge alone. How such a graph is made, and how each slot is learned, is shown on roads, on the page
# :doc:`Refine a graph <plot_14_graph_refinement>`; how much each finds, on :doc:`/results_airway`.
