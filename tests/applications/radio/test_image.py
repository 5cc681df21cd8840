"""Pictures of visibilities are those of the whole set, at the right place, and a run that was cut off goes on."""

from __future__ import annotations

import dataclasses
import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import data
from metaopt import operators as ops
from metaopt.applications.radio import Imaging, Request, Source, fit_beam, gridding, image, image_file, restore
from metaopt.applications.radio.gridding import grid, weighting
from metaopt.applications.radio.image_file import folder_of
from metaopt.applications.radio.methods import make
from metaopt.data import VisibilityChunk, read_sky_picture, read_visibilities
from metaopt.operators.uv import LIGHT

fits = pytest.importorskip("astropy.io.fits")
wcs = pytest.importorskip("astropy.wcs")
pytest.importorskip("finufft")
pytest.importorskip("zarr")
CELL = math.radians(2.0 / 3600)
SIZE = 48
DIRECTION = (1.0, -0.6)
FREQUENCY = torch.tensor([1.40e9, 1.44e9, 1.48e9, 1.52e9], dtype=torch.float64)
SIGMA = 0.05
Change = Callable[[VisibilityChunk], VisibilityChunk]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sky(size: int = SIZE) -> Tensor:
    """A faint blob and a source of 1 Jy, 9 pixels north and 7 west of the middle."""
    rows, columns = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - size // 2] * 2, indexing="ij")
    x = 0.02 * torch.exp(-(rows.square() + (columns + 8).square()) / 18)
    x[size // 2 + 9, size // 2 + 7] += 1
    return x


def observed(
    path: Path,
    frequency: Tensor = FREQUENCY,
    x: Tensor | None = None,
    change: Change | None = None,
    slope: float = 4.0,
) -> Path:
    """Visibilities of 400 random baselines, with noise, of a sky that goes as frequency to the power of ``slope``."""
    uvw = drawn(400, 3, seed=1) * torch.tensor([2500.0, 2500.0, 0.0])
    uvw = uvw.clamp(-0.45 * LIGHT / (CELL * 1.6e9), 0.45 * LIGHT / (CELL * 1.6e9))
    x = sky() if x is None else x
    operator = ops.Visibilities(uvw, frequency, tuple(x.shape), CELL, planes=len(frequency))
    skies = torch.stack([x * (f / 1.4e9) ** slope for f in frequency.tolist()])
    noise = SIGMA * torch.complex(drawn(400, len(frequency), seed=2), drawn(400, len(frequency), seed=3))
    seen = (operator(skies[None])[0] + noise).to(torch.complex64)
    weights = torch.full(seen.shape, SIGMA**-2)
    time = torch.arange(400, dtype=torch.float64)
    chunk = VisibilityChunk(uvw, seen, weights, time, torch.zeros(400).long(), torch.ones(400).long())
    data.write_visibilities(path, [chunk if change is None else change(chunk)], frequency, DIRECTION)
    return path


def imaged(path: Path, out: Path, request: Request | None = None, **settings: Any) -> Any:
    method = Imaging(**{"method": "dirty", **settings})
    return image_file(Source(path), out, request or Request(SIZE, CELL), method)


@pytest.mark.parametrize("name", ["natural", "uniform", "briggs"])
def test_visibilities_gridded_in_chunks_are_the_problem_of_the_whole_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, shape = read_visibilities(observed(tmp_path / "a.npz")), (SIZE, SIZE)
    whole = found.read()
    monkeypatch.setattr(gridding, "TOGETHER", 700)  # visibilities: in chunks of 175 rows
    gridded = grid(found, shape, CELL, weighting(name, 0.3, found, shape, CELL))
    where = (whole.uvw, found.frequency, whole.weights, shape, CELL)
    weights = {
        "natural": lambda: whole.weights,
        "uniform": lambda: ops.uniform_weights(*where),
        "briggs": lambda: ops.briggs_weights(*where, robust=0.3),
    }[name]()
    operator = ops.Visibilities(whole.uvw, found.frequency, shape, CELL, weights)
    problem = mo.InverseProblem(operator, operator.whiten(whole.visibilities[None].to(torch.complex128)), 1.0)
    x = drawn(1, 1, *shape)
    expected = problem.gradient(x)
    assert float((gridded.problem.gradient(x) - expected).abs().max()) < 1e-9 * float(expected.abs().max())
    torch.testing.assert_close(
        gridded.problem.start() / gridded.weight,
        ops.dirty_picture(operator, whole.visibilities[None].to(torch.complex128)),
    )
    noise = (weights.double().square() / whole.weights).sum().sqrt()
    assert gridded.level == pytest.approx(float(noise), rel=1e-5)
    assert gridded.used == 1600
    if name == "natural":
        left = problem.y - operator(x)
        assert gridded.misfit(x) == pytest.approx(float((left.abs().square().mean() / 2).sqrt()), rel=1e-6)


def test_what_needs_visibilities_that_were_gridded_says_so(tmp_path: Path) -> None:
    found = read_visibilities(observed(tmp_path / "a.npz"))
    problem = grid(found, (SIZE, SIZE), CELL, lambda chunk: chunk.weights).problem
    x = problem.start()
    for call in (problem.operator, problem.operator.adjoint, problem.energy):
        with pytest.raises(mo.MetaoptError, match="gridded chunk by chunk and are not in memory"):
            call(x)


def test_no_more_than_a_chunk_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_visibilities(observed(tmp_path / "a.npz"))
    monkeypatch.setattr(gridding, "TOGETHER", 400)
    sizes = []

    def load(start: int, stop: int, chosen: Any = None) -> VisibilityChunk:
        chunk = found.load(start, stop, chosen)
        sizes.append(chunk.visibilities.numel())
        return chunk

    counted = dataclasses.replace(found, load=load)
    grid(counted, (SIZE, SIZE), CELL, weighting("uniform", 0.0, counted, (SIZE, SIZE), CELL))
    assert (max(sizes), sum(sizes)) == (400, 2 * 1600)  # once for the density, once for the picture
    sizes.clear()
    grid(counted.narrowed([2]), (SIZE, SIZE), CELL, lambda chunk: chunk.weights)
    assert sizes == [400]


@pytest.mark.parametrize("method", ["dirty", "clean", "tv", "nnls"])
def test_a_source_is_where_the_world_coordinates_say_and_as_bright(method: str, tmp_path: Path) -> None:
    path = observed(tmp_path / "a.npz", slope=0.0)
    made = imaged(path, tmp_path / "a.fits", Request(SIZE, CELL, planes=1), method=method)
    with fits.open(tmp_path / "a.fits") as file:
        header, pixels = file[0].header, file[0].data.squeeze()
    assert pixels.shape == (SIZE, SIZE)
    row, column = divmod(int(pixels.argmax()), SIZE)
    assert (row, column) == (SIZE // 2 + 9, SIZE // 2 + 7)
    # The orthographic projection, by hand: m to the north, l to the east.
    m, l = 9 * CELL, -7 * CELL  # noqa: E741
    declination = math.asin(m * math.cos(DIRECTION[1]) + math.sqrt(1 - l * l - m * m) * math.sin(DIRECTION[1]))
    right = DIRECTION[0] + math.asin(l / math.cos(declination))
    placed = wcs.WCS(header).celestial.wcs_pix2world([[column, row]], 0)[0]
    assert placed == pytest.approx([math.degrees(right), math.degrees(declination)], abs=1e-7)
    assert header["BUNIT"] == made.unit == ("JY/BEAM" if method in ("dirty", "clean") else "JY/PIXEL")
    assert ("BMAJ" in header) == (method in ("dirty", "clean"))
    if method in ("dirty", "clean"):
        assert pixels.max() == pytest.approx(1.0, rel=0.15)
    else:
        assert pixels[row - 2 : row + 3, column - 2 : column + 3].sum() == pytest.approx(1.0, rel=0.1)


def test_pictures_explain_the_data_to_the_noise(tmp_path: Path) -> None:
    path = observed(tmp_path / "a.npz", FREQUENCY[:1])
    for method in ("clean", "tv", "nnls"):
        made = imaged(path, tmp_path / f"{method}.fits", method=method)
        assert 0.7 < made.facts[0].misfit < 1.15, method  # below 1, since there are more pixels than data


def test_a_picture_that_contradicts_the_data_is_said_to(tmp_path: Path) -> None:
    path = observed(tmp_path / "a.npz", slope=30.0)
    with pytest.warns(
        mo.MetaoptWarning, match=r"The picture leaves up to .* times the noise .*the channels that are joined"
    ):
        imaged(path, tmp_path / "a.fits", Request(SIZE, CELL, planes=1), method="nnls")


def test_a_cube_ascends_in_frequency_whatever_the_order_of_the_channels(tmp_path: Path) -> None:
    request = Request(SIZE, CELL)
    imaged(observed(tmp_path / "up.npz"), tmp_path / "up.fits", request)
    shuffled = FREQUENCY[[2, 0, 3, 1]]
    imaged(observed(tmp_path / "mixed.npz", shuffled), tmp_path / "mixed.fits", request)
    up, mixed = (read_sky_picture(tmp_path / name) for name in ("up.fits", "mixed.fits"))
    for picture in (up, mixed):
        torch.testing.assert_close(picture.frequency, FREQUENCY)
        peaks = picture.pixels[:, SIZE // 2 + 9, SIZE // 2 + 7]
        torch.testing.assert_close(peaks, (FREQUENCY / 1.4e9) ** 4, rtol=0.1, atol=0)
    imaged(tmp_path / "up.npz", tmp_path / "two.fits", Request(SIZE, CELL, planes=2))
    torch.testing.assert_close(
        read_sky_picture(tmp_path / "two.fits").frequency, torch.tensor([1.42e9, 1.5e9]).double()
    )
    imaged(tmp_path / "up.npz", tmp_path / "part.fits", Request(SIZE, CELL, (1, 3)))
    assert torch.equal(read_sky_picture(tmp_path / "part.fits").pixels, up.pixels[1:3])


def test_channels_that_no_fits_axis_has_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    twice = observed(tmp_path / "twice.npz", FREQUENCY[[0, 1, 1]])
    gap = observed(tmp_path / "gap.npz", FREQUENCY[[0, 1, 3]])
    for path, words in (
        (twice, "Channels 1, 2 have the same frequency, 1440 MHz"),
        (gap, "1440 and 1520 MHz is a gap"),
    ):
        with pytest.raises(mo.MetaoptError, match=words):
            imaged(path, tmp_path / "a.fits")
        assert imaged(path, tmp_path / "one.fits", Request(SIZE, CELL, planes=1)).shape == (1, SIZE, SIZE)
    for request, words in (
        (Request(SIZE, CELL, (2, 9)), "channels 0 to 2, so 2:9 are none"),
        (Request(SIZE, CELL, planes=2), "3 channels cannot be shared out evenly over 2 pictures"),
    ):
        with pytest.raises(mo.MetaoptError, match=words):
            imaged(gap, tmp_path / "a.fits", request)
    assert not (tmp_path / "a.fits").exists()


def test_flagged_channels_are_blank_and_said_and_a_set_that_is_all_flagged_is_refused(tmp_path: Path) -> None:
    def flagged(chunk: VisibilityChunk) -> VisibilityChunk:
        chunk.weights[:, 1] = 0
        chunk.visibilities[:, 2] = torch.tensor(complex("nan"))  # not flagged, but not finite
        return chunk

    path = observed(tmp_path / "a.npz", change=flagged)
    with pytest.warns(mo.MetaoptWarning, match="channel 1, 2 are flagged, so 2 pictures are blank"):
        made = imaged(path, tmp_path / "a.fits", method="clean")
    with fits.open(tmp_path / "a.fits") as file:
        blank = [bool(torch.isnan(torch.tensor(plane.astype("f8"))).all()) for plane in file[0].data[0]]
        assert blank == [fact.blank for fact in made.facts] == [False, True, True, False]
    with pytest.raises(mo.MetaoptError, match=r"[Ee]very visibility of .* flagged"):
        imaged(path, tmp_path / "b.fits", Request(SIZE, CELL, (1, 2)))
    with pytest.raises(mo.MetaoptError, match=r"[Ee]very visibility of .* flagged"):
        imaged(path, tmp_path / "b.fits", Request(SIZE, CELL, (2, 3)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.fits", "a.npz"]


def test_flagged_visibilities_change_no_picture_whatever_they_hold(tmp_path: Path) -> None:
    def spoiled(chunk: VisibilityChunk) -> VisibilityChunk:
        chunk.weights[::7] = 0
        chunk.visibilities[::7] = torch.tensor(complex("inf"))
        return chunk

    def removed(chunk: VisibilityChunk) -> VisibilityChunk:
        kept = torch.arange(400) % 7 != 0
        return VisibilityChunk(*(t[kept] for t in chunk))

    for name, change in (("a", spoiled), ("b", removed)):
        imaged(observed(tmp_path / f"{name}.npz", change=change), tmp_path / f"{name}.fits", weighting="briggs")
    a, b = (read_sky_picture(tmp_path / f"{name}.fits").pixels for name in "ab")
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.max()))


def test_cells_that_are_too_coarse_are_refused_with_the_largest_that_is_right(tmp_path: Path) -> None:
    path = observed(tmp_path / "a.npz")
    one = read_visibilities(path).read()
    largest = math.degrees(ops.largest_cell(one.uvw, FREQUENCY)) * 3600
    with pytest.raises(mo.MetaoptError, match=f"the largest that is right is {math.floor(largest * 1e4) / 1e4:.6g} "):
        imaged(path, tmp_path / "a.fits", Request(SIZE, 1.01 * math.radians(largest / 3600)))
    made = imaged(path, tmp_path / "a.fits", Request(SIZE, planes=1))
    assert math.degrees(made.cell) * 3600 == pytest.approx(largest / 3, rel=1e-6)


def test_a_picture_that_is_smaller_than_the_source_is_said_to_be(tmp_path: Path) -> None:
    wide = torch.zeros(192, 192, dtype=torch.float64)
    wide[96 + 70, 96 - 60] = 1.0
    path = observed(tmp_path / "a.npz", FREQUENCY[:1], wide)
    with pytest.warns(mo.MetaoptWarning, match=r"emission lies outside of it.*to the north and .* to the east"):
        imaged(path, tmp_path / "a.fits", Request(96, CELL))
    imaged(path, tmp_path / "b.fits", Request(192, CELL))  # warnings are errors here


def test_a_run_that_is_cut_off_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = observed(tmp_path / "a.npz"), tmp_path / "a.fits"
    imaged(path, tmp_path / "whole.fits", weighting="briggs")
    done: list[int] = []
    write = image.write_fact

    def interrupted(folder: Path, number: int, fact: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        write(folder, number, fact)
        done.append(number)

    monkeypatch.setattr(image, "write_fact", interrupted)
    with pytest.raises(KeyboardInterrupt):
        imaged(path, out, weighting="briggs")
    assert not out.exists() and folder_of(out).is_dir()
    with pytest.raises(mo.MetaoptError, match=r"holds what another run has finished of a\.fits"):
        imaged(path, out, weighting="uniform")
    monkeypatch.setattr(image, "write_fact", lambda *which: (done.append(which[1]), write(*which)))
    imaged(path, out, weighting="briggs")
    assert done == [0, 1, 2, 3], "no picture was made twice"
    assert out.read_bytes() == (tmp_path / "whole.fits").read_bytes()
    assert not folder_of(out).exists()


def test_a_full_disk_and_a_killed_worker_are_sentences_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledWorker(Exception):
        """As dask raises it."""

    path, out, write = observed(tmp_path / "a.npz"), tmp_path / "a.fits", image.write_fact
    for error, words in (
        (OSError(errno.ENOSPC, "full"), "disk of .* is full"),
        (KilledWorker("1"), "A worker was killed"),
    ):

        def failing(folder: Path, number: int, fact: Any, error: Exception = error) -> None:
            if number == 2:
                raise error
            write(folder, number, fact)

        monkeypatch.setattr(image, "write_fact", failing)
        with pytest.raises(mo.MetaoptError, match=f"(?s){words}.*run the same again"):
            imaged(path, out)
    monkeypatch.setattr(image, "write_fact", write)
    assert imaged(path, out).shape == (4, SIZE, SIZE)


def test_workers_make_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    path = observed(tmp_path / "a.npz")
    imaged(path, tmp_path / "one.fits", method="clean", steps=20)
    threads = torch.get_num_threads()
    imaged(path, tmp_path / "threads.fits", Request(SIZE, CELL, workers=2), method="clean", steps=20)
    assert torch.get_num_threads() == threads
    with distributed.LocalCluster(1, processes=False, dashboard_address=None, protocol="tcp") as cluster:
        request = Request(SIZE, CELL, workers=cluster.scheduler_address)
        imaged(path, tmp_path / "cluster.fits", request, method="clean", steps=20)
    expected = (tmp_path / "one.fits").read_bytes()
    assert (tmp_path / "threads.fits").read_bytes() == expected
    assert (tmp_path / "cluster.fits").read_bytes() == expected


def test_a_wide_field_has_the_w_term(tmp_path: Path) -> None:
    pytest.importorskip("ducc0")

    def deep(chunk: VisibilityChunk) -> VisibilityChunk:
        uvw = chunk.uvw + torch.tensor([0, 0, 3e5]) * drawn(400, 1, seed=7)
        operator = ops.WideVisibilities(uvw, FREQUENCY[:1], (SIZE, SIZE), CELL)
        return chunk._replace(uvw=uvw, visibilities=operator(sky()[None, None])[0].to(torch.complex64))

    path = observed(tmp_path / "a.npz", FREQUENCY[:1], change=deep)
    made = imaged(path, tmp_path / "a.fits", method="nnls", steps=60)
    pixels = read_sky_picture(tmp_path / "a.fits").pixels[0]
    row, column = SIZE // 2 + 9, SIZE // 2 + 7
    assert float(pixels[row - 2 : row + 3, column - 2 : column + 3].sum()) == pytest.approx(1.0, rel=0.1)
    assert made.facts[0].misfit < 1, "there is no noise in it"


@pytest.mark.parametrize("angle", [0.3, 1.2, 2.5])
def test_the_beam_is_that_of_an_ellipse_and_restores_a_source_as_it(angle: float) -> None:
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (41, 50))
    north, east = rows[:, None] * CELL, -columns[None] * CELL
    along = north * math.cos(angle) + east * math.sin(angle)
    across = east * math.cos(angle) - north * math.sin(angle)
    major, minor = 9 * CELL, 5 * CELL
    point = torch.exp(-4 * math.log(2) * ((along / major).square() + (across / minor).square()))
    beam = fit_beam(point, CELL)
    assert beam is not None and beam == pytest.approx((major, minor, angle), rel=1e-6)
    source, left = torch.zeros(41, 50, dtype=torch.float64), drawn(41, 50)
    source[20, 25] = 2.0
    torch.testing.assert_close(restore(source, left, beam, CELL), 2 * point + left, rtol=0, atol=1e-6)
    assert fit_beam(torch.ones(41, 50), CELL) is None


def test_settings_that_belong_to_another_method_are_refused(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"method": "wsclean"}, "no method 'wsclean'; choose among rim, clean"),
        ({"weighting": "robust"}, "no weighting 'robust'"),
        ({"method": "tv", "weighting": "briggs"}, "natural weighting; briggs is for the methods dirty and clean"),
        ({"method": "dirty", "steps": 3}, "takes no steps"),
        ({"method": "clean", "weight": 1.0}, "has no weight"),
    ]
    for settings, words in wrong:
        with pytest.raises(mo.MetaoptError, match=words):
            Imaging(**settings)
    path = observed(tmp_path / "a.npz")
    for out, words in (("a.png", "end it in .fits"), ("a.npz", "end it in .fits"), ("no/a.fits", "does not exist")):
        with pytest.raises(mo.MetaoptError, match=words):
            imaged(path, tmp_path / out)


def test_a_network_is_given_the_problem_and_refused_where_none_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = observed(tmp_path / "a.npz", FREQUENCY[:1]), []
    net = mo.models.rim(hidden=4, steps=2)
    mo.models.save(net, tmp_path / "net.safetensors")
    call = mo.Unrolled.forward

    def watched(self: Any, problem: Any, *rest: Any, **options: Any) -> Any:
        found.append(problem)
        return call(self, problem, *rest, **options)

    monkeypatch.setattr(mo.Unrolled, "forward", watched)
    with pytest.warns(mo.MetaoptWarning, match="times the noise"):  # it is not trained
        imaged(path, tmp_path / "a.fits", method="rim", network=str(tmp_path / "net.safetensors"))
    (problem,) = found
    assert isinstance(problem, mo.InverseProblem) and float(problem.noise) == 1
    with torch.no_grad():
        expected = call(net, problem).final[0]
    torch.testing.assert_close(read_sky_picture(tmp_path / "a.fits").pixels.float(), expected)
    monkeypatch.setattr("metaopt.applications.radio.methods.shipped", lambda: ["mri"])
    with pytest.raises(mo.MetaoptError, match="needs the trained network radio, which does not come with this version"):
        imaged(path, tmp_path / "b.fits", method="rim")
    with pytest.raises(mo.MetaoptError, match="were trained to reconstruct MRI, not to image visibilities"):
        imaged(path, tmp_path / "b.fits", method="rim", network="mri")


def test_without_weights_nothing_is_said_of_the_noise(tmp_path: Path) -> None:
    one = read_visibilities(observed(tmp_path / "a.npz", FREQUENCY[:1])).read()
    arrays = {"uvw": one.uvw, "frequency": FREQUENCY[:1], "visibilities": one.visibilities, "direction": DIRECTION}
    np.savez(tmp_path / "b.npz", **{name: np.asarray(value) for name, value in arrays.items()})
    weighted, plain = (imaged(tmp_path / f"{n}.npz", tmp_path / f"{n}.fits", method="nnls") for n in "ab")
    assert weighted.facts[0].misfit is not None and weighted.facts[0].noise == pytest.approx(SIGMA / 20)
    assert plain.facts[0].misfit is None and math.isnan(plain.facts[0].noise)


@pytest.mark.parametrize("method", ["tv", "nnls", "clean"])
@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1e9])
def test_the_unit_of_flux_changes_no_picture(tmp_path: Path, method: str, unit: float) -> None:
    found = []
    for factor in (1.0, unit):

        def scaled(chunk: VisibilityChunk, factor: float = factor) -> VisibilityChunk:
            return chunk._replace(visibilities=factor * chunk.visibilities, weights=chunk.weights / factor**2)

        path = observed(tmp_path / f"{factor}.npz", change=scaled)
        given = read_visibilities(path)
        gridded = grid(given, (SIZE, SIZE), CELL, weighting("natural", 0.0, given, (SIZE, SIZE), CELL))
        model = make(gridded, Imaging(method)).model
        assert model is not None
        found.append(model / factor)
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-2 * float(found[0].max()))
