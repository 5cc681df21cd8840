"""The protocol of the measured brain, and the exchange of files with BART."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from benchmarks import real_brain
from benchmarks.solvers import mri as rivals
from metaopt.applications.mri import cg_sense

from ..helpers import normal

needs_bart = pytest.mark.skipif(bool(rivals.bart_is_missing()), reason=str(rivals.bart_is_missing()))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_brain, "kspace", lambda: torch.zeros(1, 8, 320, 168))


@pytest.mark.parametrize(("acceleration", "share"), [(2, 0.57), (3, 0.43), (4, 0.36)])
def test_masks_keep_every_rth_line_and_24_in_the_middle(lines: None, acceleration: int, share: float) -> None:
    kept = real_brain.mask(acceleration)
    assert float(kept.mean()) == pytest.approx(share, abs=0.005)
    assert bool(kept[::acceleration].all()) and bool(kept[72:96].all())
    assert float(real_brain.mask(169).sum()) == 24


def test_quality_forgives_scale_and_phase_and_takes_the_references_peak() -> None:
    reference = normal(0, 1, 2, 9, 8, dtype=torch.complex128)
    off = normal(1, 1, 2, 9, 8, dtype=torch.complex128)
    noisy = reference + 0.1 * off
    phase = torch.exp(1j * normal(2, 9, 8))
    assert real_brain.quality(3e4 * phase * noisy, reference) == pytest.approx(real_brain.quality(noisy, reference))
    a, b = (np.sqrt((np.abs(x.numpy()) ** 2).sum(1)).ravel() for x in (noisy, reference))
    error = np.mean((a * (a @ b) / (a @ a) - b) ** 2)
    assert real_brain.quality(noisy, reference) == pytest.approx(10 * np.log10(b.max() ** 2 / error))


def test_cfl_files_come_back(tmp_path: Path) -> None:
    array = normal(0, 5, 4, 1, 3, dtype=torch.complex64).numpy()
    rivals.write_cfl(tmp_path / "a", array)
    assert (tmp_path / "a.hdr").read_text().splitlines()[1] == "5 4 1 3"
    np.testing.assert_array_equal(rivals.read_cfl(tmp_path / "a"), array)


def small_scan(sets: int) -> tuple[Tensor, Tensor, mo.InverseProblem]:
    maps = normal(3, sets, 6, 24, 20, dtype=torch.complex64)
    maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    keep = torch.ones(24, 20)
    keep[:, 1::3] = 0
    operator = mo.operators.Fourier(keep, centred=True) @ mo.operators.Sense(maps)
    y = operator(normal(4, 1, sets, 24, 20, dtype=torch.complex64))
    return y, maps, mo.InverseProblem(operator, y)


@needs_bart
@pytest.mark.parametrize("sets", [1, 2])
def test_bart_and_this_library_mean_the_same_by_centre_maps_and_sets(sets: int) -> None:
    y, maps, problem = small_scan(sets)
    theirs = rivals.bart_pics(y, maps, "-l2 -r 1e-6 -i 30 -w 1")  # with more, its rounding errors grow
    ours = cg_sense(problem, 1e-6, max_steps=200, until=mo.Settled(relative=1e-6))
    assert float((theirs - ours).norm() / ours.norm()) < 1e-2


def test_sigpy_and_this_library_mean_the_same_by_centre_and_maps() -> None:
    pytest.importorskip("sigpy")
    y, maps, problem = small_scan(1)
    theirs = rivals.sigpy_app(y, maps, "SenseRecon", 200, lamda=1e-6)
    ours = cg_sense(problem, 1e-6, max_steps=200, until=mo.Settled(relative=1e-6))
    assert float((theirs - ours).norm() / ours.norm()) < 1e-2


@needs_bart
def test_what_bart_refuses_is_raised_with_its_words() -> None:
    with pytest.raises(RuntimeError, match="bart pics --nonsense"):
        rivals.bart("pics --nonsense", np.zeros((2, 2), np.complex64))
