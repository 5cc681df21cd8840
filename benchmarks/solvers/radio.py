"""Other people's deconvolution of the same visibilities: WSClean, a program, and radler, its deconvolution alone.

WSClean reads a measurement set, which is written beforehand; radler gets dirty pictures and point spread functions of
the operator, which makes the residual of each of its major iterations. Both clean by multiple scales, with automatic
masks.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaopt.data import read_sky_picture, write_measurement_set
from metaopt.operators import briggs_weights, point_spread

from ..simulated_radio import FINEST, Case

MOST = 50_000  # components
MAJOR = 12  # major iterations
GAIN = 0.1
SPENT = re.compile(r"Inversion: (\S+), prediction: (\S+), deconvolution: (\S+)")


class Settings(NamedTuple):
    """Of both: the robust of Briggs' weights, mask and threshold in standard deviations, the gain of a major step."""

    robust: float = 0.0
    mask: float = 3.0
    threshold: float = 0.5
    major_gain: float = 0.8


class Cleaned(NamedTuple):
    """The model in Jy/pixel and the restored picture in Jy/beam (or None), (1, 1, H, W), and CPU seconds."""

    model: Tensor
    restored: Tensor | None
    seconds: float


def wsclean_is_missing() -> str | None:
    """Why WSClean's rows cannot be measured here, or None where they can."""
    return None if shutil.which("wsclean") else "the program wsclean is not installed (apt-get install wsclean)"


def wsclean_version() -> str | None:
    """What WSClean says of its version; None where it is missing."""
    if wsclean_is_missing():
        return None
    said = subprocess.run(["wsclean", "-version"], capture_output=True, text=True).stdout
    return next((line.strip() for line in said.splitlines() if line.strip()), None)


def radler_is_missing() -> str | None:
    """Why radler's rows cannot be measured here, or None where they can."""
    return None if find_spec("radler") else "the package radler is not installed"


@contextlib.contextmanager
def measurement_set(given: Case) -> Iterator[Path]:
    """The folder of a temporary measurement set of a case."""
    memory = Path("/dev/shm")  # where there is one, so that a slow disk is no part of what is timed
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "case.ms"
        write_measurement_set(path, [given.data], given.frequency, given.direction, given.antennas)
        yield path


def wsclean(given: Case, path: Path, settings: Settings) -> Cleaned:
    """What WSClean makes of a measurement set, on one thread.

    Its seconds are the CPU time of its process times the share that it logs for inversion, prediction and deconvolution
    in the time that it ran: without its start, reading and writing.
    """
    size = [str(n) for n in reversed(given.sky.shape[-2:])]
    command = ["wsclean", "-j", "1", "-no-update-model-required", "-no-dirty", "-name", "out", "-size", *size]
    command += ["-scale", f"{math.degrees(given.cell) * 3600:.12g}asec", "-weight", "briggs", str(settings.robust)]
    command += ["-multiscale", "-mgain", str(settings.major_gain), "-gain", str(GAIN), "-niter", str(MOST)]
    command += ["-nmiter", str(MAJOR), "-auto-mask", str(settings.mask), "-auto-threshold", str(settings.threshold)]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run = subprocess.run([*command, path.name], cwd=path.parent, capture_output=True, text=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = SPENT.search(run.stdout)
    if run.returncode or spent is None:
        raise RuntimeError(f"{' '.join(command)} failed: {run.stderr.strip() or run.stdout.strip()[-500:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    share = min(1.0, sum(map(_seconds, spent.groups())) / wall)
    model, restored = (read_sky_picture(path.parent / f"out-{name}.fits").pixels[None] for name in ("model", "image"))
    return Cleaned(model, restored, processor * share)


def _seconds(clock: str) -> float:
    """Of hours:minutes:seconds."""
    hours, minutes, seconds = map(float, clock.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def radler(given: Case, settings: Settings) -> Cleaned:
    """What radler makes of dirty pictures; its seconds are this process's CPU time, gridding included."""
    from radler import AlgorithmType, Radler
    from radler import Settings as Options

    shape, begin = tuple(given.sky.shape[-2:]), time.process_time()
    operator = given.operator
    weights = briggs_weights(
        given.data.uvw, given.frequency, given.data.weights, shape, given.cell, robust=settings.robust
    )
    weighted = operator.weighted(weights)
    total = float(weights.double().sum())
    dirty = weighted.adjoint(weighted.whiten(given.data.visibilities[None])) / total
    options = Options()
    options.algorithm_type = AlgorithmType.multiscale
    options.trimmed_image_height, options.trimmed_image_width = shape
    options.pixel_scale.x = options.pixel_scale.y = given.cell
    options.minor_iteration_count, options.major_iteration_count = MOST, MAJOR
    options.minor_loop_gain, options.major_loop_gain = GAIN, settings.major_gain
    options.auto_mask_sigma, options.auto_threshold_sigma = settings.mask, settings.threshold
    options.thread_count = options.parallel.max_threads = 1
    psf = point_spread(operator, weights)[0].float().numpy().copy()
    residual, model = dirty[0, 0].float().numpy().copy(), np.zeros(shape, np.float32)
    engine = Radler(options, psf, residual, model, FINEST * given.cell)
    for number in range(MAJOR):
        with _silence():
            again = engine.perform(number)
        found = torch.from_numpy(model)[None, None]
        residual[:] = (dirty - weighted.normal(found) / total)[0, 0].float().numpy()
        if not again:
            break
    seconds = time.process_time() - begin
    with _silence():
        del engine  # which says farewell
    return Cleaned(torch.from_numpy(model.copy())[None, None], None, seconds)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep compiled code from writing to the standard output, which it does by Python's and by its own."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
        ctypes.CDLL(None).fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
