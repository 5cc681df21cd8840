"""What is computed on disk is what is computed in memory, also where a run is cut off and called again."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.priors import TotalVariation
from metaopt.problems.noise import noise_variance
from metaopt.scale import Convolved, WindowedProblem, out_of_core, piece
from metaopt.scale.store import StoredLevel

from .networks import random_rim, randomize

zarr = pytest.importorskip("zarr")
DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def denoising(*shape: int) -> mo.InverseProblem:
    return mo.InverseProblem(ops.Identity(), random(*shape), 0.1)


def blurred(*shape: int) -> mo.InverseProblem:
    return mo.InverseProblem(ops.Blur(random(3, 5, seed=7) / 15), random(*shape), 0.1)


def shrunk(height: int, width: int, factor: int) -> mo.InverseProblem:
    operator = ops.bicubic_downsample((height, width), factor, dtype=DOUBLE)
    return mo.InverseProblem(operator, operator(random(1, 1, height, width)), 0.1)


def whole(net: mo.core.Unrolled, given: Any, steps: int | None = None) -> Tensor:
    with torch.no_grad():
        return net(given, steps=steps).final


def difference(found: Any, expected: Tensor) -> float:
    return float((torch.as_tensor(found[:]) - expected).abs().max())


def coordinatewise() -> mo.core.Unrolled:
    torch.manual_seed(0)
    net = mo.unroll(mo.Descent(mo.updates.CoordinatewiseLstm(hidden=3)), 2).double()
    randomize(net)
    return net


MANY = {"kernels": [3, 1], "stride": 2, "scales": [2, 4]}
CASES = {
    "divides": lambda: (random_rim(), denoising(1, 1, 64, 48), 16),
    "odd": lambda: (random_rim(), denoising(2, 1, 53, 71), 16),
    "one row of tiles": lambda: (random_rim(), denoising(1, 1, 9, 71), 16),
    "smaller than a tile": lambda: (random_rim(**MANY), denoising(1, 1, 21, 19), 64),
    "stride and scales": lambda: (random_rim(**MANY), denoising(1, 1, 101, 57), 32),
    "two channels": lambda: (random_rim(channels=2, stride=2), denoising(1, 2, 40, 51), (16, 32)),
    "blur": lambda: (random_rim(stride=2), blurred(1, 1, 53, 40), 20),
    "bicubic": lambda: (random_rim(stride=2), shrunk(60, 84, 3), 24),
    "volume": lambda: (random_rim(dims=3, kernels=[1], steps=2), denoising(1, 1, 19, 23, 17), 8),
    "signal": lambda: (random_rim(dims=1), denoising(1, 1, 301), 64),
    "total variation": lambda: (
        mo.unroll(mo.MapEstimation(TotalVariation(3.0), 0.01, unit=noise_variance), 3),
        blurred(1, 1, 31, 40),
        16,
    ),
    "momentum": lambda: (mo.unroll(mo.Fista(TotalVariation(3.0, inner=3), 0.001), 3), blurred(1, 1, 31, 40), 16),
    "coordinates of an LSTM": lambda: (coordinatewise(), blurred(1, 1, 31, 40), 16),
}


@pytest.mark.parametrize("name", CASES)
def test_on_disk_is_as_in_memory(name: str, tmp_path: Path) -> None:
    net, given, size = CASES[name]()
    expected = whole(net, given)
    found = out_of_core(net, given, tmp_path / "run", size)
    assert found.shape == tuple(expected.shape)
    assert difference(found, expected) <= 1e-12 * max(1, float(expected.abs().max()))
    assert expected.std() > 0.01


def test_only_the_last_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[set[str]] = []
    close = StoredLevel.close

    def closed(self: StoredLevel, stop: int) -> None:
        close(self, stop)
        folders.append({p.name for p in tmp_path.iterdir() if p.is_dir()})

    monkeypatch.setattr(StoredLevel, "close", closed)
    out_of_core(random_rim(steps=4), denoising(1, 1, 40, 40), tmp_path, 16)
    assert max(map(len, folders)) == 2
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"step_4", "result_4"}


def fourier_mask() -> tuple[mo.core.Unrolled, Any, Convolved]:
    mask = (random(37, 54, seed=3) > 0.4).to(DOUBLE)
    operator = ops.Mask(mask) @ ops.Fourier()
    y = operator(torch.complex(random(1, 1, 37, 54), random(1, 1, 37, 54, seed=1)))
    given = mo.InverseProblem(operator, y, 0.1)
    return random_rim(is_complex=True, stride=2), given, Convolved(given.start(), mask.square(), 0.1)


def circular() -> tuple[mo.core.Unrolled, Any, Convolved]:
    kernel = random(5, 3, seed=4) / 8
    given = mo.InverseProblem(ops.CircularBlur(kernel), random(2, 1, 37, 45), 0.1)
    padded = torch.nn.functional.pad(kernel, (0, 45 - 3, 0, 37 - 5)).roll((-2, -1), (-2, -1))
    return random_rim(**MANY), given, Convolved(given.start(), torch.fft.fft2(padded).abs().square(), 0.1)


def interferometer(algorithm: Any = None) -> tuple[mo.core.Unrolled, Any, Convolved]:
    """Of A as a matrix, whose A^H A is a convolution that does not wrap around."""
    height, width, count = 11, 14, 40
    u = 2 * math.pi * (random(count, 2, seed=5) - 0.5)
    rows, columns = (torch.arange(n, dtype=DOUBLE) for n in (height, width))
    phase = u[:, :1, None] * rows[None, :, None] + u[:, 1:, None] * columns
    matrix = torch.cat([phase.cos(), phase.sin()]).reshape(2 * count, -1) / 10
    y = random(2 * count, seed=6)
    lags = [torch.cat([n, n[1:].flip(0).neg()]) for n in (rows, columns)]
    kernel = (u[:, :1, None] * lags[0][None, :, None] + u[:, 1:, None] * lags[1]).cos().sum(0) / 100

    class Given:
        def start(self) -> Tensor:
            return (matrix.T @ y).reshape(1, 1, height, width)

        def gradient(self, x: Tensor) -> Tensor:
            return (matrix.T @ (matrix @ x.flatten() - y)).reshape(x.shape) / 0.1**2

        def context(self) -> tuple[Tensor, ...]:
            return (torch.tensor([0.1], dtype=DOUBLE).log(),)

    given: Any = Given()
    net = random_rim() if algorithm is None else mo.unroll(algorithm, 4)
    return net, given, Convolved(given.start(), torch.fft.fft2(kernel), 0.1)


CONVOLVED: dict[str, Callable[[], tuple[mo.core.Unrolled, Any, Convolved]]] = {
    "masked Fourier transform": fourier_mask,
    "circular blur": circular,
    "interferometer": interferometer,
    "interferometer, momentum": lambda: interferometer(mo.Fista(TotalVariation(0.01, inner=2), 1e-4)),
}


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("name", CONVOLVED)
def test_a_gradient_of_all_pixels_is_computed_on_disk(name: str, size: int, tmp_path: Path) -> None:
    net, given, convolved = CONVOLVED[name]()
    expected = whole(net, given)
    assert difference(out_of_core(net, convolved, tmp_path, size, workers=2), expected) <= 1e-12 * max(
        1, float(expected.abs().max())
    )
    assert (whole(net, convolved) - expected).abs().max() <= 1e-12 * max(1, float(expected.abs().max()))


def test_arrays_that_do_not_fit_are_told() -> None:
    for dirty, transfer in (((1, 1, 8, 9), (8, 8)), ((1, 8, 8), (8, 8)), ((1, 1, 8, 8), (1, 8, 8))):
        with pytest.raises(mo.MetaoptError, match=r"A\^H y is \(B, C, H, W\), and the transfer function"):
            Convolved(torch.zeros(dirty), torch.zeros(transfer), 0.1)


def test_a_convolved_problem_in_other_units_than_the_weights_is_refused_with_the_factor(tmp_path: Path) -> None:
    net, given = (
        mo.models.load("denoise_grey"),
        Convolved(4000 * random(1, 1, 20, 20).float(), torch.ones(20, 20), 400.0),
    )
    with pytest.raises(
        mo.MetaoptError, match=r"were trained for pixels in \[0, 1\]: multiply A\^H y and the noise by 0.0"
    ):
        out_of_core(net, given, tmp_path, 8)


class Cut(BaseException):
    pass


@contextmanager
def cut_after(count: int, error: BaseException) -> Iterator[None]:
    """Some tiles are written, then none any more."""
    write, left = StoredLevel.write, [count]

    def written(self: StoredLevel, *given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error
        write(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoredLevel, "write", written)
        yield


def arrays(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("c/**/*")) if p.is_file()}
    assert found
    return found


def single(seed: int = 0) -> mo.core.Unrolled:
    net = random_rim(**MANY, steps=3).float()
    if seed:
        torch.nn.init.constant_(net.algorithm.update.module.embed.bias, seed)
    return net


def given_single() -> mo.InverseProblem:
    return mo.InverseProblem(ops.Identity(), random(1, 1, 70, 53).float(), 0.1)


@pytest.mark.parametrize("count", [0, 3, 6, 8, 17, 24, 27])
def test_a_run_that_was_cut_off_goes_on_to_the_same_bytes(count: int, tmp_path: Path) -> None:
    expected = out_of_core(single(), given_single(), tmp_path / "once", 32)
    with cut_after(count, Cut()), pytest.raises(Cut):
        out_of_core(single(), given_single(), tmp_path / "twice", 32)
    with pytest.MonkeyPatch.context() as patch:
        if count >= 12:  # two levels of six tiles are whole
            patch.setattr(mo.Descent, "init", only_small(mo.Descent.init))
        found = out_of_core(single(), given_single(), tmp_path / "twice", 32)
    assert found[:].tobytes() == expected[:].tobytes()
    assert arrays(tmp_path / "twice") == arrays(tmp_path / "once")


def only_small(init: Callable[..., Any]) -> Callable[..., Any]:
    def started(self: Any, problem: Any) -> Any:
        assert max(problem.y.shape) <= 16, "the run begins anew"
        return init(self, problem)

    return started


def test_a_convolved_run_that_was_cut_off_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    net, _, convolved = circular()
    expected = out_of_core(net, convolved, tmp_path / "once", 16)
    with cut_after(14, Cut()), pytest.raises(Cut):
        out_of_core(net, convolved, tmp_path / "twice", 16)
    assert out_of_core(net, convolved, tmp_path / "twice", 16)[:].tobytes() == expected[:].tobytes()


def test_a_finished_run_is_not_run_again_and_goes_on_for_more_steps(tmp_path: Path) -> None:
    net, given = random_rim(steps=2), denoising(1, 1, 40, 35)
    out_of_core(net, given, tmp_path, 16)
    with cut_after(0, Cut()):
        assert difference(out_of_core(net, given, tmp_path, 16), whole(net, given)) <= 1e-12
    assert difference(out_of_core(net, given, tmp_path, 16, steps=5), whole(net, given, 5)) <= 1e-12
    with pytest.raises(mo.MetaoptError, match="holds the state after 5 steps, from which that after 3"):
        out_of_core(net, given, tmp_path, 16, steps=3)


OTHERS = {
    "weights": lambda: (single(1), given_single(), 32),
    "measurement": lambda: (single(), mo.InverseProblem(ops.Identity(), given_single().y + 1e-6, 0.1), 32),
    "noise": lambda: (single(), mo.InverseProblem(ops.Identity(), given_single().y, 0.2), 32),
    "operator": lambda: (single(), mo.InverseProblem(ops.Blur(torch.ones(1, 1)), given_single().y, 0.1), 32),
    "size": lambda: (single(), mo.InverseProblem(ops.Identity(), given_single().y[..., :48], 0.1), 32),
    "tiles": lambda: (single(), given_single(), 24),
    "precision": lambda: (single().double(), tree_to_double(given_single()), 32),
}


def tree_to_double(given: mo.InverseProblem) -> mo.InverseProblem:
    return mo.InverseProblem(ops.Identity(), given.y.double(), 0.1)


def test_the_folder_of_another_run_is_refused_and_left(tmp_path: Path) -> None:
    out_of_core(single(), given_single(), tmp_path, 32)
    before = arrays(tmp_path)
    for other in OTHERS.values():
        net, given, size = other()
        with pytest.raises(mo.MetaoptError, match="is of another run: its network, problem, tiles or precision differ"):
            out_of_core(net, given, tmp_path, size)
    assert arrays(tmp_path) == before


def test_a_folder_with_something_else_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(mo.MetaoptError, match="is not the folder of a run, and is not empty"):
        out_of_core(single(), given_single(), tmp_path, 32)
    with pytest.raises(mo.MetaoptError, match="is not the folder of a run"):
        out_of_core(single(), given_single(), tmp_path / "letter.txt", 32)
    assert (tmp_path / "letter.txt").read_text() == "Dear"


def test_a_full_disk_is_a_sentence_and_the_run_goes_on(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with cut_after(15, full), pytest.raises(mo.MetaoptError, match=r"is full. .* run the same again"):
        out_of_core(single(), given_single(), tmp_path, 32)
    found = out_of_core(single(), given_single(), tmp_path, 32)
    assert (torch.as_tensor(found[:]) - whole(single(), given_single())).abs().max() < 1e-5


def test_a_disk_that_is_too_small_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(mo.MetaoptError, match=r"needs 0\.\d+ GB in .*, whose disk has 1e-06 GB free"):
        out_of_core(single(), given_single(), tmp_path, 32)


def test_a_chunk_that_is_missing_is_told(tmp_path: Path) -> None:
    with cut_after(20, Cut()), pytest.raises(Cut):
        out_of_core(single(), given_single(), tmp_path, 32)
    chunk = next(p for p in sorted((tmp_path / "step_2" / "1").rglob("c/**/*")) if p.is_file())
    chunk.unlink()
    with pytest.raises(mo.MetaoptError, match=r"step_2 lacks 1 of \d+ chunks, so the run cannot go on"):
        out_of_core(single(), given_single(), tmp_path, 32)


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, [2]], ids=repr)
def test_what_are_no_workers_is_told(workers: Any, tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match="Workers are None, a number of threads"):
        out_of_core(single(), given_single(), tmp_path, 32, workers=workers)


def read_dying(folder: Path, home: int, given: mo.InverseProblem, window: Any) -> mo.InverseProblem:
    """In another process, dies at a large window as long as there is no file that says not to."""
    if max(s.stop - s.start for s in window) > 20 and os.getpid() != home and not (folder / "spare").exists():
        os._exit(1)
    return piece(given, window)


def test_threads_are_processes_are_one_and_a_killed_process_is_told(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    import dask

    expected = out_of_core(single(), given_single(), tmp_path / "one", 32)[:].tobytes()
    assert out_of_core(single(), given_single(), tmp_path / "threads", 32, workers=3)[:].tobytes() == expected
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.logging.distributed": "critical"}
    given = WindowedProblem(partial(read_dying, tmp_path, os.getpid(), given_single()), (70, 53))
    with (
        dask.config.set(settings),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = out_of_core(single(), given_single(), tmp_path / "processes", 32, workers=client)
        assert found[:].tobytes() == expected
        with pytest.raises(mo.MetaoptError, match=r"A worker was killed.*run the same again"):
            out_of_core(single(), given, tmp_path / "killed", 32, workers=cluster.scheduler_address)
        (tmp_path / "spare").touch()
        client.wait_for_workers(2, timeout=60)
        found = out_of_core(single(), given, tmp_path / "killed", 32, workers=cluster.scheduler_address)
        assert found[:].tobytes() == expected
