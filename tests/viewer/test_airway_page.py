"""The page of an airway tree in a real browser: what is seen from where, how it is turned, and what a click shows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from metaopt.tasks.airways import AirwayTree, fill_tubes
from metaopt.viewer import scans
from metaopt.viewer.airway_page import PALETTE, write_airway_page

from ..conftest import Browser

SHAPE, SPACING = (40, 36, 44), (1.5, 1.0, 1.2)
COLOURS = {" ".join(str(int(c[i : i + 2], 16)) for i in (1, 3, 5)): n for n, c in enumerate(PALETTE)}
TURNED = {"S": (0, False), "I": (0, True), "P": (1, False), "A": (1, True), "L": (2, False), "R": (2, True)}
READY = "return document.documentElement.dataset.ready === 'true' && !document.querySelector('[aria-busy=\"true\"]')"
SET = """
const e = document.querySelector(arguments[0]); e.value = arguments[1];
e.dispatchEvent(new Event(arguments[2] || "input", {bubbles: true}));
"""
SLICE = """
const c = document.querySelector(`.${arguments[0]} canvas`);
const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
return [...Array(c.height).keys()].map((y) => [...Array(c.width).keys()].map((x) => d[4 * (y * c.width + x)]));
"""
BOX = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
return [box.left, box.top, box.width, box.height];
"""
VIEW = "return document.querySelector('.tubes').dataset.view"
WHERE = """
return Object.fromEntries([...document.querySelectorAll(".plane")].map((f) =>
    [f.querySelector("b").textContent, Number(f.querySelector("canvas").dataset.slice)]));
"""
SHOWN = """
const rows = [...document.querySelectorAll("tbody tr.now")];
return {rows: rows.map((row) => row.querySelector("button").textContent),
        words: document.querySelector(".picked").textContent,
        pressed: [...document.querySelectorAll("[data-branch][aria-pressed='true']")].map((b) => b.dataset.branch)};
"""
OVERDRAWN = """
const c = document.querySelector(`.${arguments[0]} .over`);
const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
const found = new Set();
for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) found.add([d[i], d[i + 1], d[i + 2]].join(" "));
return [...found];
"""


def line(*ends: tuple[float, float, float]) -> Tensor:
    a, b = torch.tensor(ends)
    return a + torch.linspace(0, 1, 25)[:, None] * (b - a)


def small_tree() -> AirwayTree:
    """A trachea with two children, of which the second has one that is far to one side."""
    lines = [
        line((56.0, 17.0, 26.0), (36.0, 17.0, 26.0)),
        line((36.0, 17.0, 26.0), (22.0, 11.0, 42.0)),
        line((36.0, 17.0, 26.0), (24.0, 24.0, 12.0)),
        line((24.0, 24.0, 12.0), (9.0, 29.0, 7.0)),
    ]
    radii = [torch.full((25,), r) for r in (4.0, 2.5, 3.0, 2.0)]
    return AirwayTree(torch.tensor([-1, 0, 0, 2]), lines, radii)


def small_ct() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-1000, 400, SHAPE, generator=generator).float()


def small_mask() -> Tensor:
    return fill_tubes(small_tree().tubes, SHAPE, SPACING) >= 0.5


def opened(browser: Browser, folder: Path, width: int = 1280, **changes: Any) -> Path:
    """The page of the small tree, whose volume is decoded."""
    page = folder / "tree.html"
    given = {"volume": small_ct(), "spacing": SPACING, "tree": small_tree(), "mask": small_mask(), **changes}
    write_airway_page(page, **given)
    browser.open(page, width=width)
    until(browser, READY)
    return page


def until(browser: Browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser.driver, 20, poll_frequency=0.02).until(lambda _: browser.run(script))


def pressed(browser: Browser, selector: str, *keys: str) -> None:
    browser.driver.find_element("css selector", selector).send_keys(*keys)


@pytest.fixture
def media(browser: Browser) -> Iterator[Any]:
    """A function that lets the browser say what its user prefers; in the end it says nothing."""

    def prefer(**features: str) -> None:
        listed = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    yield prefer
    prefer()


def seen_from_front(browser: Browser, point: tuple[float, ...]) -> tuple[float, float]:
    """Where a point, in mm upwards, to the back and to the left, is in the window, by the scale bar of the tree."""
    box, bar = browser.run("""
        const box = document.querySelector(".tubes").getBoundingClientRect();
        return [[box.left + box.width / 2, box.top + box.height / 2],
                document.querySelector(".tree .over").dataset.bar];
    """)
    scale = json.loads(bar)["pixels"] / json.loads(bar)["mm"]
    points = torch.cat(list(small_tree().points))
    middle = (points.amin(0) + points.amax(0)) / 2
    return box[0] + scale * (point[2] - float(middle[2])), box[1] - scale * (point[0] - float(middle[0]))


def clicked(browser: Browser, x: float, y: float, to: tuple[float, float] | None = None) -> None:
    """Press the mouse at a place of the window, and let it go there or where it is dragged."""
    ends = [(x, y), to or (x, y)]
    for kind, (left, top) in zip(
        ("mousePressed", "mouseMoved", "mouseReleased"), (ends[0], ends[1], ends[1]), strict=True
    ):
        if kind != "mouseMoved" or to:
            event = {"type": kind, "x": left, "y": top, "button": "left", "buttons": 1, "clickCount": 1}
            browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


@pytest.mark.parametrize(("window", "low", "high"), [("lung", -1350, 150), ("mediastinum", -160, 240)])
@pytest.mark.parametrize("axes", ["SPL", "SAR", "IPR", "LSA"])
def test_slices_show_hounsfield_units_with_the_head_upwards_and_the_left_on_the_right(
    browser: Browser, tmp_path: Path, axes: str, window: str, low: float, high: float
) -> None:
    volume = small_ct()
    opened(browser, tmp_path, axes=axes)
    browser.run(SET, ".window", window, "change")
    order = sorted(range(3), key=lambda axis: TURNED[axes[axis]][0])
    upright = volume.permute(order).flip([i for i, axis in enumerate(order) if TURNED[axes[axis]][1]])
    grey = ((upright - low) / (high - low) * 255).clamp(0, 255)
    for plane, size in zip(("axial", "coronal", "sagittal"), upright.shape, strict=True):
        browser.run(SET, f".{plane} .slice", size // 3)
        at = size // 3
        wanted = {"axial": grey[at], "coronal": grey[:, at].flip(0), "sagittal": grey[:, :, at].flip(0)}[plane]
        seen = torch.tensor(browser.run(SLICE, plane))
        assert seen.shape == wanted.shape
        step = 255 / (high - low) * (4 if window == "mediastinum" else 6.5)
        assert float((seen - wanted).abs().max()) <= step / 2 + 1
    letters = browser.run("return [...document.querySelectorAll('.plane .view')].map((v) => v.textContent)")
    assert letters == ["APRL", "HFRL", "HFAP"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_click_on_a_branch_in_space_shows_its_row_and_the_slices_through_its_middle(
    browser: Browser, tmp_path: Path, number: int
) -> None:
    opened(browser, tmp_path)
    until(browser, "return document.querySelector('.tree .over').dataset.bar")
    middle = small_tree().points[number][12].tolist()
    clicked(browser, *seen_from_front(browser, middle))
    shown = browser.run(SHOWN)
    assert shown["rows"] == shown["pressed"] == [str(number)]
    length, width = float(small_tree().length[number]), 2 * float(small_tree().radius[number][0])
    assert f"length {length:.1f} mm, diameter {width:.1f} mm" in shown["words"]
    places = [round(m / s) for m, s in zip(middle, SPACING, strict=True)]
    for plane, place in zip(("axial", "coronal", "sagittal"), places, strict=True):
        assert abs(browser.run(WHERE)[plane] - place) <= 1
    clicked(browser, *seen_from_front(browser, (12.0, 0.0, 40.0)))
    assert browser.run(SHOWN) == {"rows": [], "pressed": [], "words": ""}, "nothing is there"


def test_a_click_on_a_row_and_the_keys_n_and_p_pick_a_branch(browser: Browser, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path)
    browser.run("document.querySelectorAll('tbody tr')[2].children[3].click()")
    assert browser.run(SHOWN)["rows"] == ["2"]
    assert browser.run(WHERE)["axial"] == 20
    for key, number in (("n", "3"), ("n", "0"), ("p", "3"), ("p", "2")):
        pressed(browser, "body", key)
        assert browser.run(SHOWN)["pressed"] == [number]
    pressed(browser, ".rows", Keys.ARROW_DOWN)
    assert browser.run(SHOWN)["pressed"] == ["3"]
    pressed(browser, "body", Keys.ESCAPE)
    assert browser.run(SHOWN)["rows"] == []


def test_a_click_on_an_airway_in_a_slice_picks_its_branch_and_leaves_the_crosshair_there(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path)
    browser.run(SET, ".axial .slice", 20)
    box = browser.run(BOX, ".axial canvas")
    y, x = 20.5, 19.0  # mm, in branch 2 at z = 30 mm
    clicked(browser, box[0] + box[2] * (x / 1.2 + 0.5) / SHAPE[2], box[1] + box[3] * (y + 0.5) / SHAPE[1])
    assert browser.run(SHOWN)["rows"] == ["2"]
    where = browser.run(WHERE)
    assert where["axial"] == 20
    assert abs(where["coronal"] - y) <= 1 and abs(where["sagittal"] - x / 1.2) <= 1


def test_the_tree_is_turned_by_mouse_and_keys_and_zero_shows_all_of_it_from_the_front(
    browser: Browser, tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path)
    until(browser, "return document.querySelector('.tubes').dataset.view === '0 0 1.00'")
    picture = "return document.querySelector('.tubes').toDataURL()"
    front = browser.run(picture)
    x, y = seen_from_front(browser, (20.0, 0.0, 20.0))
    clicked(browser, x, y, (x + 60, y + 20))
    until(browser, f"{VIEW} === '30 10 1.00'")
    assert browser.run(SHOWN)["rows"] == [], "a drag is no click"
    pressed(browser, ".tubes", Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_DOWN, "+")
    until(browser, f"{VIEW} === '20 15 1.25'")
    assert browser.run("return document.querySelector('.angle').textContent") == "turned by 20°, 15° from above"
    pressed(browser, ".tubes", "0")
    until(browser, f"{VIEW} === '0 0 1.00'")
    until(browser, f"return ({picture.removeprefix('return ')}) === '{front}'")


def test_the_views_show_the_tree_from_the_sides_that_they_name(browser: Browser, tmp_path: Path) -> None:
    """Branch 1 ends on the person's left and in front, branch 3 on the right and behind."""
    opened(browser, tmp_path)
    where = """
    const t = document.querySelector(".tubes"), d = t.getContext("2d").getImageData(0, 0, t.width, t.height).data;
    let sum = 0, count = 0;
    for (let y = 0; y < t.height; y++) for (let x = 0; x < t.width; x++) {
        if (tubes.owners[y * t.width + x] === arguments[0] && d[4 * (y * t.width + x) + 3]) { sum += x; count++; }
    }
    return sum / count - t.width / 2;
    """
    sides = {}
    for name in ("front", "back", "right", "left"):
        button = f"[...document.querySelectorAll('.turns button')].find((b) => b.textContent === '{name}')"
        browser.run(f"{button}.click()")
        turn = {"front": 0, "right": 90, "back": 180, "left": 270}[name]
        until(browser, f"{VIEW} === '{turn} 0 1.00'")
        sides[name] = [browser.run(where, 1) > 0, browser.run(where, 3) > 0]
    assert sides == {"front": [True, False], "back": [False, True], "right": [True, False], "left": [False, True]}


def test_sliders_wheel_and_arrow_keys_change_the_slice_and_stop_at_the_last(browser: Browser, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path)
    browser.run(SET, ".coronal .slice", 34)
    assert browser.run(WHERE)["coronal"] == 34
    pressed(browser, ".coronal canvas", Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    assert browser.run(WHERE)["coronal"] == SHAPE[1] - 1
    pressed(browser, ".coronal canvas", Keys.ARROW_DOWN)
    wheel = "new WheelEvent('wheel', {deltaY: -120, cancelable: true})"
    browser.run(f"document.querySelector('.coronal canvas').dispatchEvent({wheel})")
    assert browser.run(WHERE)["coronal"] == SHAPE[1] - 3
    words = browser.run("return document.querySelector('.coronal figcaption').textContent")
    assert words == "coronal, y = 33 of 0 to 35"


def test_the_outline_has_the_colours_of_the_generations_that_the_slice_meets(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)

    def generations(at: int) -> set[int]:
        browser.run(SET, ".axial .slice", at)
        return {COLOURS[c] for c in browser.run(OVERDRAWN, "axial") if c in COLOURS}

    assert generations(33) == {0}
    assert generations(18) == {1}
    assert generations(9) == {2}
    assert generations(1) == set()
    browser.run("document.querySelector('.outlined').click()")
    assert generations(33) == set()


def test_without_a_mask_there_is_no_outline(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, mask=None)
    assert browser.run("return document.querySelector('.of-mask').hidden")
    assert not set(browser.run(OVERDRAWN, "axial")) & set(COLOURS)
    assert "outline" not in browser.run("return document.querySelector('.notes').textContent")


def test_who_wants_no_motion_gets_a_turn_at_once(browser: Browser, tmp_path: Path, media: Any) -> None:
    opened(browser, tmp_path)
    media(reduced_motion="reduce")
    browser.run("document.querySelector('.spin').click()")
    until(browser, f"{VIEW} === '45 0 1.00'")
    assert browser.run("return document.querySelector('.spin').getAttribute('aria-pressed')") == "false"
    media(reduced_motion="no-preference")
    browser.run("document.querySelector('.spin').click()")
    until(browser, "return Number(document.querySelector('.tubes').dataset.view.split(' ')[0]) > 50")
    browser.run("document.querySelector('.spin').click()")
    assert browser.run("return document.querySelector('.spin').getAttribute('aria-pressed')") == "false"


def test_a_finger_turns_the_tree_two_zoom_it_and_a_tap_picks(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, width=375)
    browser.run("document.querySelector('.tree').scrollIntoView({behavior: 'instant'})")
    until(browser, "return document.querySelector('.tree .over').dataset.bar")

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    x, y = seen_from_front(browser, tuple(small_tree().points[1][12].tolist()))
    touch("Start", (x, y))
    touch("End")
    assert browser.run(SHOWN)["rows"] == ["1"]
    touch("Start", (100, 200))
    for right in range(110, 181, 10):
        touch("Move", (right, 200))
    touch("End")
    until(browser, "return Number(document.querySelector('.tubes').dataset.view.split(' ')[0]) >= 30")
    touch("Start", (150, 200), (200, 200))
    touch("Move", (125, 200), (225, 200))
    touch("End")
    until(browser, "return Number(document.querySelector('.tubes').dataset.view.split(' ')[2]) > 1.5")


@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window_fetched_or_complained_about(
    browser: Browser, tmp_path: Path, media: Any, width: int, scheme: str
) -> None:
    media(color_scheme=scheme)
    columns = {
        "a column with a long name": ["x"] * 4,
        "Side": ["", "left", "right", "right"],
        "Area (mm²)": [1.0, 2, None, 3],
    }
    page = opened(
        browser,
        tmp_path,
        width=width,
        columns=columns,
        title="A_title_that_is_long_enough_to_be_too_wide_for_a_phone" * 2,
    )
    browser.run("document.querySelectorAll('tbody tr')[3].click()")
    assert browser.run("return innerWidth") == width
    assert browser.run("const e = document.documentElement; return e.scrollWidth <= e.clientWidth")
    assert browser.requests() == [page.as_uri()]
    assert browser.console() == []


def test_a_tree_of_one_branch_without_length_is_shown(browser: Browser, tmp_path: Path) -> None:
    points = [torch.tensor([[1.0, 2.0, 3.0]] * 2)]
    tree = AirwayTree(torch.tensor([-1]), points, [torch.ones(2)])
    volume = small_ct()[:1, :6, :7]
    opened(browser, tmp_path, volume=volume, tree=tree, mask=volume > 0, spacing=(2.0, 1.0, 1.0))
    pressed(browser, "body", "n")
    assert browser.run(SHOWN)["rows"] == ["0"]
    until(browser, VIEW)
    assert browser.run("return tubes.owners.some((owner) => owner === 0)")
    assert "1 branch, generation 0 (0" in browser.run("return document.querySelector('.summary').textContent")
    assert browser.console() == []


def test_generations_beyond_the_palette_have_its_last_colour_and_the_legend_says_so(
    browser: Browser, tmp_path: Path
) -> None:
    count = len(PALETTE) + 2
    ends = [(55.0 - 3 * n, 10.0 + n, 20.0) for n in range(count + 1)]
    tree = AirwayTree(
        torch.arange(-1, count - 1), [line(a, b) for a, b in itertools.pairwise(ends)], [torch.ones(25)] * count
    )
    opened(browser, tmp_path, tree=tree, mask=None)
    items = browser.run("return [...document.querySelectorAll('.generations li')].map((e) => e.textContent)")
    assert items[1:] == [*map(str, range(len(PALETTE) - 1)), f"{len(PALETTE) - 1} and more"]
    swatch = "return [...document.querySelectorAll('tbody i')].map((e) => e.style.background)"
    assert len(set(browser.run(swatch)[-3:])) == 1
    assert browser.run("return [...document.querySelectorAll('td')].some((e) => e.textContent === '15')")


def test_markup_in_titles_columns_and_notes_is_text(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, title="<b>A & B", columns={"<i>": ["<u>x"] * 4}, notes=["</script><s>"])
    assert browser.run("return document.querySelector('h1').textContent") == "<b>A & B"
    assert browser.run(
        "return [document.querySelectorAll('th')[5].textContent, document.querySelector('td:last-child').textContent]"
    ) == ["<i>", "<u>x"]
    assert browser.run("return document.querySelector('.notes li').textContent") == "</script><s>"


def test_a_coarser_grid_keeps_everything_at_its_place(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body is a block, so that the air around it is cut away; a bright rod crosses the middle of branch 3."""
    monkeypatch.setattr(scans, "MOST_VOXELS", 15_000)
    shape, spacing = (60, 80, 90), (1.0, 1.0, 1.0)
    volume = torch.full(shape, -1000.0)
    volume[:, 2:56, 1:60] = 0.0
    at = [round(v) for v in small_tree().points[3][12].tolist()]
    volume[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2, at[2] - 1 : at[2] + 2] = 1000.0
    opened(browser, tmp_path, volume=volume, spacing=spacing, mask=None, axes="SAR")
    browser.run("document.querySelectorAll('tbody tr')[3].click()")
    where = browser.run(WHERE)
    assert all(abs(where[p] - i) <= 2 for p, i in zip(("axial", "coronal", "sagittal"), at, strict=True))
    for plane, down, across in (("axial", 1, 2), ("coronal", 0, 2), ("sagittal", 0, 1)):
        seen = torch.tensor(browser.run(SLICE, plane))
        brightest = divmod(int((seen * 1.0).argmax()), seen.shape[1])
        cross = browser.run(
            "const f = document.querySelector(`.${arguments[0]}`);"
            "return [f.querySelector('.across').style.top, f.querySelector('.down').style.left].map(parseFloat)",
            plane,
        )
        assert all(abs(100 * (b + 0.5) / n - c) < 150 / n for b, n, c in zip(brightest, seen.shape, cross, strict=True))
        assert seen.numel() < shape[down] * shape[across] / 2
    assert "To keep the page small" in browser.run("return document.querySelector('.notes').textContent")


def machado(kind: str) -> Tensor:
    """What a colour looks like, in linear RGB, to those who lack one kind of cones (Machado et al. 2009)."""
    rows = {
        "all": "1 0 0 0 1 0 0 0 1",
        "no red": "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 -0.003882 -0.048116 1.051998",
        "no green": "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 -0.011820 0.042940 0.968881",
        "no blue": "1.255528 -0.076749 -0.178779 -0.078411 0.930809 0.147602 0.004733 0.691367 0.303900",
    }
    return torch.tensor([float(v) for v in rows[kind].split()]).reshape(3, 3)


@pytest.mark.parametrize("sight", ["all", "no red", "no green", "no blue"])
def test_neighbouring_generations_differ_in_colour_for_every_sight(sight: str) -> None:
    from skimage.color import deltaE_ciede2000, rgb2lab

    colours = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = (linear @ machado(sight).T).clamp(0, 1)
    back = torch.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(back.numpy())
    assert deltaE_ciede2000(lab[1:], lab[:-1]).min() > 6
