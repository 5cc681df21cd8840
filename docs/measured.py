"""Writes what the page of results shows: tables from the benchmarks' results, learning curves from weights' cards."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import airway_tables
import radio_tables

from benchmarks.readme import figures, read_results
from metaopt.weights import read_card, shipped

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
Row = Mapping[str, Any]
QUOTED = {"memory_of_higher": ".0f", "time_of_higher": ".1f"}  # in the text of pages, and how they are written


def substitutions() -> str:
    """reStructuredText by which ``|name|`` stands for a measured figure."""
    found = figures(read_results())
    return "\n".join(f".. |{name}| replace:: {found[name]:{written}}" for name, written in QUOTED.items())


def write(folder: Path) -> None:
    """Tables ``NAME.csv`` and the figure ``learning_curves.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    benchmarks = {*TABLES, *(benchmark for benchmark, _, _ in LISTS.values())}
    rows = {name: _rows_of(name) for name in benchmarks}
    rows["random_projections"] += [cell for row in rows["random_projections"] if "task" in row for cell in _cells(row)]
    rows["denoising"] += [cell for row in rows["denoising"] if "timed" in row for cell in _times(row)]
    families = [row for row in rows["graphical_models"] if row["part"] == "families"]
    rows["airway"] += [cell for row in rows["airway"] if "of" in row for cell in airway_tables.cells(row)]
    rows["radio"] += radio_tables.cells(rows["radio"])
    rows["graphical_models"] += [cell for row in [families[-1], *families[:-1]] for cell in _errors(row)]
    for benchmark, tables in TABLES.items():
        for name, (chosen, down, across, shown) in tables.items():
            found = [row for row in rows[benchmark] if chosen(row)]
            with (folder / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(pivot(found, down, across, shown) if found else NOT_MEASURED)
    for name, (benchmark, chosen, columns) in LISTS.items():
        found = [row for row in rows[benchmark] if chosen(row)]
        with (folder / f"{name}.csv").open("w", newline="") as file:
            lines = [columns, *([_text(row.get(column)) for column in columns] for row in found)]
            csv.writer(file).writerows(lines if found else NOT_MEASURED)
    (folder / "airway_pictures.inc").write_text(airway_tables.pictures(RESULTS / "airway.json"))
    (folder / "radio_picture.inc").write_text(radio_tables.picture(RESULTS / "radio.json"))
    cards = {name: read_card(name) for name in shipped()}
    draw_curves({name: card for name, card in cards.items() if "curve" in card}, folder / "learning_curves.png")


def _rows_of(benchmark: str) -> list[Any]:
    """Its rows; none of a benchmark that has not run."""
    path = RESULTS / f"{benchmark}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def pivot(
    rows: Iterable[Row], down: Callable[[Row], str], across: Callable[[Row], str], shown: Callable[[Row], str]
) -> list[list[str]]:
    """The heading, then one line for each value of ``down``; a cell that no row fills stays empty."""
    cells = {(down(row), across(row)): shown(row) for row in rows}
    lines, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    return [["", *columns], *([line, *(cells.get((line, column), "") for column in columns)] for line in lines)]


def draw_curves(cards: Mapping[str, Mapping[str, Any]], path: Path, columns: int = 4) -> None:
    """The validation loss over the updates of the last training of each network."""
    import matplotlib.pyplot as plt

    lines = -(-len(cards) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(2.6 * columns, 2.4 * lines), layout="constrained", squeeze=False
    )
    for axis in list(axes.flat)[len(cards) :]:
        axis.set_axis_off()
    for axis, (name, card) in zip(axes.flat, cards.items(), strict=False):
        loss = card["recipe"].get("loss", "mse")
        updates, values = zip(*card["curve"], strict=True)
        axis.plot(updates, [-v for v in values] if loss == "negative_psnr" else values, marker=".")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("update", fontsize=8)
        axis.set_ylabel(VALIDATED.get(loss, loss.replace("_", " ")), fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
    plt.close(figure)


VALIDATED = {
    "mse": "mean square error",
    "negative_psnr": "PSNR (dB)",
    "energy": "loss after 100 steps",
    "log_energy": "log loss after 100 steps",
    "marginal_error": "error of marginals",
    "branch_overlap": "cross entropy + 1 - Dice",
}


def _errors(row: Row) -> list[Row]:
    """A row for every method that has an error in this family."""
    family = row["family"].removesuffix(" of families")
    errors = {name: value for name, value in row.items() if isinstance(value, float)}
    return [{"part": "error", "family": family, "method": m, "error": error} for m, error in errors.items()]


def _cells(row: Row) -> list[dict[str, str]]:
    """A row of the three tasks holds the figures of several methods; here each is one."""
    names = {
        "RIM": "projections only",
        "specialist": "trained for the task",
        "simple": "simple",
        "RIM, few": "projections only, few",
        "RIM at 4T, few": "the same at 4T, few",
    }
    of = f"{row['task']} {row['setting']}"
    texts = {key: f"{row[key]:.2f}" for key in names}
    texts["simple"] += f" ({row['which']})"
    return [{"other": of, "by": name, "text": texts[key]} for key, name in names.items()]


def _times(row: Row) -> list[dict[str, str]]:
    texts = {
        "seconds": f"{row['seconds']:.2f}",
        "times the RIM's": f"{row['ratio']:.2f}",
        "quartiles": f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}",
        "GiB": f"{row['GiB']:.2f}",
    }
    return [{"timed": row["timed"], "quantity": name, "text": text} for name, text in texts.items()]


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:.4g}" if abs(value) >= 1e-4 or not value else f"{value:.0e}"


def _method(row: Row) -> str:
    return row["method"]


def _psnr(row: Row) -> str:
    return f"{row['psnr']:.2f}"


def _is(name: str) -> Callable[[Row], bool]:
    return lambda row: row.get("set") == name


def _noted(row: Row) -> str:
    """PSNR and its spread over people, and SSIM."""
    return f"{row['psnr']:.2f} +- {row['spread']:.2f}, {row['ssim']:.3f}"


def _sigma(row: Row) -> str:
    return f"sigma {row['sigma']}" + (", 8 bit" if row["noise"] == "8 bit" else "")


NOT_MEASURED = [["not measured"], ["the benchmark has not run"]]
MRI = {
    "2x 2-D Gaussian, noise 0.02, 1 coil": "2x",
    "3x 2-D Gaussian, noise 0.02, 1 coil": "3x",
    "4x 2-D Gaussian, noise 0.02, 1 coil": "4x",
    "6x 2-D Gaussian, noise 0.02, 1 coil": "6x",
    "4x 2-D Gaussian, noise 0.005, 1 coil": "4x, noise 0.005",
    "4x 2-D Gaussian, noise 0.02, 8 coils": "4x, 8 coils",
}
LISTS: dict[str, tuple[str, Callable[[Row], bool], list[str]]] = {
    "learned_optimizers": (
        "learned_optimizers",
        lambda row: "problem" in row,
        ["problem", "optimizer", "rate", "at 20", "at 50", "last", "+-", "ahead from"],
    ),
    "step_costs": (
        "learned_optimizers",
        lambda row: "ms" in row,
        ["optimizer", "ms", "ratio", "ratio_low", "ratio_high"],
    ),
    "sparse_coding": (
        "sparse_coding",
        lambda row: True,
        ["setup", "method", "nmse", "published", "penalty", "learned", "updates", "minutes"],
    ),
    "omniglot": (
        "few_shot",
        lambda row: "ways" in row,
        ["method", "normalization", "ways", "shots", "accuracy", "+-", "steps", "published MAML"],
    ),
    "few_shot_digits": (
        "few_shot",
        lambda row: "shots" in row and "ways" not in row,
        ["method", "shots", "accuracy", "+-"],
    ),
    "sinusoids": (
        "few_shot",
        lambda row: "after 1 step" in row,
        ["method", "after 1 step", "+-", "after 3 steps"],
    ),
    "few_shot_speed": (
        "few_shot",
        lambda row: "run" in row,
        ["network", "run", "ms", "ratio", "ratio_low", "ratio_high"],
    ),
    "citation": (
        "citation",
        lambda row: row["table"] == "accuracy",
        ["data", "method", "accuracy", "sd", "published", "epoch", "at the other", "spread"],
    ),
    "citation_time": (
        "citation",
        lambda row: row["table"] == "time",
        ["method", "code", "seconds", "ratio", "ratio_low", "ratio_high"],
    ),
    "from_higher": (
        "from_higher",
        lambda row: True,
        ["rival", "MiB", "of higher", "ms a step", "ratio", "ratio_low", "ratio_high"],
    ),
    "uai_instances": (
        "graphical_models",
        lambda row: row["part"] == "uai" and row["method"] in ("BP, damped", "learned BP, 16 starts"),
        ["instance", "method", "error", "log10_z_error", "residual", "converged", "seconds"],
    ),
    "rbm_map": ("graphical_models", lambda row: row["part"] == "map", ["set", "method", "found", "of"]),
    "rbm_speed": (
        "graphical_models",
        lambda row: row["part"] == "speed",
        ["samples", "seconds", "pgmax_seconds", "ratio", "pgmax_compile_seconds"],
    ),
    "mri_seconds": ("mri", lambda row: "seconds" in row, ["setting", "method", "seconds"]),
    "airway_whole": (
        "airway",
        lambda row: "whole" in row,
        ["whole", "method", "scan_seconds", "scan_gib"],
    ),
    "airway_refinement": (
        "airway_refinement",
        lambda row: True,
        ["refined by", "loss", "Dice", "loss, trained", "Dice, trained"],
    ),
    "radio_closures": ("radio", lambda row: "closure_phase" in row, radio_tables.CLOSURES),
    "ldpc": (
        "ldpc",
        lambda row: True,
        ["channel", "snr", "decoder", "bit_error", "frame_error", "words"],
    ),
    "gradient_estimators": (
        "gradient_estimators",
        lambda row: True,
        ["problem", "estimator", "mean", "exact", "error", "se", "seconds", "MiB"],
    ),
}
TABLES: dict[str, dict[str, tuple[Callable[[Row], bool], ...]]] = {
    "graphical_models": {
        "ising": (
            lambda row: row["part"] == "structures",
            lambda row: f"{row['structure']}, {row['size']}",
            _method,
            lambda row: f"{row['error']:.4f}",
        ),
        "uai_families": (
            lambda row: row["part"] == "error",
            _method,
            lambda row: row["family"],
            lambda row: f"{row['error']:.4f}",
        ),
    },
    "airway": airway_tables.TABLES,
    "radio": radio_tables.TABLES,
    "citation": {
        "citation_depth": (
            lambda row: row["table"] == "depth",
            _method,
            lambda row: f"{row['depth']} steps",
            lambda row: f"{row['accuracy']:.1f}",
        ),
    },
    "mri": {
        "mri_main": (
            lambda row: "nmse" in row and row["setting"] in MRI,
            _method,
            lambda row: MRI[row["setting"]],
            _noted,
        ),
        "mri_further": (
            lambda row: "nmse" in row and row["setting"] not in MRI,
            lambda row: row["setting"],
            _method,
            _noted,
        ),
        "mri_measured": (
            lambda row: row["setting"].startswith("real brain"),
            _method,
            lambda row: row["setting"].removeprefix("real brain, "),
            _psnr,
        ),
    },
    "denoising": {
        "denoising": (_is("bsd68"), _method, _sigma, _psnr),
        "denoising_colour": (_is("cbsd68"), _method, _sigma, _psnr),
        "denoising_seconds": (
            lambda row: "quantity" in row,
            lambda row: row["timed"],
            lambda row: row["quantity"],
            lambda row: row["text"],
        ),
    },
    "super_resolution": {
        name: (_is(name), _method, lambda row: f"x{row['factor']}", _psnr) for name in ("set5", "cbsd68")
    },
    "random_projections": {
        "random_projections": (
            lambda row: "ensemble" in row,
            _method,
            lambda row: f"{row['ensemble']} {row['ratio']:.0%}",
            lambda row: f"{row['at_T']:.2f}",
        ),
        "three_tasks": (
            lambda row: "other" in row,
            lambda row: row["other"],
            lambda row: row["by"],
            lambda row: row["text"],
        ),
    },
}
