"""Reconstructs k-space by networks and by the classical ways: simulated, of people whom no training saw, and measured.

Networks get the true maps and noise level as every other method does; what they get and how the weights of classical
rows are chosen is said in benchmarks/simulated_mri.py and benchmarks/real_brain.py. Brief trainings compare kinds of
networks: equal time on one core, patches, optimizer and number of parameters. A whole head is reconstructed by the
command, from a file to a file.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from metaopt.data import data_path
from metaopt.models import load

from . import real_brain
from .figures import draw_curves, draw_panels
from .report import need, parse_options, table
from .rows import Row, Rows, weights_of
from .simulated_mri import (
    EVERY,
    HEADS,
    HEARTS,
    RATIO,
    SPARSE,
    TEST,
    Run,
    Setting,
    cases,
    classical,
    quality,
    scores,
    zero_filled,
)
from .solvers import mri as rivals
from .training import WEIGHTS

MAIN = [Setting(a) for a in (2, 3, 4, 6)]
LOW_NOISE, COILS = Setting(noise=0.005), Setting(coils=8)
FURTHER = [
    *(Setting(noise=noise) for noise in (0.002, 0.05)),
    Setting(6, coils=8),
    *(Setting(coils=coils, columns=True) for coils in (1, 8)),
    Setting(share=2 / 3),
    Setting(share=1 / 2, hearts=True),
]
STRONGEST = ("BART L1-wavelet, 40 iterations", "sigpy TV")  # of other people's rows, in the further settings
SHIPPED = "RIM"
COMPARED = {
    "RIM, patches of 30 x 30": "mri_patches_30",
    "RIM, brief training": "mri_rim_brief",
    "i-RIM, brief training": "mri_irim_brief",
    "variational network, brief training": "mri_proximal_brief",
}
LEARNED = (SHIPPED, *COMPARED)


def weights(name: str) -> Path:
    """The weights of a learned row."""
    return weights_of("mri") if name == SHIPPED else WEIGHTS / f"{COMPARED[name]}.safetensors"


def of_network(name: str, setting: Setting, every: int) -> Row:
    net = load(weights(name))
    return quality(lambda case: net(case.problem).outputs, setting, every)


class Classical(NamedTuple):
    """What a weight runs, where the search for it begins, and whether pictures are compared after the best scale."""

    run: Callable[[float], Run]
    start: float
    scaled: bool


def classical_methods(setting: Setting, quick: bool) -> Mapping[str, Classical]:
    found: dict[str, Classical] = {}
    for name, (method, start) in real_brain.OURS.items():
        ours = lambda weight, method=method: lambda case: method(weight)(case.problem)  # noqa: E731
        found[name] = Classical(ours, start, False)
    others = {} if quick else {**rivals.BART, **rivals.SIGPY}
    missing = {"BART": rivals.bart_is_missing(), "sigpy": rivals.sigpy_is_missing()}
    for name, (solve, start) in others.items():
        if setting in FURTHER and name not in STRONGEST:
            continue
        if reason := missing[name.split()[0]]:
            print(f"{setting} {name}: skipped, since {reason}", flush=True)
            continue
        one = lambda weight, solve=solve: lambda case: [solve(case.problem.y, case.maps, weight)]  # noqa: E731
        found[name] = Classical(one, start, True)
    return found


def methods(setting: Setting, quick: bool) -> Mapping[str, Callable[[int], Row]]:
    """What each row of a setting computes, of the distance between slices."""
    found: dict[str, Callable[[int], Row]] = {"zero-filled": functools.partial(zero_filled, setting)}
    for name, method in classical_methods(setting, quick).items():
        found[name] = functools.partial(classical, *method, setting)
    for name in (SHIPPED,) if setting in FURTHER or quick else LEARNED:
        found[name] = functools.partial(of_network, name, setting)
    return found


def rows_of(setting: Setting, saved: Rows, quick: bool) -> list[Row]:
    rows = []
    for name, compute in methods(setting, quick).items():
        reads = [HEARTS if setting.hearts else HEADS, *([weights(name)] if name in LEARNED else [])]
        row = saved.row(f"{setting}: {name}", functools.partial(compute, SPARSE if quick else EVERY), reads)
        rows.append({"setting": str(setting), "method": name, **row})
        print(f"{setting} {name}: {row['psnr']:.2f} dB", flush=True)
    return rows


@torch.inference_mode()
def seconds_of_pictures(chosen: Mapping[str, Row]) -> list[Row]:
    """The seconds of each method for one picture, at its chosen weight and step; measure on a machine at rest.

    The methods take turns, and the least of five rounds counts. BART's hold the start of its process.
    """
    _, case = next(iter(cases(Setting(4), TEST, EVERY)))
    runs = {n: m.run(chosen[n]["weight"]) for n, m in classical_methods(Setting(4), False).items() if n in chosen}
    net = load(weights(SHIPPED))
    runs[SHIPPED] = lambda case: net(case.problem).outputs
    least = dict.fromkeys(runs, math.inf)
    for _ in range(5):
        for name, run in runs.items():
            begin = time.perf_counter()
            pictures = run(case)
            share = min(1, chosen[name]["step"] / len(pictures))
            least[name] = min(least[name], share * (time.perf_counter() - begin))
    return [{"setting": "seconds of a picture", "method": name, "seconds": s} for name, s in least.items()]


def whole_head(coils: int) -> Row:
    """The seconds that ``metaopt mri reconstruct`` takes for 120 x 120 x 90 voxels; measure on a machine at rest."""
    head = sorted(data_path(HEADS).glob("*.nii.gz"))[TEST[0]]
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    metaopt = [sys.executable, "-m", "metaopt", "mri"]
    with tempfile.TemporaryDirectory() as folder:
        kspace, found = Path(folder) / "kspace.h5", Path(folder) / "found.nii.gz"
        run([*metaopt, "simulate", str(head), str(kspace), "--acceleration", "4", "--coils", str(coils)])
        begin = time.perf_counter()
        run([*metaopt, "reconstruct", str(kspace), str(found)])
        return {"seconds": time.perf_counter() - begin}


def headline(rows: Sequence[Row]) -> dict[str, float]:
    """The figures that the README and other pages take."""

    def best(setting: Setting) -> float:
        return max(r["psnr"] for r in rows if r["setting"] == str(setting) and r["method"] not in LEARNED)

    def of(setting: Setting | str, method: str, column: str = "psnr") -> float:
        return next(r[column] for r in rows if r["setting"] == str(setting) and r["method"] == method)

    four, six, real = Setting(4), Setting(6), "real brain, R = 4"
    found = {
        "zero_filled_4x": of(four, "zero-filled"),
        "classical_4x": best(four),
        "rim_4x": of(four, SHIPPED),
        "classical_6x": best(six),
        "rim_6x": of(six, SHIPPED),
        "low_noise_gain_4x": of(LOW_NOISE, SHIPPED) - best(LOW_NOISE),
        "coils8_gain_4x": of(COILS, SHIPPED) - best(COILS),
        "real8_r4": of(real, SHIPPED),
        "real8_r4_bart": max(r["psnr"] for r in rows if r["setting"] == real and r["method"].startswith("BART")),
        "patch30_gap": of(four, SHIPPED) - of(four, "RIM, patches of 30 x 30"),
        "varnet_gap": of(four, "RIM, brief training") - of(four, "variational network, brief training"),
        "bart_gap": of(real, "L1-wavelet") - of(real, "BART L1-wavelet"),
        "brain_seconds": of("whole head, 1 coil", SHIPPED, "seconds"),
        "brain8_seconds": of("whole head, 8 coils", SHIPPED, "seconds"),
    }
    return {name: round(value, 2) for name, value in found.items()}


def draw(rows: Sequence[Row]) -> list[Path]:
    """The figures of the documentation: a slice by several methods, and PSNR against steps."""
    person, case = list(cases(Setting(4), TEST, EVERY))[1]
    tv, net = real_brain.OURS["TV"][0], load(weights(SHIPPED))
    weight = next(r["weight"] for r in rows if r["setting"] == str(Setting(4)) and r["method"] == "TV")
    with torch.inference_mode():
        outputs = net(case.problem).outputs
        found = {"target": case.target, "zero-filled": case.problem.start(), "TV": tv(weight)(case.problem)[-1]}
        found |= {f"{SHIPPED}, step {k}": outputs[k - 1] for k in (1, 3, len(outputs))}
    pictures = [(_caption(name, x, case.target), x.abs()) for name, x in found.items()]
    errors = [("", 5 * (x.abs() - case.target.abs()).abs()) for x in found.values()]
    panels = draw_panels("mri", [(f"person {person}", pictures), ("error x 5", errors)])
    lines = {"L1-wavelet": 60, "TV": 60, SHIPPED: 60}
    curves = {}
    for setting in (Setting(4), Setting(6), COILS):
        of = {r["method"]: r["steps"] for r in rows if r["setting"] == str(setting)}
        begin = of["zero-filled"]["psnr"][0]
        curves[str(setting)] = {
            name: {0: begin} | {k: v for k, v in zip(of[name]["step"], of[name]["psnr"], strict=True) if k <= most}
            for name, most in lines.items()
        }
    return [panels, draw_curves("mri_steps", curves, {"steps of training": net.steps})]


def _caption(name: str, picture: Tensor, target: Tensor) -> str:
    return name if picture is target else f"{name}\n{scores(picture, target).psnr:.1f} dB"


def main() -> None:
    options = parse_options(__doc__)
    need(options, [HEADS, HEARTS, real_brain.FILE], ["nibabel", "scipy", "h5py"])
    settings, accelerations = [Setting(4)], [4]
    if not options.quick:
        settings, accelerations = [*MAIN, LOW_NOISE, COILS, *FURTHER], list(real_brain.ACCELERATIONS)
    saved = Rows("mri", {"every": EVERY, "sparse": SPARSE, "ratio": RATIO, "centre": real_brain.CENTRE}, options)
    rows = [row for setting in settings for row in rows_of(setting, saved, options.quick)]
    for acceleration in accelerations:
        rows += real_brain.rows_of(acceleration, saved, {SHIPPED: weights(SHIPPED)}, options.quick)
    if not options.quick:
        four = {row["method"]: row for row in rows if row["setting"] == str(Setting(4))}
        compute = functools.partial(seconds_of_pictures, four)
        rows += saved.rows("seconds of a picture", compute, [HEADS, weights(SHIPPED)])
        for coils in (1, 8):
            setting = f"whole head, {coils} coil{'s'[: coils > 1]}"
            row = saved.row(setting, functools.partial(whole_head, coils), [HEADS, weights(SHIPPED)])
            rows.append({"setting": setting, "method": SHIPPED, **row})
    print("\n" + table(rows, ["setting", "method", "psnr", "spread", "ssim", "nmse", "weight", "step", "seconds"]))
    if options.quick:
        saved.write({}, rows, [1609])
    else:
        saved.write(headline(rows), rows, [1609], draw(rows))


if __name__ == "__main__":
    main()
