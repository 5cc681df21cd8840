"""Every reader of the package, with a valid file of its kind. One more reader is one more row of ``READERS``."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import pickle
import random
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import metaopt as mo
from metaopt import data
from metaopt.cli import main
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.data import sources
from metaopt.data.datasets.folders import read_slices
from metaopt.data.formats.kspace_header import write_header
from metaopt.training import Settings, Watch, read_recipe, train
from metaopt.training.log import Log, read_log
from metaopt.training.recipe import loss_of, settings_of, task_of, watch_of
from metaopt.training.start import start_from
from metaopt.weights import load_tensors, read_card

from ..training import tiny
from .mutations import mutated

MODEL = "MARKOV\n3\n2 2 3\n3\n1 0\n2 0 1\n2 1 2\n2 0.4 0.6\n4 1 2 3 4\n6 1 0.5 2 1e-3 7 0\n"


@dataclass(frozen=True)
class Reader:
    """A reader, and how a folder of what it reads is made; ``damaged`` are the files that are then changed.

    ``names`` are files of the folder of which one is damaged at a time.
    """

    name: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    names: tuple[str, ...]


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content) and None
    )


def read_with(read: Callable[..., Any], name: str, *more: Any) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name, *more)


def as_graph(path: Path) -> Any:
    model = data.read_uai(path)
    if len(model.cardinalities) < 100 and sum(table.size for table in model.tables) < 10**4:
        data.factor_graph(model)


ALIST = "7 3\n3 4\n1 1 2 1 2 2 3\n4 4 4\n1\n2\n1 2\n3\n1 3\n2 3\n1 2 3\n1 3 5 7\n2 3 6 7\n4 5 6 7\n"
GENERATOR = (
    (2).to_bytes(4, "little") + (3).to_bytes(4, "little") + bytes([5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0])
)


def picture(ending: str, bits: int = 8, channels: int = 3, alpha: bool = False) -> Reader:
    def make(folder: Path) -> None:
        pixels = torch.rand(channels, 9, 12, generator=torch.Generator().manual_seed(0))
        data.write_image(folder / f"p.{ending}", data.Picture(pixels, bits, pixels[:1] if alpha else None))

    name = f"picture-{ending}-{bits}-{channels}{'-alpha' if alpha else ''}"
    return Reader(name, make, read_with(data.read_image, f"p.{ending}"), (f"p.{ending}",))


def other_picture(ending: str, mode: str, **options: Any) -> Reader:
    def make(folder: Path) -> None:
        from PIL import Image

        samples = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(samples).convert(mode).save(folder / f"p.{ending}", **options)

    name = f"picture-{ending}-{mode}{'-'.join(map(str, options.values()))}"
    return Reader(name, make, read_with(data.read_image, f"p.{ending}"), (f"p.{ending}",))


def make_mnist(folder: Path) -> None:
    header = lambda kind, *sizes: b"".join(n.to_bytes(4, "big") for n in (kind, *sizes))  # noqa: E731
    images, labels = header(0x803, 2, 3, 3) + bytes(18), header(0x801, 2) + bytes(2)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def make_omniglot(folder: Path) -> None:
    np.savez_compressed(folder / "images_background.npz", images=np.ones((1, 20, 105, 105), bool))


def make_planetoid(folder: Path) -> None:
    from scipy.sparse import csr_matrix

    eye = np.eye(2, dtype=np.int64)
    x = np.float32([[1, 0], [0, 2], [3, 3]])
    parts = {"x": csr_matrix(x[:1]), "y": eye[[0]], "allx": csr_matrix(x), "ally": eye[[0, 1, 1]], "tx": csr_matrix(x)}
    parts |= {"ty": eye[[1, 0, 1]], "graph": {0: [1, 1, 0], 1: [0, 2], 2: [1, 3], 3: [2, 4], 4: [3, 5], 5: [4]}}
    for name, part in parts.items():
        (folder / f"ind.tiny.{name}").write_bytes(pickle.dumps(part, protocol=2))
    (folder / "ind.tiny.test.index").write_text("5\n4\n3\n")


def make_volume(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import nibabel

        volume = np.random.default_rng(0).random((8, 9, 10)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / name)

    return make


def build_recipe(path: Path) -> None:
    """What :func:`run_recipe` does before the work."""
    recipe = read_recipe(path)
    settings_of(recipe), watch_of(recipe), loss_of(recipe)
    net = mo.weights.build(recipe["model"])
    for name in ("task", "validation"):
        task_of(recipe, name)
    assert isinstance(net, torch.nn.Module)


def make_card(folder: Path) -> None:
    tiny.write_weights(folder)


def make_saved(folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        mo.weights.save(mo.models.lista(torch.eye(3), 0.1, 2), folder / "net.safetensors", {"name": "x", "updates": 3})


def make_checkpoint(folder: Path) -> None:
    train(
        tiny.network(hidden=1),
        tiny.Noisy(),
        folder,
        Settings(updates=2, steps=(1, 1)),
        watch=Watch(1, 1, 1, 1),
    )


def resume(folder: Path) -> None:
    train(tiny.network(hidden=1), tiny.Noisy(), folder, Settings(updates=2, steps=(1, 1)))


def make_registry(folder: Path) -> None:
    (folder / "set").mkdir()
    file = {"path": "a/b.txt", "size": 3, "sha256": "0" * 64, "from": "x/y"}
    entry = {
        "title": "t",
        "use": "u",
        "licence": "l",
        "origin": "o",
        "url": "https://localhost/",
        "files": [file, file],
    }
    (folder / "set" / "one.json").write_text(json.dumps(entry))


def read_registry(folder: Path) -> Any:
    with mock.patch.object(sources, "REGISTRY", folder):
        return [sources.read_source(name) for name in sources.source_names()]


def numbers(name: str, content: str, read: Callable[..., Any]) -> Reader:
    return Reader(name, text("f", content), read_with(read, "f"), ("f",))


def read_kspace(path: Path) -> Any:
    """All that can be asked of k-space."""
    found = data.open_kspace(path)
    kspace, mask = found.read(0), found.sampled(0)
    assert kspace.shape == (found.coils, *found.shape) and mask.shape == found.mask.shape == found.shape
    assert found.acceleration >= 1 and len(found.partial_fourier) == found.dims
    found.crop(kspace), found.affine, found.voxel, found.noise, found.axes
    if found.calibration:
        found.read_calibration(0)
    if found.has_reference:
        found.reference(0)


KSPACE = np.random.default_rng(0).normal(size=(3, 36, 40)) * (1 + 1j)


def make_scan(folder: Path) -> None:
    import ismrmrd

    with ismrmrd.Dataset(str(folder / "k.h5"), "dataset") as file:
        file.write_xml_header(write_header((8, 8, 1), (8.0, 8.0, 5.0), 3).encode())
        for row in range(8):
            line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(KSPACE[:, row, :8]).astype(np.complex64))
            line.center_sample, line.idx.kspace_encode_step_1 = 4, row
            if row == 7:
                line.setFlag(ismrmrd.constants.ACQ_IS_NOISE_MEASUREMENT)
            file.append_acquisition(line)


def make_matlab(folder: Path) -> None:
    import scipy.io

    scipy.io.savemat(folder / "k.mat", {"data": KSPACE})


def make_compressed(folder: Path) -> None:
    import scipy.io

    scipy.io.savemat(folder / "k.mat", {"data": KSPACE}, do_compression=True)


def make_cfl(folder: Path) -> None:
    (folder / "k.hdr").write_text("# Dimensions\n40 36 1 3 1 1 1 1 1 1 1 1 1 1 1 1 \n")
    (folder / "k.cfl").write_bytes(KSPACE.astype("<c8").tobytes())


def make_fastmri(folder: Path) -> None:
    slices = [torch.from_numpy(KSPACE), torch.from_numpy(KSPACE)]
    pictures = [s.abs().sum(0) for s in slices]
    data.write_fastmri(folder / "k.h5", slices, (1, 1, 3), torch.ones(40), pictures, torch.eye(4), {"noise": 1.0})


def kspace(name: str, file: str, make: Callable[[Path], Any], *more: str) -> Reader:
    return Reader(f"kspace-{name}", make, read_with(read_kspace, file), (file, *more))


def make_magnitudes(folder: Path) -> None:
    import scipy.io

    scipy.io.savemat(folder / "m.mat", {"im": np.abs(KSPACE[0]), "name": "heart"})


def make_magnitudes_73(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "m.mat", "w", userblock_size=512) as file:
        file["im"] = np.abs(KSPACE)
    with (folder / "m.mat").open("r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file".ljust(512))


RESULT = {
    "estimates_rim": np.abs(KSPACE[:, :6, :7]).astype(np.float32)[:, None],
    "estimates_tv": np.asfortranarray(np.abs(KSPACE[:2, None, :6, :7])),
    "target": np.abs(KSPACE[:1, :6, :7]),
    "mask": np.eye(6, 7, dtype=np.uint8),
    "spacing": np.array([3.0, 1.5, 1.5]),
    "axes": np.array("SPL"),
}
ARRAYS = tuple(f"{name}.npy" for name in RESULT)


def make_arrays(folder: Path) -> None:
    for name, array in RESULT.items():
        np.save(folder / f"{name}.npy", array)


def view_arrays(folder: Path) -> None:
    """The command's answer to a sound archive of arrays of which one is damaged."""
    with zipfile.ZipFile(folder / "r.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ARRAYS:
            archive.write(folder / name, name)
    view(folder / "r.npz")


def view(path: Path) -> None:
    """``metaopt view`` writes its page, or says in one line why not and leaves nothing behind."""
    before, err = sorted(path.parent.iterdir()), io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        status = main(["view", str(path), "--no-open"])
    said, new = err.getvalue(), [entry.name for entry in sorted(path.parent.iterdir()) if entry not in before]
    assert "a fault of metaopt" not in said and "Traceback" not in said, said
    if status == 0:
        assert new == ["r.html"] and not said, (new, said)
    else:
        assert status == 2 and not new, (status, new)
        assert said.startswith("metaopt: ") and said.count("\n") == 1 and said.endswith(".\n"), said


PARTS = tuple(f"ind.tiny.{part}" for part in "x tx allx y ty ally graph test.index".split())
READERS = [
    numbers("uai", MODEL, as_graph),
    Reader("uai-gz", text("f.gz", gzip.compress(MODEL.encode())), read_with(as_graph, "f.gz"), ("f.gz",)),
    Reader("uai-bz2", text("f.bz2", bz2.compress(MODEL.encode())), read_with(as_graph, "f.bz2"), ("f.bz2",)),
    numbers("evidence-2010", "1\n2 0 1 2 0\n", data.read_evidence),
    numbers("evidence", "2 0 1 2 0\n", data.read_evidence),
    numbers("marginals", "MAR\n2 2 0.25 0.75 3 0.5 0.25 0.25\n", data.read_marginals),
    numbers("log10_z", "PR\n1.25\n", data.read_log10_z),
    numbers("assignment", "MAP\n3 0 1 2\n", data.read_assignment),
    numbers("alist", ALIST, data.read_alist),
    Reader("generator", text("f", GENERATOR), read_with(data.read_generator, "f"), ("f",)),
    *(picture("png", bits, channels, alpha) for bits in (8, 16) for channels in (1, 3) for alpha in (False, True)),
    *(picture("tif", bits, channels) for bits in (8, 16) for channels in (1, 3)),
    picture("jpg"),
    other_picture("png", "P", transparency=3),
    other_picture("bmp", "RGB"),
    other_picture("gif", "P"),
    other_picture("webp", "RGB"),
    other_picture("tif", "CMYK", compression="tiff_lzw"),
    other_picture("tif", "1", compression="group4"),
    Reader("mnist", make_mnist, data.read_mnist, ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")),
    Reader(
        "omniglot", make_omniglot, lambda folder: data.read_omniglot(folder, "background"), ("images_background.npz",)
    ),
    Reader("planetoid", make_planetoid, lambda folder: data.read_planetoid(folder, "tiny"), PARTS),
    Reader("volume", make_volume("v.nii"), read_slices, ("v.nii",)),
    Reader("volume-gz", make_volume("v.nii.gz"), read_slices, ("v.nii.gz",)),
    Reader("magnitudes", make_magnitudes, data.read_magnitudes, ("m.mat",)),
    Reader("magnitudes-7.3", make_magnitudes_73, data.read_magnitudes, ("m.mat",)),
    Reader("recipe", tiny.write_recipe, read_with(build_recipe, "tiny.yaml"), ("tiny.yaml",)),
    Reader("card", make_card, read_with(mo.models.load, "tiny.safetensors"), ("tiny.json", "tiny.safetensors")),
    Reader("saved", make_saved, read_with(mo.models.load, "net.safetensors"), ("net.json", "net.safetensors")),
    Reader("tensors", make_saved, read_with(load_tensors, "net.safetensors"), ("net.safetensors",)),
    Reader("read_card", make_saved, read_with(read_card, "net.safetensors"), ("net.json",)),
    Reader(
        "start",
        make_card,
        lambda folder: start_from(mo.models.rim(hidden=4, kernels=[3], stride=2), str(folder / "tiny.safetensors")),
        ("tiny.safetensors",),
    ),
    Reader(
        "checkpoint", make_checkpoint, resume, ("checkpoint.safetensors", "log.csv", "checkpoint.previous.safetensors")
    ),
    Reader("log", make_checkpoint, lambda folder: (read_log(folder / "log.csv"), Log(folder, 1)), ("log.csv",)),
    kspace("npy", "k.npy", lambda folder: np.save(folder / "k.npy", KSPACE)),
    kspace("npz", "k.npz", lambda folder: np.savez(folder / "k.npz", KSPACE)),
    kspace("npz-compressed", "k.npz", lambda folder: np.savez_compressed(folder / "k.npz", KSPACE)),
    kspace("matlab", "k.mat", make_matlab),
    kspace("matlab-compressed", "k.mat", make_compressed),
    kspace("bart", "k.cfl", make_cfl, "k.hdr"),
    kspace("fastmri", "k.h5", make_fastmri),
    kspace("ismrmrd", "k.h5", make_scan),
    Reader("view", lambda folder: np.savez(folder / "r.npz", **RESULT), read_with(view, "r.npz"), ("r.npz",)),
    Reader("view-arrays", make_arrays, view_arrays, ARRAYS),
    Reader("registry", make_registry, read_registry, ("set/one.json",)),
]
BY_NAME = {reader.name: reader for reader in READERS}


@contextmanager
def made(reader: Reader) -> Iterator[Path]:
    """A folder with the valid files of a reader."""
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.make(Path(folder))
        yield Path(folder)


def attempt(reader: Reader, valid: Path, draw: random.Random) -> str | None:
    """Damage one file of a copy of the valid folder and read it. What is wrong with the answer, or None."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "copy"
        shutil.copytree(valid, folder)
        name = draw.choice(reader.names)
        others = tuple((folder / other).read_bytes() for other in reader.names if other != name)
        (folder / name).write_bytes(mutated((folder / name).read_bytes(), draw, others))
        before = sorted(path.name for path in Path(place).iterdir())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", MetaoptWarning)
                warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)  # of torch_geometric
                reader.read(folder)
        except MetaoptError as error:
            return None if str(error).strip() else "an error without words"
        except Exception as error:
            return f"{type(error).__name__}: {error!s:.300}"
        if sorted(path.name for path in Path(place).iterdir()) != before:
            return "it wrote outside of its folder"
    return None
