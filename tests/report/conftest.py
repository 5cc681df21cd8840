"""A real browser, and sections to show in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from metaopt.report import Rival, Row, Section, Walk

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)


class Browser:
    """A headless Chromium that notes what it is asked to fetch and what goes to its console."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1280, height: int = 900) -> None:
        """Open a file in a window of so many pixels, and forget what was noted before."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.requests()
        self.console()
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a piece of JavaScript returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def console(self) -> list[str]:
        """The messages since the last call, whatever their level."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses asked for since the last call, but for data that stands in the page."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium by its own driver; without them the test is skipped, with the reason."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if program is None or chromedriver is None:
        pytest.skip("no chromium and chromedriver on the PATH: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install -e '.[test]'")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(chromedriver, log_output=os.devnull)
    driver = webdriver.Chrome(options=options, service=service)
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def make_section() -> Callable[..., Section]:
    """A section whose estimates near their target step by step."""

    def make(title: str = "Denoising", channels: int = 1, side: int = 48, steps: int = 6, **parts: Any) -> Section:
        generator = torch.Generator().manual_seed(0)
        shape = (side, side) if channels == 1 else (channels, side, side)
        ramp = torch.linspace(0.1, 0.9, side).expand(shape)
        noise = 0.1 * torch.randn(shape, generator=generator)
        estimates = [ramp + noise * 0.7**t for t in range(steps + 1)]
        walk = Walk(estimates, [20 + 3.1 * t for t in range(steps + 1)], trained_steps=steps // 2)
        rivals = [Rival("Total variation", ramp + 0.03, 30.46, path=[20 + t for t in range(40)])]
        rows = [Row("Total variation", 30.46, 0.91, 200, 0.02), Row("RIM", 29.3, 0.93, steps // 2, 0.2)]
        whole = {"text": "A ramp with noise.", "target": ramp, "walk": walk, "rivals": rivals, "rows": rows}
        return Section(**{"title": title, **whole, "given": {"noisy picture": estimates[0]}, **parts})

    return make
