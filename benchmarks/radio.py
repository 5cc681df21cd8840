"""Deconvolves simulated visibilities of radio skies: classical algorithms, other people's programs, and networks.

What is simulated is said in benchmarks/simulated_radio.py, and how other people's programs are run in
benchmarks/solvers/radio.py. Every method gets the same visibilities and the true noise. Weights, steps and settings are
the best, by SNR, on two validation skies of the same setting: weights from a grid whose best point is inside, and steps
among those of one run. Pictures are compared at their best scale. Seconds are of the CPU, on one thread, from
visibilities in memory to a picture: gridding is in them, and reading files is not.

Of the data of Sgr A*, whose station phases are corrupted, only the closures of simple models are compared
(benchmarks/sgr_a.py).
"""

from __future__ import annotations

import contextlib
import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metaopt.applications.tuning import best_weight
from metaopt.models import load
from metaopt.weights import shipped

from . import sgr_a
from .classical_radio import OURS, STEPS, TV, WAVELET, pictures
from .figures import draw_panels
from .report import need, parse_options, table
from .rows import Row, Rows, weights_of
from .simulated_radio import (
    ANTENNAS,
    ATCA_SET,
    CYGNI,
    FINEST,
    GALAXIES,
    MODELS,
    QUICK,
    SETTINGS,
    TEST,
    VALIDATION,
    Case,
    Setting,
    case,
    processor_seconds,
    scores,
    snr,
)
from .solvers import radio as rivals
from .solvers.radio import Cleaned, Settings

NETWORKS = {"RIM": "radio", "learned CLEAN": "radio_clean"}
MODEL, RESTORED, RADLER = "WSClean, model", "WSClean, restored", "radler"
ROBUST = (-2.0, -1.0, -0.5, 0.0)  # from uniform weights towards natural ones
FURTHER = ({"mask": 2.0}, {"threshold": 0.1}, {"major_gain": 0.6})  # settings tried after it
RATIO = 3.0  # of neighbouring weights
DRAWN = (SETTINGS[1], "3C353")
STRETCH = 1000.0  # in the picture, what is fainter than the peak by this is nearly black
COLUMNS = 6
DATA = [ATCA_SET, GALAXIES, CYGNI, MODELS, ANTENNAS]
MEASURES = ("snr", "log_snr", "ssim", "residual", "dynamic_range", "seconds")


class Plan(NamedTuple):
    """A setting, the skies that it is measured on, and those on which weights and settings are chosen."""

    setting: Setting
    test: Sequence[str] = TEST
    validation: Sequence[str] = VALIDATION
    robust: Sequence[float] = ROBUST


def classical(name: str, plan: Plan) -> list[Row]:
    """Rows of the weight and the step that are best on validation skies."""
    method = OURS[name]
    steps = method.steps_of(plan.setting)
    at = [k for k in range(1, steps + 1) if k <= 10 or k % 10 == 0]
    best: dict[float, tuple[float, int]] = {}

    def score(weight: float) -> float:
        curves = []
        for given in (case(plan.setting, sky) for sky in plan.validation):
            outputs = pictures(method, given, weight, steps, "all")
            curves.append([snr(outputs[k - 1], given.sky) for k in at])
        means = [statistics.mean(step) for step in zip(*curves, strict=True)]
        best[weight] = max((mean, k) for mean, k in zip(means, at, strict=True))
        # So that weights too small to matter are equal, and the search for a worse one ends.
        return round(best[weight][0], 2)

    weight = best_weight(score, method.start, RATIO)[0] if method.start else 0.0
    step = best[weight][1] if method.start else (score(weight), best[weight][1])[1]
    chosen = {"step": step, **({"weight": weight} if method.start else {})}

    def cleaned(given: Case) -> Cleaned:
        found, seconds = processor_seconds(lambda: pictures(method, given, weight, step))
        return Cleaned(found[-1], None, seconds)

    return rows_of(name, plan, cleaned, chosen)


def of_network(name: str, plan: Plan) -> list[Row]:
    net = load(weights_of(NETWORKS[name]))

    def cleaned(given: Case) -> Cleaned:
        found, seconds = processor_seconds(lambda: [net(given.problem.by_normal()).final])
        return Cleaned(found[0], None, seconds)

    return rows_of(name, plan, cleaned, {"step": net.steps})


def rows_of(name: str, plan: Plan, run: Callable[[Case], Cleaned], chosen: Mapping[str, Any]) -> list[Row]:
    """A row for each test sky; of the restored picture where it is that which is named."""
    rows = []
    for sky in plan.test:
        given = case(plan.setting, sky)
        found = run(given)
        picture = found.restored if name == RESTORED and found.restored is not None else found.model
        figures = scores(given, picture, found.model)._asdict()
        rows.append({"setting": str(plan.setting), "sky": sky, "method": name, **figures, "seconds": found.seconds})
        rows[-1] |= chosen
    mean = statistics.mean(row["snr"] for row in rows)
    print(
        f"{plan.setting}, {name}: {mean:.2f} dB, {sum(row['seconds'] for row in rows):.2f} s, {dict(chosen)}",
        flush=True,
    )
    return rows


def tuned(plan: Plan, runs: Mapping[str, Callable[[Settings], Cleaned]]) -> dict[str, Settings]:
    """The settings with which the model, and those with which the restored picture is best on validation skies."""
    found: dict[Settings, dict[str, float]] = {}

    def score(settings: Settings, kind: str) -> float:
        if settings not in found:
            values: dict[str, list[float]] = {MODEL: [], RESTORED: []}
            for sky, run in runs.items():
                cleaned, wanted = run(settings), case(plan.setting, sky).sky
                values[MODEL].append(_finite(snr(cleaned.model, wanted)))
                if cleaned.restored is not None:
                    values[RESTORED].append(_finite(snr(cleaned.restored, wanted)))
            found[settings] = {name: statistics.mean(each) for name, each in values.items() if each}
        return found[settings][kind]

    best = {}
    for robust in plan.robust:
        score(Settings(robust), MODEL)
    for kind in next(iter(found.values())):
        one = max(found, key=lambda settings, kind=kind: found[settings][kind])
        for changed in FURTHER:
            other = one._replace(**changed)
            one = max(one, other, key=lambda settings, kind=kind: score(settings, kind))
        best[kind] = one
    return best


def _finite(decibels: float) -> float:
    return decibels if math.isfinite(decibels) else 0.0  # where it diverged


def wsclean(plan: Plan) -> list[Row]:
    """Rows of the model and of the restored picture, each with its own best settings."""

    def once(given: Case, settings: Settings) -> Cleaned:
        with rivals.measurement_set(given) as path:
            return rivals.wsclean(given, path, settings)

    with contextlib.ExitStack() as stack:
        runs = {}
        for sky in plan.validation:
            given = case(plan.setting, sky)
            path = stack.enter_context(rivals.measurement_set(given))
            runs[sky] = functools.partial(rivals.wsclean, given, path)
        best = tuned(plan, runs)
    rows = []
    for kind, settings in best.items():
        rows += rows_of(kind, plan, functools.partial(once, settings=settings), settings._asdict())
    return rows


def radler(plan: Plan) -> list[Row]:
    runs = {sky: functools.partial(rivals.radler, case(plan.setting, sky)) for sky in plan.validation}
    settings = tuned(plan, runs)[MODEL]
    return rows_of(RADLER, plan, functools.partial(rivals.radler, settings=settings), settings._asdict())


def methods() -> dict[str, tuple[Callable[[Plan], list[Row]], list[Path]]]:
    """What computes the rows of a setting, and which weights it reads."""
    found: dict[str, tuple[Callable[[Plan], list[Row]], list[Path]]] = {}
    for name in OURS:
        found[name] = (functools.partial(classical, name), [])
    for name, compute, missing in (
        ("WSClean", wsclean, rivals.wsclean_is_missing()),
        (RADLER, radler, rivals.radler_is_missing()),
    ):
        if missing:
            print(f"{name}: skipped, since {missing}", flush=True)
        else:
            found[name] = (compute, [])
    for name, weights in NETWORKS.items():
        if weights in shipped():
            found[name] = (functools.partial(of_network, name), [weights_of(weights)])
        else:
            print(f"{name}: skipped, since this package has no weights {weights}", flush=True)
    return found


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over skies and settings, and of the SNR the standard deviation."""
    found = []
    for name in dict.fromkeys(row["method"] for row in rows):
        of = [row for row in rows if row["method"] == name]
        means = {measure: statistics.mean(row[measure] for row in of) for measure in MEASURES}
        spread = statistics.stdev(row["snr"] for row in of) if len(of) > 1 else 0.0
        found.append({"of": "all", "method": name, "cases": len(of), **means, "spread": spread})
    return found


def headline(summaries: Sequence[Row]) -> dict[str, float]:
    """The figures that README and the pages take; without a network, those of the others alone."""
    of = {row["method"]: row for row in summaries}
    found = {}
    outside = [of[name] for name in (MODEL, RESTORED) if name in of]
    best = max(outside, key=lambda row: row["snr"]) if outside else None
    if "RIM" in of:
        found["rim_db"] = of["RIM"]["snr"]
    if best:
        found["wsclean_db"] = best["snr"]
    found["map_db"] = max(of[name]["snr"] for name in (TV, WAVELET))
    if "RIM" in of:
        found |= {"time_ratio_wsclean": of["RIM"]["seconds"] / best["seconds"]} if best else {}
        found["residual_over_thermal"] = of["RIM"]["residual"]
    return {name: round(value, 3) for name, value in found.items()}


def draw(rows: Sequence[Row]) -> list[Path]:
    """A sky by every method with the errors below, all on one logarithmic scale."""
    setting, sky = DRAWN
    given = case(setting, sky)
    shown = {"sky": given.sky, "dirty": given.problem.start()}
    for row in rows:
        if (row.get("setting"), row.get("sky")) == (str(setting), sky):
            shown[row["method"]] = _again(row, given)
    peak = given.sky.max()
    panels, errors = [], []
    for name, picture in shown.items():
        wide = picture.double()
        scaled = wide * ((wide * given.sky).sum() / wide.square().sum())
        caption = name if name == "sky" else f"{name}\n{snr(wide, given.sky):.1f} dB"
        panels.append((caption.replace("non-negative", "non-negative\n"), _stretched(scaled / peak)))
        errors.append(("", _stretched((scaled - given.sky).abs() / peak)))
    lines = []
    for start in range(0, len(panels), COLUMNS):
        lines.append((f"{sky}, {setting}", panels[start : start + COLUMNS]))
        lines.append(("error, same scale", errors[start : start + COLUMNS]))
    return [draw_panels("radio", lines)]


def _stretched(picture: Tensor) -> Tensor:
    return (STRETCH * picture.clamp(min=0)).log1p().float() / math.log1p(STRETCH)


def _again(row: Row, given: Case) -> Tensor:
    """The picture of a row."""
    name = row["method"]
    if name in OURS:
        return pictures(OURS[name], given, row.get("weight", 0.0), row["step"])[-1]
    if name in NETWORKS:
        return load(weights_of(NETWORKS[name]))(given.problem.by_normal()).final
    settings = Settings(*(row[field] for field in Settings._fields))
    if name == RADLER:
        return rivals.radler(given, settings).model
    with rivals.measurement_set(given) as path:
        found = rivals.wsclean(given, path, settings)
    return found.model if name == MODEL or found.restored is None else found.restored


def main() -> None:
    options = parse_options(__doc__)
    data = [ANTENNAS, CYGNI, MODELS, GALAXIES, *([] if options.quick else [ATCA_SET, sgr_a.FILE])]
    need(options, data, ["finufft", "astropy", "casacore", "skimage"])
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)  # as of the other programs
    plans = [Plan(QUICK, TEST[:2], VALIDATION[:1], (0.0,))] if options.quick else [Plan(s) for s in SETTINGS]
    given = {"settings": [list(s) for s in SETTINGS], "test": TEST, "validation": VALIDATION, "finest": FINEST}
    given |= {"robust": ROBUST, "ratio": RATIO, "steps": STEPS, "wsclean": rivals.wsclean_version()}
    saved = Rows("radio", given, options)
    rows, known = [], methods()
    for plan in plans:
        for name, (compute, weights) in known.items():
            rows += saved.rows(f"{plan.setting}: {name}", functools.partial(compute, plan), [*DATA, *weights])
    summaries = saved.rows("means", functools.partial(summary, rows), given=rows)
    shown = ["method", "cases", "snr", "spread", *MEASURES[1:]]
    print("\n" + table(summaries, shown))
    if options.quick:
        saved.write({}, [*rows, *summaries], [353])
        return
    closures = saved.rows("Sgr A*", sgr_a.rows, [sgr_a.FILE])
    print("\n" + table(closures, sgr_a.SHOWN))
    saved.write(headline(summaries), [*rows, *summaries, *closures], [353], draw(rows))


if __name__ == "__main__":
    main()
