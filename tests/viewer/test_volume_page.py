"""A page of volumes in a real browser: what is seen at which step and slice, and how it is moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaopt.applications.view import view_result

from ..conftest import Browser

SHAPE = (5, 13, 17)
SEEN = """
const figure = (kind) => [...document.querySelectorAll(`.methods .${kind}`)];
const levels = (f) => { const c = f.querySelector("canvas");
    const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    return [...Array(c.height).keys()].map((y) => [...Array(c.width).keys()].map((x) => d[4 * (y * c.width + x)])); };
const words = (f) => f.querySelector("figcaption").textContent;
return {step: document.querySelector(".where").textContent, slice: document.querySelector(".at").textContent,
        estimates: figure("estimate").map(levels), errors: figure("error").map(levels),
        target: figure("target").map(levels), names: figure("panel").map(words),
        white: figure("error").map((f) => f.querySelector(".white").textContent)};
"""
READY = "return document.documentElement.dataset.ready === 'true' && !document.querySelector('[aria-busy=\"true\"]')"
MOVE = """
const e = document.querySelector(arguments[0]); e.value = arguments[1];
e.dispatchEvent(new Event(arguments[2] || "input", {bubbles: true}));
"""
WHEEL = """
const canvas = document.querySelectorAll(arguments[0])[arguments[1]];
const event = new WheelEvent("wheel", {deltaY: arguments[2], bubbles: true, cancelable: true});
canvas.dispatchEvent(event);
return event.defaultPrevented;
"""


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.random(SHAPE, np.float32)
    target[0, 0, 0] = 2
    noise = rng.random((7, *SHAPE), np.float32)
    return {
        "estimates_rim": target + noise * 0.5 ** np.arange(7, dtype=np.float32)[:, None, None, None],
        "estimates_<b>tv": target + noise[:4] * 0.3,
        "target": target,
        "mask": (rng.random(SHAPE[1:]) < 0.3).astype(np.uint8),
        "spacing": np.array([3.0, 1.0, 1.0]),
    }


def opened(browser: Browser, folder: Path, width: int = 1280, axes: str | None = None, **changes: object) -> Path:
    """The page of a result, whose volumes are all decoded."""
    from selenium.webdriver.support.ui import WebDriverWait

    held = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
    np.savez(folder / "r.npz", **held)
    page = view_result(folder / "r.npz", folder / "r.html", axes)
    browser.open(page, width=width)
    WebDriverWait(browser.driver, 20, poll_frequency=0.02).until(lambda _: browser.run(READY))
    browser.run(MOVE, ".brightness", "1", "change")
    return page


def grey(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values / 2, 0, 1) * 255)


def test_what_is_seen_is_the_slice_of_the_step_on_the_scale_of_the_target(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)
    given = arrays()
    for step in (0, 6):
        browser.run(MOVE, ".step", step)
        seen = browser.run(SEEN)
        assert seen["step"] == f"step {step} of 6"
        for shown, name, at in zip(seen["estimates"], ("rim", "<b>tv"), (step, min(step, 3)), strict=True):
            assert np.array_equal(shown, grey(given[f"estimates_{name}"][at, 2]))
        assert np.array_equal(seen["target"][0], grey(given["target"][2]))
        error = np.abs(grey(given["estimates_rim"][step, 2]) - grey(given["target"][2]))
        assert np.array_equal(seen["errors"][0], np.minimum(error * 5, 255))
        assert seen["white"] == ["≥ 20 %"] * 2
    browser.run(MOVE, ".gain", "10", "change")
    assert browser.run(SEEN)["white"] == ["≥ 10 %"] * 2


def test_every_method_has_its_own_label_and_score(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)
    given = arrays()

    def score(name: str, step: int) -> str:
        error = (given[f"estimates_{name}"][step].astype(float) - given["target"]) ** 2
        return f"{10 * np.log10(4 / error.mean()):.2f} dB"

    browser.run(MOVE, ".step", 5)
    assert browser.run(SEEN)["names"] == [
        f"rim, step 5: {score('rim', 5)}",
        "Error of rim ×5",
        f"<b>tv, step 3 (its last): {score('<b>tv', 3)}",
        "Error of <b>tv ×5",
        "Target",
    ]
    legend = browser.run("return [...document.querySelectorAll('.chart li')].map((e) => e.textContent)")
    assert legend[:2] == [f"rim, step 5: {score('rim', 5)}", f"<b>tv, step 3: {score('<b>tv', 3)}"]
    marks = "return [...document.querySelectorAll('.chart .now')].map((e) => Number(e.getAttribute('x1')))"
    assert browser.run(marks) == pytest.approx([50 + 418 * 5 / 6] * 2)
    mask = int(given["mask"].sum())
    assert browser.run("return document.querySelector('.mask .scale').textContent").startswith(f"{mask} of 221 samples")


def test_play_begins_at_step_0_wherever_the_slider_is_and_ends_at_the_last(browser: Browser, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, tmp_path)
    browser.run(MOVE, ".step", 4)
    words = "return document.querySelector('.where').textContent"
    assert browser.run(f"document.querySelector('.play').click(); {words}") == "step 0 of 6"
    wait = WebDriverWait(browser.driver, 10, poll_frequency=0.05)
    wait.until(lambda _: browser.run(words) == "step 6 of 6")
    wait.until(lambda _: browser.run("return document.querySelector('.play').textContent") == "Play")


def test_the_wheel_changes_the_slice_of_its_plane_and_no_further_than_there_are(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path)
    assert browser.run(WHEEL, ".methods canvas", 0, 120)
    seen = browser.run(SEEN)
    assert seen["slice"] == "D = 3 of 0 to 4"
    assert np.array_equal(seen["estimates"][0], grey(arrays()["estimates_rim"][0, 3]))
    for _ in range(9):
        browser.run(WHEEL, ".methods canvas", 0, 120)
    assert browser.run(SEEN)["slice"] == "D = 4 of 0 to 4"
    for delta in (-10, -10):
        browser.run(WHEEL, ".methods canvas", 0, delta)
    assert browser.run(SEEN)["slice"] == "D = 4 of 0 to 4", "a touch pad sends little by little"
    browser.run(WHEEL, ".methods canvas", 0, -10)
    assert browser.run(SEEN)["slice"] == "D = 3 of 0 to 4"
    browser.run(WHEEL, ".trio canvas", 1, -120)
    where = browser.run("return [...document.querySelectorAll('.trio figcaption')].map((e) => e.textContent)")
    assert where == ["axial, D = 3 of 0 to 4", "coronal, H = 5 of 0 to 12", "sagittal, W = 8 of 0 to 16"]


def test_a_click_moves_the_crosshair_of_all_planes(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)
    click = """
    const canvas = document.querySelectorAll(".trio canvas")[arguments[0]], box = canvas.getBoundingClientRect();
    const [row, column] = [arguments[1], arguments[2]];
    canvas.dispatchEvent(new MouseEvent("click", {bubbles: true,
        clientX: box.left + (column + 0.5) / canvas.width * box.width,
        clientY: box.top + (row + 0.5) / canvas.height * box.height}));
    return [...document.querySelectorAll('.trio figcaption')].map((e) => e.textContent.split(" of ")[0]);
    """
    assert browser.run(click, 0, 3, 4) == ["axial, D = 2", "coronal, H = 3", "sagittal, W = 4"]
    assert browser.run(click, 2, 0, 9) == ["axial, D = 4", "coronal, H = 9", "sagittal, W = 4"], "D grows upwards"
    shape = browser.run(
        "return [...document.querySelectorAll('.trio canvas')].map((c) => c.clientWidth / c.clientHeight)"
    )
    assert shape == pytest.approx([17 / 13, 17 / 15, 13 / 15], rel=0.02), "by the spacing"


def test_arrows_and_space_do_without_a_mouse(browser: Browser, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> dict:
        ActionChains(browser.driver).send_keys(*keys).perform()
        return browser.run(SEEN)

    opened(browser, tmp_path)
    assert press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)["step"] == "step 2 of 6"
    assert press(Keys.ARROW_UP)["slice"] == "D = 3 of 0 to 4"
    browser.run("document.querySelector('.step').focus()")
    seen = press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert (seen["step"], seen["slice"]) == ("step 3 of 6", "D = 2 of 0 to 4")
    assert browser.run("return getComputedStyle(document.querySelector('.step')).outlineStyle") == "solid"
    browser.run("document.querySelectorAll('.trio canvas')[2].focus()")
    press(Keys.ARROW_UP)
    assert "W = 9" in browser.run("return document.querySelectorAll('.trio figcaption')[2].textContent")
    assert browser.run("return getComputedStyle(document.querySelectorAll('.trio .view')[2]).outlineWidth") == "2px"
    assert press(Keys.SPACE)["step"] == "step 0 of 6"
    assert browser.run("return document.querySelector('.play').textContent") == "Pause"
    press(Keys.SPACE)
    assert browser.run("return document.querySelector('.play').textContent") == "Resume"


@pytest.mark.parametrize("axes", ["SPL", "RIP", "LSA", "AIR"])
def test_told_axes_turn_the_head_upright_with_its_left_on_the_right(
    browser: Browser, tmp_path: Path, axes: str
) -> None:
    """The brightest voxel is put in front, on top and on the left."""
    target = np.full((4, 5, 6), 0.1, np.float32)
    front = tuple(-1 if letter in "ASL" else 0 for letter in axes)
    target[front] = 1
    opened(
        browser,
        tmp_path,
        axes=axes,
        target=target,
        mask=None,
        **{"estimates_rim": target[None], "estimates_<b>tv": None},
    )
    sizes = dict(zip(axes, target.shape, strict=True))
    up, back, left = (next(sizes[a] for a in pair if a in sizes) for pair in ("SI", "AP", "LR"))
    click = """
    const out = {};
    for (const plane of ["axial", "coronal", "sagittal"]) {
        const found = [];
        document.querySelector(`input[value=${plane}]`).click();
        const slice = document.querySelector(".slice");
        for (let i = 0; i <= Number(slice.max); i++) {
            slice.value = i;
            slice.dispatchEvent(new Event("input"));
            const c = document.querySelector(".methods .target canvas");
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            for (let p = 0; p < c.width * c.height; p++) {
                if (d[4 * p] === 255) found.push([Math.floor(p / c.width), p % c.width, c.height, c.width]);
            }
        }
        out[plane] = found;
    }
    return out;
    """
    assert browser.run(click) == {
        "axial": [[0, left - 1, back, left]],
        "coronal": [[0, left - 1, up, left]],
        "sagittal": [[0, 0, up, back]],
    }
    ends = browser.run("return [...document.querySelectorAll('.trio .view')].map((v) => v.textContent)")
    assert ends == ["APRL", "SIRL", "SIAP"]


def test_no_letter_is_at_a_side_of_which_the_file_says_nothing(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)
    assert browser.run("return [...document.querySelectorAll('.view')].every((v) => v.textContent === '')")
    assert "does not say how the head lies" in browser.run("return document.querySelector('.notes').textContent")


def test_a_single_slice_without_target_shows_one_plane_and_says_what_is_missing(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path, target=None, estimates_rim=arrays()["estimates_rim"][:, 0], **{"estimates_<b>tv": None})
    seen = browser.run(SEEN)
    assert np.asarray(seen["estimates"][0]).shape == SHAPE[1:]
    assert seen["names"] == ["rim, step 0"]
    assert browser.run(
        "return ['.three', '.planes', '.slices', '.of-error'].every((s) => document.querySelector(s).hidden)"
    )
    assert "has no target, so that there is no error" in browser.run(
        "return document.querySelector('.notes').textContent"
    )
    assert not browser.run(WHEEL, ".methods canvas", 0, 120), "the wheel scrolls the page"


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_window_and_nothing_is_fetched(browser: Browser, tmp_path: Path, width: int) -> None:
    name = "estimates_a_method_with_a_name_that_is_long_enough_to_be_too_wide_for_a_phone"
    page = opened(browser, tmp_path, width=width, **{name: arrays()["estimates_rim"]})
    assert browser.run("return innerWidth") == width
    assert browser.run("const e = document.documentElement; return e.scrollWidth <= e.clientWidth")
    beyond = """
    return [...document.querySelectorAll("main *, .bar *")]
        .filter((e) => !e.closest("svg") && e.tagName !== "OPTION" && e.getBoundingClientRect().right > innerWidth)
        .map((e) => e.outerHTML.slice(0, 80));
    """
    assert browser.run(beyond) == []
    assert browser.requests() == [page.as_uri()]
    assert browser.console() == []
