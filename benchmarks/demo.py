"""What `metaopt demo` shows: three inverse problems on real pictures, a trained network beside classical estimation.

The noise is not clipped; the weights of total variation and of wavelets are tuned on the very picture. The table of
README and its picture, docs/images/strips.png, come from one run of this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from metaopt.applications import demo
from metaopt.viewer import Section, save_strips

from .figures import IMAGES
from .report import need, parse_options, table
from .rows import Rows, weights_of

PICTURE = IMAGES / "strips.png"
EXAMPLES: dict[str, Callable[[], demo.Example]] = {  # and their weights
    "denoise_grey": demo.camera_denoised,
    "mri": demo.head_from_kspace,
    "random_projections": demo.astronaut_from_projections,
}
QUICK_SIDE = 128  # of what a quick run takes of the first picture


def smaller(example: demo.Example) -> demo.Example:
    """The middle of the example's picture; its operator is the identity."""
    place = (..., *[slice((n - QUICK_SIDE) // 2, (n + QUICK_SIDE) // 2) for n in example.target.shape[-2:]])
    problem = dataclasses.replace(example.problem, y=example.problem.y[place])
    return dataclasses.replace(example, problem=problem, target=example.target[place], given={})


def rows_of(section: Section) -> list[dict[str, Any]]:
    """The table of a section; the network's first row is after the steps of its training, and has the whole curve."""
    rows = [{"problem": section.title, **dataclasses.asdict(row)} for row in section.rows]
    rows[0]["psnr_at"] = list(section.iterates.psnr)
    return rows


def measure(examples: Sequence[demo.Example], draw: bool) -> list[dict[str, Any]]:
    """All rows, and the picture of the same run."""
    sections = [demo.show(example, print) for example in examples]
    if draw:
        save_strips(PICTURE, sections)
    return [row for section in sections for row in rows_of(section)]


def headline(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By how many dB the network is ahead of the best classical row, after the steps of its training."""
    found = {}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        of = [row for row in rows if row["problem"] == problem]
        ahead = of[0]["psnr"] - max(row["psnr"] for row in of if row["method"] != "RIM")
        found[f"{problem.split()[0].lower()}_gain"] = round(ahead, 2)
    return found


def main() -> None:
    options = parse_options(__doc__)
    need(options, packages=["skimage", "matplotlib"])
    saved = Rows("demo", {"seed": demo.SEED}, options)
    if options.quick:
        rows = saved.rows("examples", lambda: measure([smaller(demo.camera_denoised())], draw=False))
    else:
        reads = [weights_of(name) for name in EXAMPLES]
        made = [make() for make in EXAMPLES.values()]
        rows = saved.rows("examples", lambda: measure(made, draw=True), reads, draws=[PICTURE])
    print("\n" + table(rows, ["problem", "method", "steps", "psnr", "ssim", "seconds_per_step"]) + "\n")
    saved.write(headline(rows), rows, [demo.SEED])


if __name__ == "__main__":
    main()
