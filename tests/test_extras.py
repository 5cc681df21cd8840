"""Without an optional package the library works, and what needs the package says which extra installs it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from pydicom.encaps import encapsulate

import metaopt as mo
from metaopt.data.formats.ct_grid import grid_of
from metaopt.foundation.extras import require
from metaopt.problems.graph_formats import to_data, to_networkx
from metaopt.tasks import airways

from .data.formats import scans

ROOT = Path(__file__).parent.parent

# What a process does first whose Python has none of the optional packages. torch itself needs networkx.
PROGRAM = """
import sys
from tests.architecture import OPTIONAL
from tests.blocked import Blocked
sys.meta_path = [Blocked(OPTIONAL - {"networkx"}, sys.meta_path)]
"""


def _picture(folder: Path) -> None:
    mo.data.read_image(folder / "a.png")


def _demo(make: str) -> Callable[[Path], object]:
    def run(folder: Path) -> object:
        from metaopt.applications import demo

        return getattr(demo, make)()

    return run


def _volumes(folder: Path) -> object:
    (folder / "a.nii").write_bytes(b"")
    return mo.data.read_slices(folder)


def _kspace(name: str, content: bytes) -> Callable[[Path], object]:
    def run(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return mo.data.open_kspace(folder / name)

    return run


def _magnitudes(folder: Path) -> object:
    (folder / "a.mat").write_bytes(b"MATLAB 5.0")
    return mo.data.read_magnitudes(folder)


def _onnx(folder: Path) -> None:
    program = torch.export.export(torch.nn.Identity(), (torch.ones(1),))
    mo.export.export_onnx(program, folder / "a.onnx")


def _graph() -> mo.FactorGraph:
    return mo.FactorGraph.from_factors([2, 2], [((0, 1), torch.zeros(2, 2))])


def _tube() -> torch.Tensor:
    mask = torch.zeros(12, 9, 9, dtype=torch.bool)
    mask[:, 3:6, 3:6] = True
    return mask


def _file(name: str, content: bytes) -> Callable[[Path], object]:
    def run(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return mo.data.read_ct(folder / name)

    return run


def _slices(folder: Path) -> object:
    (folder / "a.dcm").write_bytes(bytes(128) + b"DICM")
    return mo.data.read_ct(folder)


def _compressed_slices(folder: Path) -> object:
    def compress(data: Any, number: int) -> None:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
        data.PixelData = encapsulate([b"none\xff\xd9"])

    scans.series_of(folder / "slices", edit=compress)
    return mo.data.read_ct(folder / "slices")


def _uvfits(folder: Path) -> object:
    (folder / "a.uvfits").write_bytes(b"SIMPLE  =                    T")
    return mo.data.read_visibilities(folder / "a.uvfits")


def _measurement_set(folder: Path) -> object:
    return mo.data.read_visibilities(folder)


def _signal() -> mo.GraphSignal:
    return mo.GraphSignal.from_edges(torch.ones(2, 1), torch.tensor([[0, 1], [1, 0]]))


def _stored(folder: Path, workers: int | str | None = None) -> object:
    problem = mo.InverseProblem(mo.operators.Identity(), torch.zeros(1, 1, 8, 8), 0.1)
    return mo.scale.out_of_core(
        mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 1), problem, folder / "run", 4, None, workers
    )


# (package, extra): what needs it, given an empty folder. Every pair that the package requires has a row.
ENTRIES: dict[tuple[str, str], list[Callable[[Path], object]]] = {
    ("PIL", "pictures"): [_picture],
    ("tifffile", "pictures"): [_picture],
    ("skimage", "pictures"): [
        lambda _: mo.metrics.ssim(torch.rand(1, 16, 16), torch.rand(1, 16, 16)),
        _demo("camera_denoised"),
        _demo("astronaut_from_projections"),
    ],
    ("matplotlib", "pictures"): [_demo("head_from_kspace")],
    ("PIL", "viewer"): [lambda folder: mo.viewer.pictures.data_uri(torch.rand(4, 4))],
    ("matplotlib", "viewer"): [lambda folder: mo.viewer.save_strips(folder / "a.png", [])],
    ("torch_geometric", "graphs"): [
        lambda _: to_data(_graph()),
        lambda _: _signal().to_data(),
        lambda folder: mo.data.read_planetoid(folder, "cora"),
    ],
    ("networkx", "graphs"): [lambda _: to_networkx(_graph()), lambda _: mo.tasks.RandomFields(batch=2).sample(0)],
    ("scipy", "graphs"): [lambda _: mo.algorithms.heat_kernel(1.0, 5)],
    ("onnx", "export"): [_onnx],
    ("onnxscript", "export"): [_onnx],
    ("sklearn", "data"): [lambda _: mo.data.read_digits()],
    ("pooch", "data"): [lambda folder: mo.data.fetch_source("natural/set5", folder)],
    ("nibabel", "mri"): [_volumes, lambda folder: mo.data.write_nifti(folder / "a.nii", torch.ones(1, 2, 2))],
    ("h5py", "mri"): [
        lambda folder: mo.data.write_fastmri(folder / "a.h5", [], (1, 1, 1)),
        _kspace("a.h5", b"\x89HDF\r\n\x1a\n"),
    ],
    ("scipy", "mri"): [_kspace("a.mat", b"MATLAB 5.0"), _magnitudes],
    ("scipy", "airway"): [
        lambda _: airways.measure_airways(_tube(), (1, 1, 1)),
        lambda _: airways.grow_airways(torch.ones(30, 30, 30, dtype=torch.bool), (4, 4, 4), 0),
    ],
    ("skimage", "airway"): [lambda _: airways.measure_airways(_tube(), (1, 1, 1))],
    ("nibabel", "airway"): [
        _file("a.nii", b""),
        lambda folder: mo.data.write_mask(folder / "a.nii", _tube(), grid_of(np.eye(4), (9, 9, 12))),
    ],
    ("nrrd", "airway"): [_file("a.nrrd", b"NRRD0004")],
    ("pydicom", "airway"): [_slices],
    ("SimpleITK", "airway"): [_compressed_slices],
    ("zarr", "scale"): [lambda folder: _stored(folder)],
    ("dask", "scale"): [lambda folder: _stored(folder, 2)],
    ("distributed", "scale"): [lambda folder: _stored(folder, "tcp://127.0.0.1:9")],
    ("finufft", "mri"): [lambda _: mo.operators.Nufft(torch.zeros(3, 2), (4, 4))],
    ("finufft", "radio"): [lambda _: mo.operators.Visibilities(torch.zeros(3, 3), torch.ones(1), (4, 4), 1e-3)],
    ("astropy", "radio"): [_uvfits],
    ("casacore", "radio"): [_measurement_set],
}


def _required() -> Iterator[tuple[str, str]]:
    """(package, extra) of every call of ``require`` in the library."""
    for path in sorted((ROOT / "metaopt").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                module, extra = (ast.literal_eval(argument) for argument in node.args)
                yield module.partition(".")[0], extra


@pytest.mark.parametrize(
    ("package", "extra", "entry"), [(*pair, entry) for pair, entries in ENTRIES.items() for entry in entries]
)
def test_a_missing_package_is_a_sentence_that_names_its_extra(
    package: str, extra: str, entry: Callable[[Path], object], tmp_path: Path, block: Callable[[str], None]
) -> None:
    block(package)
    with pytest.raises(mo.MetaoptError) as caught:
        entry(tmp_path)
    assert str(caught.value) == (f"This needs {package}, which is not installed: pip install 'metaopt-torch[{extra}]'.")


def test_every_package_that_is_required_has_an_entry_here() -> None:
    assert set(_required()) == set(ENTRIES)


def test_each_extra_installs_what_is_asked_of_it() -> None:
    distributions = metadata.packages_distributions()
    asked: dict[str, set[str]] = {}
    for requirement in map(Requirement, metadata.requires("metaopt-torch") or ()):
        for extra in metadata.metadata("metaopt-torch").get_all("Provides-Extra") or ():
            if requirement.marker and requirement.marker.evaluate({"extra": extra}):
                asked.setdefault(extra, set()).add(requirement.name.lower())
    missing = [(p, e) for p, e in _required() if not {d.lower() for d in distributions[p]} & asked[e]]
    assert missing == []


def test_a_package_that_is_there_but_broken_is_a_sentence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_a.py").write_text("import nothing_of_that_name")
    (tmp_path / "broken_b.py").write_text("raise OSError('libgl.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(mo.MetaoptError, match=r"needs broken_a, which cannot be imported \(No module"):
        require("broken_a", "pictures")
    with pytest.raises(mo.MetaoptError, match=r"needs broken_b, which cannot be imported \(libgl"):
        require("broken_b", "pictures")
    assert require("json.decoder", "pictures").JSONDecoder


def _run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM + program]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_core_and_the_examples_of_the_readme_need_no_extra(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    program = ["import torch", "torch.manual_seed(0)", *blocks, "mo.models.load('denoise_grey')(problem)"]
    done = _run("\n".join([*program, "print(float(loss.detach()))"]), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < float(done.stdout) < 10  # a network that is not trained yet


def test_doctor_needs_no_extra(tmp_path: Path) -> None:
    done = _run("from metaopt.cli import main\nsys.exit(main(['doctor']))", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"torch {torch.__version__}" in done.stdout


def test_a_command_whose_extra_is_missing_is_a_sentence(tmp_path: Path) -> None:
    done = _run("from metaopt.cli import main\nsys.exit(main('denoise a.png b.png --sigma 5'.split()))", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "metaopt: This needs PIL, which is not installed: pip install 'metaopt-torch[pictures]'.\n"


def test_names_on_demand_are_found_and_others_are_missed_as_usual() -> None:
    assert mo.problems.GraphRefinement.__name__ == "GraphRefinement"
    for package in (mo.problems, mo.networks, mo.models, mo.algorithms, mo.algorithms.inference):
        assert all(hasattr(package, name) for name in package.__all__)
        with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'Nothing'"):
            _ = package.Nothing
