"""What a page of a result takes, how it keeps small, and what is refused."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaopt.applications import view
from metaopt.applications.results import read_result
from metaopt.applications.view import view_result
from metaopt.cli import main
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.metrics import psnr, ssim

RNG = np.random.default_rng(0)
STEPS = RNG.random((3, 4, 12, 13), np.float32)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "r.npz", **arrays)
    return folder / "r.npz"


def data(page: Path) -> dict[str, Any]:
    """What the page holds for its script."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_command_writes_one_page_beside_the_result_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = saved(tmp_path, estimates_rim=STEPS, target=STEPS[2])
    assert main(["view", str(result), "--no-open"]) == 0
    assert capsys.readouterr().out.startswith(f"Wrote {tmp_path / 'r.html'} (")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.npz"]


def test_the_page_is_opened_where_there_is_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result, seen = saved(tmp_path, estimates_rim=STEPS), []
    monkeypatch.setattr("webbrowser.open", lambda address: seen.append(address) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["view", str(result), "--out", str(tmp_path / "a b.html")]) == 0
    assert not seen and "No browser was found" in capsys.readouterr().out
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["view", str(result), "--out", str(tmp_path / "a b.html")]) == 0
    assert seen == [(tmp_path / "a b.html").as_uri()] and seen[0].endswith("a%20b.html")


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_scores_are_those_of_the_metrics_with_the_peak_of_the_target_in_any_unit(tmp_path: Path, unit: float) -> None:
    import torch

    volumes = (STEPS * unit).astype(np.float32)
    page = view_result(saved(tmp_path, estimates_rim=volumes, target=volumes[2]), tmp_path / "r.html")
    scores = data(page)["methods"][0]["scores"]
    estimate, target = (torch.from_numpy(STEPS[i]).double() for i in (1, 2))
    peak = float(target.max())
    assert scores["PSNR (dB)"][1:] == [
        f"{float(psnr(estimate[None], target[None], peak)):.2f} dB",
        "equal to the target",
    ]
    assert scores["SSIM"][1:] == [f"{float(ssim(estimate, target, peak).mean()):.4f}", "1.0000"]


def test_a_page_that_would_be_too_large_keeps_0_1_2_4_and_the_last_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = saved(tmp_path, estimates_rim=RNG.random((12, 4, 12, 13)), estimates_tv=RNG.random((7, 4, 12, 13)))

    def steps() -> list[list[int]]:
        methods = data(view_result(result, tmp_path / "r.html"))["methods"]
        return [sorted(map(int, method["frames"])) for method in methods]

    assert steps() == [list(range(12)), list(range(7))]
    monkeypatch.setattr(view, "PAGE", 12_000)
    assert steps() == [[0, 1, 2, 4, 6, 8, 11], [0, 1, 2, 4, 6]]
    assert "only the steps 0, 1, 2, 4, 8, ... and the last are shown" in (tmp_path / "r.html").read_text()
    monkeypatch.setattr(view, "PAGE", 6_000)
    assert steps() == [[0, 6, 11], [0, 6]]
    monkeypatch.setattr(view, "PAGE", 100)
    with pytest.warns(MetaoptWarning, match="opens slowly; save fewer slices or methods"):
        steps()
    monkeypatch.setattr(view, "MOST", 100)
    with pytest.raises(MetaoptError, match="with the first and last steps alone, and browsers open up to"):
        steps()


def test_whatever_order_and_type_the_numbers_have_they_are_read_as_they_are(tmp_path: Path) -> None:
    whole = RNG.integers(0, 200, (3, 2, 5, 6)).astype(np.uint8)
    for values in (whole, whole.astype(">f8"), np.asfortranarray(whole), whole.astype(np.float16)):
        result = read_result(saved(tmp_path, estimates_a=values))
        assert np.array_equal(list(result.estimates("a")), whole)
    np.savez_compressed(tmp_path / "c.npz", estimates_a=whole[:, 0], target=whole[0, 0])
    result = read_result(tmp_path / "c.npz")
    assert result.shape == (1, 5, 6) and result.target is not None and result.target.shape == (1, 5, 6)
    assert np.array_equal(list(result.estimates("a", 2)), whole[2:, :1])


def spoiled(value: float) -> np.ndarray:
    values = STEPS.copy()
    values[1, 2, 3, 4] = value
    return values


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"target": STEPS[0]}, r"at least one array estimates_NAME, with a name for its method; it has target \(4, 12"),
        ({"estimates": STEPS}, r"at least one array estimates_NAME.*it has estimates \(3, 4, 12, 13\)"),
        ({"estimates_": STEPS}, "with a name for its method"),
        ({"estimates_a": STEPS[0, 0]}, r"estimates_a \(12, 13\), but estimates are \(steps \+ 1, D, H, W\)"),
        ({"estimates_a": STEPS[:0]}, r"estimates_a \(0, 4, 12, 13\), but"),
        ({"estimates_a": STEPS + 0j}, "complex64, but estimates are real magnitudes; save their absolute values"),
        ({"estimates_a": STEPS > 0.5}, "of bool, but"),
        ({"estimates_a": np.array([[["x"]]])}, "but estimates are real magnitudes"),
        ({"estimates_a": np.array([[[None]]])}, "of object, but"),
        ({"estimates_a": STEPS, "estimates_b": STEPS[..., 1:]}, "all methods need volumes of one shape"),
        ({"estimates_a": spoiled(np.nan)}, "1 values in estimates_a, step 1, that are NaN"),
        ({"estimates_a": spoiled(np.inf)}, "NaN or beyond float32"),
        ({"estimates_a": spoiled(0).astype(float) * 1e60}, "NaN or beyond float32"),
        ({"estimates_a": spoiled(-0.5)}, "below 0 in estimates_a, step 1, such as -0.5; save magnitudes"),
        ({"estimates_a": STEPS * 0}, "0 everywhere, so that there is nothing to show"),
        ({"estimates_a": STEPS, "target": STEPS}, r"a target \(3, 4, 12, 13\) for estimates \(4, 12, 13\)"),
        ({"estimates_a": STEPS, "target": STEPS[0, 0]}, r"a target \(12, 13\) for"),
        ({"estimates_a": STEPS, "target": spoiled(np.nan)[1]}, "1 values in target that are NaN"),
        ({"estimates_a": STEPS, "target": STEPS[0] * 1j}, "a target of complex"),
        ({"estimates_a": STEPS, "target": STEPS[0] * 0}, "a target that is 0 everywhere"),
        ({"estimates_a": STEPS, "mask": np.ones((13, 12))}, r"a mask \(13, 12\) .* is \(H, W\) = \(12, 13\)"),
        ({"estimates_a": STEPS, "mask": np.full((12, 13), 0.5)}, "a mask .* 1 where it was sampled and 0 elsewhere"),
        ({"estimates_a": STEPS, "mask": np.zeros((12, 13))}, "a mask"),
        ({"estimates_a": STEPS, "spacing": np.array([1.0, 0, 1])}, "three sizes of a voxel in mm"),
        ({"estimates_a": STEPS, "spacing": np.array([1.0, np.nan, 1])}, "three sizes"),
        ({"estimates_a": STEPS, "spacing": np.array(2.0)}, "three sizes"),
        ({"estimates_a": STEPS, "axes": np.array("SPX")}, "are not three letters .* such as SPL"),
        ({"estimates_a": STEPS, "axes": np.array("SIL")}, "are not three letters"),
        ({"estimates_a": STEPS, "axes": np.array([1, 2])}, "a text of three letters, such as SPL"),
        ({"estimates_a": np.zeros((1002, 1, 1, 1))}, "a page takes 12 methods, 1000 steps"),
        ({f"estimates_{i}": STEPS[:1] for i in range(13)}, "has 13 methods"),
        ({"estimates_a": STEPS, "mask": np.zeros(2**24 + 1)}, "which is none of a result"),
    ],
)  # fmt: skip
def test_a_result_that_cannot_be_shown_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, Any], words: str
) -> None:
    result = saved(tmp_path, **arrays)
    assert main(["view", str(result), "--no-open"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "fault" not in err
    assert re.search(words, err), err
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "r.npz", "w") as archive, archive.open("estimates_a.npy", "w") as file:
        header = {"shape": (11, 600, 600, 600), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(MetaoptError, match="has 1 methods with up to 11 estimates of 600 x 600 x 600; a page takes"):
        view_result(tmp_path / "r.npz", tmp_path / "r.html")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.npz", None, "does not exist"),
        (".", None, "is a folder"),
        ("empty.npz", b"", r"is empty \(0 bytes\)"),
        ("text.npz", b"this is a text", "is not an .npz file, or is cut short"),
        ("array.npy", "npy", "is not an .npz file"),
        ("cut.npz", "cut", "is not an .npz file, or is cut short"),
        ("bent.npz", "bent", "is damaged"),
    ],
)
def test_what_is_no_result_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | str | None, words: str
) -> None:
    whole = saved(tmp_path, estimates_a=STEPS).read_bytes()
    np.save(tmp_path / "a.npy", STEPS)
    middle = len(whole) // 2
    bent = whole[:middle] + b"\x3f" * 9 + whole[middle + 9 :]
    made = {"npy": (tmp_path / "a.npy").read_bytes(), "cut": whole[:-40], "bent": bent}
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else made[content])
    assert main(["view", str(tmp_path / name), "--out", str(tmp_path / "r.html"), "--no-open"]) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("nowhere/r.html", "does not exist; make it, or"),
        ("r.npz", "let it end in .html"),
        ("/proc/r.html", "cannot be"),
    ],
)
def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path, page: str, words: str) -> None:
    result = saved(tmp_path, estimates_a=STEPS)
    before = result.read_bytes()
    with pytest.raises(MetaoptError, match=words):
        view_result(result, tmp_path / page)
    assert result.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["r.npz"]


def test_slices_too_small_for_ssim_are_shown_without_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = view_result(saved(tmp_path, estimates_a=STEPS[..., :5], target=STEPS[0, ..., :5]), tmp_path / "r.html")
    assert list(data(page)["methods"][0]["scores"]) == ["PSNR (dB)"]
    assert "less than 11 pixels a side have no SSIM" in page.read_text()
