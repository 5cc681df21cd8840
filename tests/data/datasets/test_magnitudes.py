"""MATLAB files of magnitudes become training pictures from 0 to 1; what is no such file is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.data import read_magnitudes
from metaopt.tasks import Patches, UndersampledMri

Save = Callable[..., None]
HEART = np.random.default_rng(0).random((12, 9))


def before(path: Path, **variables: np.ndarray) -> None:
    pytest.importorskip("scipy.io").savemat(path, variables)


def version_73(path: Path, **variables: np.ndarray) -> None:
    """As MATLAB does it: HDF5 after 512 bytes of its own, with the axes in the opposite order."""
    with pytest.importorskip("h5py").File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file[name] = values.T
        file["#refs#/a"] = np.ones((3, 4))
    with path.open("r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file".ljust(512))


versions = pytest.mark.parametrize("save", [before, version_73])


@versions
def test_rows_and_columns_are_those_of_matlab_and_the_brightest_pixel_is_1(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "b.mat", im_ori=4000 * HEART / HEART.max(), zoom=np.array([[2.0]]))
    save(tmp_path / "a.mat", cine=(200 * np.stack([HEART, HEART / 2], 2)).astype(np.uint16))
    (tmp_path / "LICENSE").write_text("a text")
    pictures = read_magnitudes(tmp_path)
    assert [tuple(p.shape) for p in pictures] == [(1, 12, 9)] * 3
    assert all(p.dtype == torch.float32 and p.is_contiguous() for p in pictures)
    wanted = HEART / HEART.max()
    assert np.allclose(pictures[2][0], wanted, atol=1e-6)
    assert np.allclose(pictures[0][0], wanted, atol=1 / 100) and np.allclose(pictures[1][0], wanted / 2, atol=1 / 100)


@versions
def test_files_that_are_not_asked_for_are_not_opened(tmp_path: Path, save: Save) -> None:
    for name in ("b", "c"):
        save(tmp_path / f"{name}.mat", im=HEART)
    (tmp_path / "a.mat").write_text("no file of MATLAB")
    assert len(read_magnitudes(tmp_path, 1)) == 2 and len(read_magnitudes(tmp_path, 1, 2)) == 1
    with pytest.raises(mo.MetaoptError, match=r"a\.mat is damaged, cut short, or holds no pictures"):
        read_magnitudes(tmp_path)
    with pytest.raises(mo.MetaoptError, match=r"no MATLAB file \(\.mat\) between number 3 and None in"):
        read_magnitudes(tmp_path, 3)
    with pytest.raises(mo.MetaoptError, match="is a file; name the folder"):
        read_magnitudes(tmp_path / "a.mat")


WRONG: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "complex": ({"im": HEART + 1j}, "holds complex numbers, .* absolute values"),
    "negative": ({"im": HEART - 2}, r"has pixels below 0, such as -1\.\d+"),
    "nan": ({"im": np.where(HEART > 0.9, np.nan, HEART)}, r"has \d+ pixels that are NaN"),
    "zero": ({"im": 0 * HEART}, "is 0 everywhere"),
    "several": ({"im": HEART, "other": HEART}, "has several arrays of numbers, im, other; say which one by variable="),
    "none": ({"number": np.array([[3.0]])}, r"has no numbers \(row, column\) .*; there are number"),
    "four axes": ({"im": np.ones((4, 5, 2, 3))}, r"has no numbers \(row, column\) .*; there are im"),
}


@versions
@pytest.mark.parametrize(("variables", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_magnitude_is_a_sentence_that_names_the_file(
    tmp_path: Path, save: Save, variables: dict[str, np.ndarray], words: str
) -> None:
    save(tmp_path / "a.mat", **variables)
    with pytest.raises(mo.MetaoptError, match=rf"a\.mat {words}"):
        read_magnitudes(tmp_path)


@versions
def test_a_variable_is_chosen_by_its_name(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a.mat", im=HEART, other=HEART[:5], number=np.array([[3.0]]))
    assert read_magnitudes(tmp_path, variable="other")[0].shape == (1, 5, 9)
    for name, words in (("number", "no pictures of the name 'number'"), ("x", "nothing of the name 'x'.* im, other")):
        with pytest.raises(mo.MetaoptError, match=words):
            read_magnitudes(tmp_path, variable=name)


@versions
def test_files_that_are_cut_short_or_empty_are_sentences(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "a.mat"
    save(path, im=HEART)
    whole = path.read_bytes()
    for content, words in ((whole[:600], "is damaged, cut short"), (b"", "is empty")):
        path.write_bytes(content)
        with pytest.raises(mo.MetaoptError, match=rf"a\.mat {words}"):
            read_magnitudes(tmp_path)


def test_patches_of_magnitudes_keep_their_shades_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    before(tmp_path / "a.mat", im=HEART)
    pictures = read_magnitudes(tmp_path)
    crops = Patches(pictures, size=9, batch=20).draw(torch.Generator().manual_seed(0))
    assert np.isin(crops.numpy(), pictures[0].numpy()).all() and float(crops.max()) > 0.9
    bytes_ = [(255 * picture).round().to(torch.uint8) for picture in pictures]
    as_bytes = Patches(bytes_, size=9, batch=20).draw(torch.Generator().manual_seed(0))
    assert float((crops - as_bytes).abs().max()) <= 0.5 / 255 + 1e-6
    problem, target = UndersampledMri(Patches(pictures, size=9, batch=2)).sample(0)
    assert target.shape == problem.y.shape == (2, 1, 9, 9)
    for wrong, words in (
        (255 * pictures[0], "from 0 to 1, but one goes from"),
        (bytes_[0].int(), "one is torch.int32"),
    ):
        with pytest.raises(mo.MetaoptError, match=words):
            Patches([wrong], size=9)
