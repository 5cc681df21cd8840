"""Other people's reconstructions from Cartesian k-space: BART's ``pics`` and sigpy's apps.

All take centred k-space (1, C, H, W) with zeros where nothing is measured and maps (S, C, H, W), and give a picture
(1, S, H, W). BART scales k-space by itself, so its regularisation weights and the scale of its pictures are its own:
compare after the best scale. sigpy is given k-space divided by the maximum of A^H y, and knows one set of maps only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rival = Callable[[Tensor, Tensor, float], Tensor]  # of k-space, maps and the weight


def bart_is_missing() -> str | None:
    """Why BART's rows cannot be measured here, or None where they can."""
    return None if shutil.which("bart") else "the program bart is not installed (apt-get install bart)"


def sigpy_is_missing() -> str | None:
    """Why sigpy's rows cannot be measured here, or None where they can."""
    return None if find_spec("sigpy") else "the package sigpy is not installed"


def bart(arguments: str, *arrays: np.ndarray) -> np.ndarray:
    """Run ``bart ARGUMENTS INPUT... OUTPUT`` on files in a temporary folder; arrays have BART's order of axes."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"in{i}" for i in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            write_cfl(Path(folder) / name, array)
        command = ["bart", *arguments.split(), *names, "out"]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **threads})
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {run.stderr.strip() or run.stdout.strip()}")
        return read_cfl(Path(folder) / "out")


def write_cfl(path: Path, array: np.ndarray) -> None:
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, array.shape))}\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path) -> np.ndarray:
    shape = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(shape, order="F")


def bart_maps(kspace: Tensor, calibration: int, sets: int) -> Tensor:
    """ESPIRiT maps (S, C, H, W) of ``bart ecalib`` from the middle ``calibration`` points of every axis."""
    found = bart(f"ecalib -m {sets} -r {calibration}", _bart_kspace(kspace))
    height, width, _, coils = found.shape[:4]
    return torch.from_numpy(found.reshape(height, width, coils, sets).transpose(3, 2, 0, 1).copy())


def bart_pics(kspace: Tensor, maps: Tensor, options: str) -> Tensor:
    """The picture (1, S, H, W) of ``bart pics OPTIONS``."""
    sets, _, height, width = maps.shape
    found = bart(f"pics {options}", _bart_kspace(kspace), maps.numpy().transpose(2, 3, 1, 0)[:, :, None])
    return torch.from_numpy(found.reshape(height, width, sets).transpose(2, 0, 1).copy())[None]


def _bart_kspace(kspace: Tensor) -> np.ndarray:
    return kspace[0].numpy().transpose(1, 2, 0)[:, :, None]


def sigpy_app(kspace: Tensor, maps: Tensor, name: str, steps: int, **settings: Any) -> Tensor:
    """The picture (1, 1, H, W) of one of sigpy's apps, with the first set of maps."""
    from sigpy.mri import app

    from metaopt.operators import Fourier, Sense

    y, first = kspace[0].numpy(), maps[:1]
    scale = float(Sense(first).adjoint(Fourier(centred=True).adjoint(kspace)).abs().max())
    weights = (np.abs(y).sum(0) > 0).astype(np.float32)
    solver = getattr(app, name)(
        y / scale, first[0].numpy(), weights=weights, show_pbar=False, max_iter=steps, **settings
    )
    return torch.from_numpy(solver.run())[None, None] * scale


# By name: the solver, and a weight from which to tune.
BART: Mapping[str, tuple[Rival, float]] = {
    "BART L1-wavelet": (lambda y, maps, w: bart_pics(y, maps, f"-R W:3:0:{w}"), 3e-3),
    "BART L1-wavelet, 40 iterations": (lambda y, maps, w: bart_pics(y, maps, f"-i 40 -R W:3:0:{w}"), 3e-3),
    "BART TV": (lambda y, maps, w: bart_pics(y, maps, f"-i 100 -u 0.1 -R T:3:0:{w}"), 2e-3),
    "BART CG-SENSE": (lambda y, maps, w: bart_pics(y, maps, f"-l2 -r {w}"), 1e-2),
}
SIGPY: Mapping[str, tuple[Rival, float]] = {
    "sigpy L1-wavelet": (lambda y, maps, w: sigpy_app(y, maps, "L1WaveletRecon", 60, lamda=w), 3e-3),
    "sigpy TV": (lambda y, maps, w: sigpy_app(y, maps, "TotalVariationRecon", 100, lamda=w, sigma=0.01), 2e-3),
    "sigpy SENSE": (lambda y, maps, w: sigpy_app(y, maps, "SenseRecon", 30, lamda=w), 1e-2),
}
