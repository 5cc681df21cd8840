"""Sections to show on a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metaopt.viewer import Baseline, Iterates, Row, Section


@pytest.fixture
def make_section() -> Callable[..., Section]:
    """A section whose estimates near their target step by step."""

    def make(title: str = "Denoising", channels: int = 1, side: int = 48, steps: int = 6, **parts: Any) -> Section:
        generator = torch.Generator().manual_seed(0)
        shape = (side, side) if channels == 1 else (channels, side, side)
        ramp = torch.linspace(0.1, 0.9, side).expand(shape)
        noise = 0.1 * torch.randn(shape, generator=generator)
        estimates = [ramp + noise * 0.7**t for t in range(steps + 1)]
        iterates = Iterates(estimates, [20 + 3.1 * t for t in range(steps + 1)], trained_steps=steps // 2)
        baselines = [Baseline("Total variation", ramp + 0.03, 30.46, path=[20 + t for t in range(40)])]
        rows = [Row("Total variation", 30.46, 0.91, 200, 0.02), Row("RIM", 29.3, 0.93, steps // 2, 0.2)]
        whole = {
            "text": "A ramp with noise.",
            "target": ramp,
            "iterates": iterates,
            "baselines": baselines,
            "rows": rows,
        }
        return Section(**{"title": title, **whole, "given": {"noisy picture": estimates[0]}, **parts})

    return make
