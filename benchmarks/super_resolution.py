"""Super-resolution of Set5 and of the luminance of CBSD68, by 2, 3 and 4, beside interpolation and total variation.

The usual protocol: the luminance (ITU-R BT.601, 16 to 235 of 255) of a picture cropped to a multiple of the factor is
shrunk by antialiased bicubic interpolation, not rounded, and enlarged again; PSNR and SSIM are of the luminance clipped
to [0, 1], without as many pixels at the border as the factor says. The weight of total variation is chosen on crops of
other pictures, for each factor. Figures marked as published are others', on Set5. The figure is of a picture of
scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import metaopt as mo
from metaopt.applications.imaging import LUMINANCE
from metaopt.models import load
from metaopt.tasks import shrinking
from metaopt.weights import read_card

from .figures import crop_of, draw_panels
from .imaging import (
    VALIDATION,
    crops,
    curve,
    measured,
    network,
    pictures,
    published,
    quality,
    row,
    total_variation,
    tuned,
)
from .report import need, parse_options, table
from .rows import Rows, weights_of

FULL = {"factors": (2, 3, 4), "every": 1, "tuning": 12, "fista": 60}
QUICK = {"factors": (3,), "every": 68, "tuning": 1, "fista": 10}
SETS = {"set5": ("natural/set5", False), "cbsd68": ("natural/cbsd68", True)}  # folder; whether ``every`` thins it
NOISE = 0.3 / 255  # that the network and total variation are told; there is none
WEIGHTS = "restore_grey"
PUBLISHED = {  # Set5; arXiv:1508.02848 and 1511.04587
    "bicubic": (33.64, 30.39, 28.42),
    "TNRD": (36.86, 33.18, 30.85),
    "VDSR": (37.56, 33.67, 31.35),
}
SHOWN = ["set", "factor", "method", "psnr", "ssim", "seconds"]


def luminance(colour: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] to (1, 1, H, W) in [16/255, 235/255]."""
    return (16 + 219 * torch.einsum("bchw,c->bhw", colour, LUMINANCE.to(colour))[:, None]) / 255


def shrunk(target: Tensor, factor: int) -> tuple[mo.InverseProblem, Tensor]:
    """The problem, and the target cropped to a multiple of the factor."""
    height, width = (n // factor * factor for n in target.shape[-2:])
    target = target[..., :height, :width].contiguous()
    operator = shrinking(tuple(target.shape), factor)
    return mo.InverseProblem(operator, operator(target), factor * NOISE), target


def interpolated(problem: mo.InverseProblem, factor: int, mode: str) -> Tensor:
    options = {"antialias": True} if mode == "bicubic" else {}
    return F.interpolate(problem.y / factor, scale_factor=factor, mode=mode, **options)


def rows_of(name: str, factor: int, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    folder, thinned = SETS[name]
    pairs = [shrunk(luminance(p), factor) for p in pictures(folder, False, size["every"] if thinned else 1)]
    run, trained = total_variation(size["fista"]), read_card(WEIGHTS)["trained_steps"]

    def tv() -> dict[str, float]:
        held = [shrunk(luminance(c), factor) for c in crops(size["tuning"], 120, grey=False)]
        weight = tuned(run, held, start=30.0, ratio=2.0)
        return {**row(lambda problem: run(weight, problem), pairs, factor), "weight": weight}

    methods: dict[str, Callable[[], dict[str, Any]]] = {
        mode: lambda mode=mode: row(lambda problem: interpolated(problem, factor, mode), pairs, factor)
        for mode in ("nearest", "bicubic")
    }
    methods["total variation"] = tv
    methods["RIM"] = lambda: {
        **row(network(WEIGHTS), pairs, factor),
        **curve(load(WEIGHTS), pairs, 2 * trained, factor),
    }
    labels, data = {"set": name, "factor": factor}, [folder, VALIDATION]
    return measured(labels, methods, saved, data, {"RIM": weights_of(WEIGHTS)})


def draw(factors: Sequence[int]) -> Path:
    """A small picture, enlarged by repetition, by bicubic interpolation and by the network; the large one."""
    from skimage import data

    whole = luminance(torch.as_tensor(data.astronaut()).movedim(-1, 0)[None].float() / 255)
    rows = []
    for factor in factors:
        problem, target = shrunk(whole, factor)
        panels = {
            "small": interpolated(problem, factor, "nearest"),
            "bicubic": interpolated(problem, factor, "bicubic"),
            "RIM": network(WEIGHTS)(problem),
        }
        parts = {name: crop_of(x, 84, 180, 96) for name, x in {**panels, "target": target}.items()}
        scores = {name: f"{quality(parts[name], parts['target'])[0]:.2f} dB" for name in panels}
        rows.append((f"x{factor}", [(f"{name}\n{scores.get(name, '')}", part) for name, part in parts.items()]))
    return draw_panels("super_resolution", rows, width=2.0)


def main() -> None:
    options = parse_options(__doc__)
    need(options, [*(folder for folder, _ in SETS.values()), VALIDATION])
    size: dict[str, Any] = QUICK if options.quick else FULL
    saved = Rows("super_resolution", {**size, "noise": NOISE}, options)
    rows = [row for name in SETS for factor in size["factors"] for row in rows_of(name, factor, size, saved)]
    known = saved.rows("published", lambda: published(PUBLISHED, (2, 3, 4), "factor"))
    rows += [{"set": "set5", **row} for row in known if row["factor"] in size["factors"]]
    print("\n" + table(rows, SHOWN))
    set5 = {(row["method"], row["factor"]): row["psnr"] for row in rows if row["set"] == "set5"}
    headline = {
        **{f"set5_x{k}": round(set5["RIM", k], 2) for k in size["factors"]},
        **{f"bicubic_x{k}": round(set5["bicubic", k], 2) for k in size["factors"]},
    }
    saved.write(headline, rows, [0], [] if options.quick else [draw(size["factors"])])


if __name__ == "__main__":
    main()
