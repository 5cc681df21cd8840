"""The page does what it promises in a real browser."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from metaopt.viewer import Baseline, Row, Section, write_page

from ..conftest import Browser

MOVE = """
const slider = document.querySelector("#section-1 .step");
slider.value = arguments[0];
slider.dispatchEvent(new Event("input", {bubbles: true}));
"""
SEEN = """
const section = document.querySelector("#section-1"), find = (selector) => section.querySelector(selector);
return {estimate: find(".estimate img").src, error: find(".error img").src, target: find(".target img").src,
        words: find(".where").textContent, caption: find(".estimate figcaption").textContent,
        wrong: find(".error figcaption").textContent,
        marker: Number(find(".marker").getAttribute("cx"))};
"""


@pytest.fixture
def page(tmp_path: Path, make_section: Callable[..., Section]) -> Path:
    """Grey and colour, without, with one and with many baselines."""
    sections = [make_section(), make_section("In colour", channels=3), make_section("Alone", baselines=(), rows=())]
    baselines = [Baseline(f"A baseline with a long name, number {i}", sections[0].target, 25.0 + i) for i in range(4)]
    rows = [Row(baseline.name, baseline.psnr, 0.9, 1000, 1.234e-5) for baseline in baselines]
    sections.append(make_section("Among many", baselines=baselines, rows=rows))
    return write_page(tmp_path, sections, "Four <problems> & one page", "What is shown.\n\nHow to use it.")


def test_the_slider_walks_through_the_steps(browser: Browser, page: Path) -> None:
    browser.open(page)
    seen = []
    for step in (0, 1, 6):
        browser.run(MOVE, step)
        seen.append(browser.run(SEEN))
    for kind in ("estimate", "error", "words", "caption", "marker"):
        assert len({str(view[kind]) for view in seen}) == 3, kind
    assert len({view["target"] for view in seen}) == 1
    assert [view["words"] for view in seen][1:] == ["step 1 of 6: 23.10 dB", "step 6 of 6: 38.60 dB"]
    assert [view["marker"] for view in seen] == sorted(view["marker"] for view in seen)


def test_arrow_keys_move_the_slider(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    before = browser.run(SEEN)
    browser.driver.find_element("css selector", "#section-1 .step").send_keys(Keys.ARROW_RIGHT)
    after = browser.run(SEEN)
    assert before["words"].startswith("step 3 of 6")
    assert after["words"].startswith("step 4 of 6")
    assert after["estimate"] != before["estimate"]


def test_every_picture_is_decoded_and_has_words(browser: Browser, page: Path) -> None:
    browser.open(page)
    pictures = browser.run("return [...document.images].map((i) => [i.complete && i.naturalWidth, i.alt])")
    assert len(pictures) == 4 * 4
    assert all(width == 48 and alt for width, alt in pictures)


def test_the_classical_result_and_its_name_take_the_panels_until_the_slider_moves(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = browser.run(SEEN)
    browser.driver.find_element("css selector", "#section-1 .choice label:last-of-type").click()
    baseline = browser.run(SEEN)
    assert baseline["caption"] == "Estimate: Total variation, 30.46 dB"
    assert baseline["wrong"] == "Error of Total variation"
    assert baseline["words"] == "Total variation: 30.46 dB"
    assert baseline["estimate"] != before["estimate"]
    assert baseline["error"] != before["error"]
    browser.run(MOVE, 3)
    assert browser.run(SEEN) == before


def test_play_walks_from_the_start_to_the_end_and_stops(browser: Browser, page: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.open(page)
    assert browser.run(SEEN)["words"].startswith("step 3 of 6")
    assert browser.run(f"document.querySelector('#section-1 .play').click(); {SEEN}")["words"].startswith("step 0 of 6")
    assert browser.run("return document.querySelector('.play').textContent") == "Pause"
    wait = WebDriverWait(browser.driver, 10, poll_frequency=0.05)
    wait.until(lambda _: browser.run(SEEN)["words"].startswith("step 6 of 6"))
    wait.until(lambda _: browser.run("return document.querySelector('.play').textContent") == "Play")


def test_play_resumes_where_its_button_paused_it_and_begins_anew_after_the_slider(browser: Browser, page: Path) -> None:
    press = "document.querySelector('#section-1 .play').click();"
    browser.open(page)
    browser.run(f"{press} document.querySelector('#section-1 .step').value = 2; {press}")
    assert browser.run("return document.querySelector('.play').textContent") == "Resume"
    assert browser.run(press + SEEN)["words"].startswith("step 2 of 6")
    browser.run(MOVE, 4)
    assert browser.run(press + SEEN)["words"].startswith("step 0 of 6")


def test_nothing_is_fetched_and_the_console_stays_empty(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run(MOVE, 5)
    assert browser.requests() == [page.as_uri()]
    assert browser.console() == []


def test_the_policy_stops_what_would_leave_the_page(browser: Browser, page: Path) -> None:
    """Also shows that the console is watched."""
    browser.open(page)
    browser.run("const i = new Image(); i.src = 'http://127.0.0.1:9/a.png'; document.body.append(i);")
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    )
    assert browser.run("return window.ran") is None
    assert sum("Content Security Policy" in message for message in browser.console()) == 2


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.run("return innerWidth") == width
    assert browser.run("const e = document.documentElement; return e.scrollWidth <= e.clientWidth")
    beyond = """
    const inset = (section) => parseFloat(getComputedStyle(section).paddingRight);
    const edge = (section) => section.getBoundingClientRect().right - inset(section);
    return [...document.querySelectorAll(".problem")].flatMap((section) => [...section.querySelectorAll("*")]
        .filter((e) => !e.closest("svg") && e.getBoundingClientRect().right > edge(section) + 0.5)
        .map((e) => e.outerHTML.slice(0, 80)));
    """
    assert browser.run(beyond) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(browser: Browser, page: Path, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.open(page)
    colours = """
    const style = (selector) => getComputedStyle(document.querySelector(selector));
    const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const pairs = [["h2", ".problem"], ["figcaption", ".problem"], [".play", ".play"], ["a", "body"]];
    return pairs.map(([text, ground]) => [parts(style(text).color), parts(style(ground).backgroundColor)]);
    """
    assert all(contrast(*pair) >= 4.5 for pair in browser.run(colours))


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of WCAG 2.1, at least 4.5 for text."""

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_titles_are_shown_as_written(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.driver.title == "Four <problems> & one page"
    assert browser.run("return document.querySelector('h1').textContent") == "Four <problems> & one page"


def test_the_page_can_be_pictured(browser: Browser, page: Path, tmp_path: Path) -> None:
    """A screenshot is not blank: it holds the three panels of the first section."""
    browser.open(page)
    (tmp_path / "page.png").write_bytes(base64.b64decode(browser.driver.get_screenshot_as_base64()))
    from metaopt.data.formats.images import read_image

    assert read_image(tmp_path / "page.png").pixels.std() > 0.05
