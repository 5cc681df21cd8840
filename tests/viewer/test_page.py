"""The page as a file: what it holds, and what is refused."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metaopt.core.errors import MetaoptError
from metaopt.viewer import Iterates, Section, pictures, write_page
from metaopt.viewer.chart import draw, round_ticks

Make = Callable[..., Section]


def decoded(address: str) -> np.ndarray:
    """The samples of a picture in a data address."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))))


def test_a_picture_is_shown_on_the_scale_from_0_to_1() -> None:
    assert decoded(pictures.data_uri(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 3.0]]))).tolist() == [[0, 0, 128, 255, 255]]
    colour = torch.rand(3, 4, 5)
    assert np.abs(decoded(pictures.data_uri(colour)) / 255 - colour.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_the_error_panel_is_to_its_stated_scale() -> None:
    target, estimate = torch.full((1, 4), 0.5), torch.tensor([[0.5, 0.45, 0.6, 0.9]])
    shown = pictures.error(estimate, target, white=0.1)
    assert (shown - torch.tensor([[0.0, 0.5, 1.0, 1.0]])).abs().max() <= 0.5 / (pictures.ERROR_LEVELS - 1) + 1e-6


@given(st.floats(1e-5, 1.0))
def test_the_error_scale_is_round_and_just_enough(size: float) -> None:
    white = pictures.error_scale(torch.full((3, 3), size), torch.zeros(3, 3))
    assert size * (1 - 1e-5) <= white <= 1.51 * size
    assert len(f"{white:.6e}".split("e")[0].rstrip("0").replace(".", "")) <= 2


@given(st.floats(-50, 50), st.floats(0, 80), st.integers(2, 8))
def test_ticks_are_even_and_enclose_the_values(low: float, span: float, most: int) -> None:
    ticks = round_ticks(low, low + span, most)
    assert ticks[0] <= low + 1e-6
    assert ticks[-1] >= low + span - 1e-6
    assert 2 <= len(ticks) <= most + 2
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_the_chart_stays_within_its_drawing(make_section: Make) -> None:
    section = make_section()
    drawing = draw(section.iterates, section.baselines)
    assert len(drawing.points) == 7
    for name in ("x1", "x2", "cx"):
        assert all(0 <= float(v) <= 480 for v in re.findall(rf' {name}="([-\d.]+)"', drawing.svg))
    assert "RIM goes from 20.0 dB at step 0 to 38.6 dB at step 6; Total variation reaches 30.5 dB." in drawing.svg
    assert "PSNR (dB)" in drawing.svg
    assert "step t" in drawing.svg


def test_text_cannot_become_markup_or_script(tmp_path: Path, make_section: Make) -> None:
    """Nor can it stand for a part of the page."""
    evil = "</script><img src=x>{{script}}"
    section = make_section(evil, text=evil, given={evil: torch.zeros(4, 4)})
    page = write_page(tmp_path, [section], evil, evil).read_text(encoding="utf-8")
    assert "<img src=x>" not in page
    assert page.count("{{script}}") > 3
    assert page.count("</script>") == 2


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, make_section: Make) -> None:
    page = write_page(tmp_path / "made" / "too", [make_section()], "A title", "An intro.")
    assert page == tmp_path / "made" / "too" / "index.html"
    assert os.listdir(page.parent) == ["index.html"]
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/none")):
        with pytest.raises(MetaoptError, match="choose another folder"):
            write_page(folder, [make_section()], "A title", "An intro.")
    assert sorted(os.listdir(tmp_path)) == ["file", "made"]


def test_what_does_not_fit_is_said(tmp_path: Path, make_section: Make) -> None:
    fine = make_section()
    estimates, psnr = fine.iterates.estimates, fine.iterates.psnr
    for parts, cause in (
        ({"iterates": Iterates(estimates, psnr[1:], 3)}, "7 estimates and 6 PSNRs"),
        ({"iterates": Iterates(estimates, psnr, 7)}, "of 6 steps, so trained_steps cannot be 7"),
        ({"target": torch.zeros(40, 48)}, r"estimate 0 is \(48, 48\), but the target is \(40, 48\)"),
        ({"iterates": Iterates([e * torch.nan for e in estimates], psnr, 3)}, "NaN"),
        ({"given": {"mask": torch.zeros(2, 4, 4)}}, r"mask is \(2, 4, 4\)"),
        ({"given": {"mask": torch.zeros(4, 4, dtype=torch.complex64)}}, r"complex64.*\.abs\(\)"),
    ):
        with pytest.raises(MetaoptError, match=cause):
            make_section(**parts)
    with pytest.raises(MetaoptError, match="psnr to be a list that are each a finite number"):
        write_page(tmp_path, [make_section(iterates=Iterates(estimates, [*psnr[1:], torch.inf], 3))], "A title", "")
    with pytest.raises(MetaoptError, match="at least one section"):
        write_page(tmp_path, [], "A title", "")
    assert not os.listdir(tmp_path)
