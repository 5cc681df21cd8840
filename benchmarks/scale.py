"""What a picture larger than memory costs: seconds and peak memory on disk, from 512^2 to 8192^2 pixels.

A Recurrent Inference Machine of 16 features takes two steps on a picture of noise, whose numbers do not matter. Runs on
disk begin with a picture on disk; those in memory are the network untiled. ``denoise`` is the shipped network on
pictures in memory. Measure on a machine at rest, with 10 GB of free disk in the folder of temporary files.

A full run also writes docs/scale.rst, with what the measured figures come to for 120,000^2 pixels and 1,000 channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch

from metaopt.applications.imaging import denoise
from metaopt.models import load

from .costs.large_pictures import FEATURES, STEPS, TILE, difference, in_memory, on_disk
from .provenance import ROOT
from .report import need, paired, parse_options, table
from .rows import Row, Rows, weights_of

PAGE = ROOT / "docs" / "scale.rst"
SIDES, QUICK_SIDES = (512, 1024, 2048, 4096, 8192), (256, 512)
FITTING = 2048  # the largest side that is run in memory too
CHANNELS = (1, 4, 16, 64, 256)
WORKERS = (1, 2)
EXACT = [((256, 256), 64), ((253, 411), 64), ((97, 64), 32)]
REPEATS = 3  # of pictures that take less than a minute; the fastest counts, since others only disturb
GOAL_SIDE, GOAL_CHANNELS, GOAL_STEPS = 120_000, 1_000, 10
DISK, NETWORK = 2e9, 1.25e9  # bytes a second of an NVMe disk, and of 10 Gbit Ethernet: assumed
CORES = "days on 1,000 cores"
PRICE = 0.05  # of a core for an hour, in dollars: assumed


def fastest(compute: functools.partial[Row], times: int) -> Row:
    return min((compute() for _ in range(times)), key=lambda row: row["seconds"])


def denoising(sides: Sequence[int], rounds: int) -> Row:
    """Seconds of the larger picture over those of the smaller, interleaved."""
    net = load("denoise_grey")
    pictures = {str(side): torch.rand(1, side, side, generator=torch.Generator().manual_seed(0)) for side in sides}
    runs = {name: functools.partial(denoise, picture, 25 / 255, net) for name, picture in pictures.items()}
    found = paired(runs, rounds, warmup=0)
    small, large = (found[str(side)] for side in sides)
    return {
        "sides": list(sides),
        "seconds": large["seconds"],
        "seconds_of_smaller": small["seconds"],
        "ratio": large["ratio"],
    }


def exponent(rows: Sequence[Row]) -> float:
    """The slope of log seconds over log pixels, by least squares."""
    points = [(2 * math.log(row["side"]), math.log(row["seconds"])) for row in rows]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def of(rows: Sequence[Row], where: str, side: int, channels: int = 1, workers: int = 1) -> Row:
    wanted = (where, side, channels, workers)
    return next(r for r in rows if (r.get("where"), r.get("side"), r.get("channels"), r.get("workers")) == wanted)


def headline(rows: Sequence[Row], sides: Sequence[int], fitting: int) -> dict[str, float]:
    tiled = [of(rows, "disk", side) for side in sides if side >= min(TILE, sides[0])]
    large, small = sides[-1], sides[-3] if len(sides) > 2 else sides[0]
    return {
        "exact_difference": max(row["difference"] for row in rows if "difference" in row),
        "memory_ratio_8192_to_2048": round(of(rows, "disk", large)["gib"] / of(rows, "disk", small)["gib"], 3),
        "time_exponent": round(exponent(tiled), 3),
        "out_of_core_time_ratio": round(
            of(rows, "disk", fitting)["seconds"] / of(rows, "memory", fitting)["seconds"], 3
        ),
        "denoise_2048_over_512": round(next(row["ratio"] for row in rows if "ratio" in row), 2),
    }


def extrapolated(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(what, how much, measured or by which arithmetic) for the goal, whose channels are run one by one."""
    large = of(rows, "disk", SIDES[-1])
    two = of(rows, "disk", SIDES[-1], workers=2)
    pixels, goal = large["side"] ** 2, GOAL_SIDE**2
    rate = large["seconds"] / pixels / STEPS
    state = (FEATURES + 1) * 4 * goal
    moved = GOAL_STEPS * GOAL_CHANNELS * state * (1 + 2.25)
    seconds = rate * goal * GOAL_STEPS * GOAL_CHANNELS
    speedup = large["seconds"] / two["seconds"]
    hours = seconds / 3600
    return [
        ("seconds a pixel and step, one worker", f"{rate:.3g}", f"measured at {large['side']}^2"),
        ("two workers over one", f"{speedup:.2f}", "measured, on one machine"),
        ("memory of a worker, GiB", f"{large['gib']:.2f}", "measured; it does not grow with the picture"),
        ("state of a channel on disk, TB", f"{2 * state / 1e12:.2f}", "4 bytes x (features + 1) x pixels, two steps"),
        ("picture of all channels, TB", f"{4 * goal * GOAL_CHANNELS / 1e12:.1f}", "4 bytes x pixels x channels"),
        ("core hours", f"{hours:.3g}", f"seconds a pixel and step x pixels x {GOAL_STEPS} steps x channels"),
        (CORES, f"{hours / 24 / 1000:.2f}", "if they scale as they would without a common disk"),
        ("bytes moved, PB", f"{moved / 1e15:.2f}", "state written once and read 2.25 times a step, in chunks"),
        ("days of one disk", f"{moved / DISK / 86400:.1f}", f"at {DISK / 1e9:g} GB/s, assumed"),
        ("days of one network port", f"{moved / NETWORK / 86400:.1f}", f"at {NETWORK / 1e9:g} GB/s, assumed"),
        ("dollars", f"{hours * PRICE:.3g}", f"at {PRICE} a core hour, assumed"),
    ]


TEXT = """Results: pictures larger than memory
====================================

``python -m benchmarks.scale``. A Recurrent Inference Machine of {features} features takes {steps} steps on a picture of
noise, in tiles of {tile} pixels. How to run one is on :doc:`this page <gallery/plot_16_large>`.

{measured}

From {least:,} to {most:,} pixels a side, time grows with the number of pixels to the power of {time_exponent}; from
{small:,} to {most:,}, the memory of the process grows by a factor of {memory_ratio_8192_to_2048}. At {fitting:,} pixels
a side a run on disk takes {out_of_core_time_ratio} times as long as one in memory. Results differ by at most
{exact_difference:.1g} in float64.

What this comes to for {side:,} x {side:,} pixels and {channels:,} channels
-----------------------------------------------------------------------

Nobody has run this. It is for {goal_steps} steps, a channel at a time; the last column says which figures are measured,
which are assumed, and by which arithmetic the others follow.

{extrapolated}

The bottleneck is {slowest}. Of what would move it: a network with a stride of 2 has a quarter of the state, and half
precision half of it; several steps in a pass over the disk, with halos as many times deeper, divide the bytes by their
number.
"""


def page(rows: Sequence[Row], figures: dict[str, float]) -> str:
    """docs/scale.rst."""
    lines = [dict(zip(("what", "how much", "from"), line, strict=True)) for line in extrapolated(rows)]
    days = {line["what"]: float(line["how much"]) for line in lines if line["what"].startswith("days")}
    numbers = {"features": FEATURES, "steps": STEPS, "tile": TILE, "fitting": FITTING, "goal_steps": GOAL_STEPS}
    return TEXT.format(
        **numbers,
        **figures,
        least=TILE,
        small=SIDES[-3],
        most=SIDES[-1],
        side=GOAL_SIDE,
        channels=GOAL_CHANNELS,
        measured=_csv(["where", "side", "channels", "workers", "seconds", "gib"], [r for r in rows if "where" in r]),
        extrapolated=_csv(["what", "how much", "from"], lines),
        slowest="a disk that all workers share" if max(days, key=days.__getitem__) != CORES else "arithmetic",
    )


def _csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    cells = [[f"{row[c]:.3g}" if isinstance(row[c], float) else str(row[c]) for c in columns] for row in rows]
    lines = ["   " + ", ".join(f'"{cell}"' for cell in line) for line in ([*columns], *cells)]
    return "\n".join([".. csv-table::", "   :header-rows: 1", "", *lines])


def main() -> None:
    options = parse_options(__doc__)
    need(options, packages=["zarr", "dask"])
    settings = {
        "features": FEATURES,
        "steps": STEPS,
        "tile": TILE,
        "repeats": REPEATS,
        "threads": torch.get_num_threads(),
    }
    saved = Rows("scale", settings, options)
    sides, channels = (QUICK_SIDES, (1, 4)) if options.quick else (SIDES, CHANNELS)
    fitting = min(FITTING, sides[-1])
    rows = [
        saved.row(f"exact {shape}", functools.partial(difference, shape, tile))
        for shape, tile in (EXACT[2:] if options.quick else EXACT)
    ]
    for side in sides:
        times = REPEATS if side <= FITTING and not options.quick else 1
        runs = {f"disk, {w}": functools.partial(on_disk, side, 1, w) for w in WORKERS}
        runs |= {"memory": functools.partial(in_memory, side, 1)} if side <= fitting else {}
        for name, run in runs.items():
            rows.append(saved.row(f"{side} {name}", functools.partial(fastest, run, times)))
            print(rows[-1], flush=True)
    for count in channels[1:]:
        run = functools.partial(on_disk, sides[0], count, 1)
        rows.append(saved.row(f"{count} channels", functools.partial(fastest, run, 1)))
    pair, rounds = ((64, 128), 1) if options.quick else ((512, 2048), 3)
    rows.append(saved.row("denoise", functools.partial(denoising, pair, rounds), [weights_of("denoise_grey")]))
    print("\n" + table([r for r in rows if "where" in r], ["where", "side", "channels", "workers", "seconds", "gib"]))
    found = headline(rows, sides, fitting)
    if not options.quick:
        PAGE.write_text(page(rows, found))
    saved.write(found, rows, [0])


if __name__ == "__main__":
    main()
