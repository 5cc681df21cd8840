"""Writes README's section of measured figures from the results: ``python -m benchmarks.readme``.

The text is benchmarks/readme.md, in which ``{psnr_25:.2f}`` stands for the figure of that name. Every figure is read
from a results file. What the text claims in words is in ``claims``, and has to be true of the results as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from . import provenance, rows

README = provenance.ROOT / "README.md"
TEMPLATE = provenance.ROOT / "benchmarks" / "readme.md"
BEGIN, END = "<!-- from benchmarks/readme.md, by python -m benchmarks.readme -->\n", "<!-- end -->\n"
DENOISING = {"set": "bsd68", "noise": "as it is"}
DEMO = {"camera": "Denoising", "head": "Magnetic resonance imaging", "astronaut": "Random projections"}
REAL = "real brain, R = 4"
CLASSICAL = ("gradient descent", "FISTA, wavelets", "MAP, learned prior")
OPTIMIZERS = ("SGD", "Nesterov", "RMSprop", "Adam", "AdamW")
QUOTED = (
    *("demo", "denoising", "super_resolution", "random_projections", "learned_optimizers", "sparse_coding", "few_shot"),
    *("mri", "radio", "airway", "graphical_models", "ldpc", "wrap", "recipe", "from_higher"),
)
Results = Mapping[str, Mapping[str, Any]]


def read_results() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(rows.RESULTS.glob("*.json"))}


def some(results: Results, name: str, **values: Any) -> list[dict[str, Any]]:
    """The rows of a benchmark that have these values."""
    return [row for row in results[name]["rows"] if all(row.get(key) == value for key, value in values.items())]


def one(results: Results, name: str, **values: Any) -> dict[str, Any]:
    (row,) = some(results, name, **values)
    return row


def figures(results: Results) -> dict[str, Any]:
    """All that README's section and the documentation quote, by name."""
    found = {key: value for name in ("wrap", "ldpc") for key, value in results[name]["headline"].items()}
    for part in (_demo, _imaging, _mri, _applied, _learning, _inference, _costs):
        found |= dict(part(results))
    return found


def _demo(results: Results) -> Iterator[tuple[str, Any]]:
    for short, problem in DEMO.items():
        trained, run_on, *classical = some(results, "demo", problem=problem)
        best = max(classical, key=lambda row: row["psnr"])
        yield from ((f"{short}_T", trained["steps"]), (f"{short}_2T", run_on["steps"]))
        yield from ((f"{short}_psnr", trained["psnr"]), (f"{short}_psnr_2T", run_on["psnr"]))
        yield from ((f"{short}_best", best["psnr"]), (f"{short}_best_steps", best["steps"]))


def _imaging(results: Results) -> Iterator[tuple[str, Any]]:
    for sigma in (15, 25, 50):
        of = {row["method"]: row["psnr"] for row in some(results, "denoising", sigma=sigma, **DENOISING)}
        yield from ((f"psnr_{sigma}", of["RIM, bfloat16"]), (f"bm3d_{sigma}", of["BM3D (published)"]))
    ratios = {row["timed"]: row["ratio"] for row in results["denoising"]["rows"] if "timed" in row}
    yield from (("bm3d_time", ratios["BM3D"] / ratios["RIM, bfloat16"]), ("bm3d_time_single", ratios["BM3D"]))
    for factor in (2, 3, 4):
        of = {row["method"]: row["psnr"] for row in some(results, "super_resolution", set="set5", factor=factor)}
        yield from ((f"set5_x{factor}", of["RIM"]), (f"bicubic_x{factor}", of["bicubic"]))
        yield f"tnrd_x{factor}", of["TNRD (published)"]
    tasks = _projections(results)
    yield "fista_higher", sum(of["FISTA, wavelets"]["best"] > of["RIM"]["best"] for of in tasks)
    yield "projection_tasks", len(tasks)


def _projections(results: Results) -> list[dict[str, dict[str, Any]]]:
    """For every ensemble and ratio, the rows by method."""
    tasks: dict[Any, dict[str, dict[str, Any]]] = {}
    for row in results["random_projections"]["rows"]:
        if "ensemble" in row:
            tasks.setdefault((row["ensemble"], row["ratio"]), {})[row["method"]] = row
    return list(tasks.values())


def _mri(results: Results) -> Iterator[tuple[str, Any]]:
    headline = results["mri"]["headline"]
    yield from headline.items()
    yield "varnet_lead", -headline["varnet_gap"]
    yield (
        "real_best",
        max(row["psnr"] for row in some(results, "mri", setting=REAL) if not row["method"].startswith("RIM")),
    )


def _applied(results: Results) -> Iterator[tuple[str, Any]]:
    for name in ("radio", "airway"):
        for key, value in results[name]["headline"].items():
            yield f"{name}_{key}", value
    yield "radio_wavelet_residual", one(results, "radio", key="means", method="wavelet MAP")["residual"]


def _learning(results: Results) -> Iterator[tuple[str, Any]]:
    for problem in ("quadratics", "digits"):
        yield f"{problem}_ratio", _to_best(results, problem)
    yield "digits_ahead_from", one(results, "learned_optimizers", problem="digits", optimizer="learned")["ahead from"]
    codes = {row["method"]: row for row in some(results, "sparse_coding", setup="n = 1000")}
    for short, method in {"alista": "ALISTA", "na_alista": "NA-ALISTA", "fista": "FISTA"}.items():
        yield from ((short, codes[method]["nmse"]), (f"{short}_published", codes[method]["published"]))
    for ways in (5, 20):
        for method in ("maml", "prototypes"):
            row = one(results, "few_shot", method=method, normalization="transductive", ways=ways, shots=1)
            yield from ((f"{method}_{ways}", row["accuracy"]), (f"{method}_{ways}_published", row["published MAML"]))


def _to_best(results: Results, problem: str) -> float:
    """The learned optimizer's last loss over the least of the tuned classical ones."""
    last = {row["optimizer"]: row["last"] for row in some(results, "learned_optimizers", problem=problem)}
    return last["learned"] / min(last[name] for name in OPTIMIZERS)


def _inference(results: Results) -> Iterator[tuple[str, Any]]:
    mean = one(results, "graphical_models", part="families", family="mean of families")
    names = {"starts": "learned BP, 16 starts", "damped_starts": "BP, damped, 16 starts", "damped": "BP, damped"}
    yield from ((f"uai_{short}", mean[name]) for short, name in {**names, "trw": "TRW"}.items())
    headline = results["graphical_models"]["headline"]
    yield from ((name, headline[name]) for name in headline if name.startswith(("rbm_map", "grids")))
    yield "rbm_total", one(results, "graphical_models", part="map", set="normal weights", method="PGMax")["of"]
    errors = {(r["snr"], r["decoder"]): r["bit_error"] for r in some(results, "ldpc", channel="strong bursts")}
    shares = [errors[snr, "neural-enhanced BP"] / errors[snr, "sum-product"] for snr, _ in errors if snr >= 6]
    yield "strong_bursts_share", 100 * max(shares)


def _costs(results: Results) -> Iterator[tuple[str, Any]]:
    for rival in ("metaopt", "higher", "torchopt"):
        yield f"{rival}_time", one(results, "recipe", table="inner_steps", rival=rival)["ratio"]
    for run in ("compiled step", "step"):
        row = one(results, "recipe", table="rim_step", mode="forward", run=run)
        yield f"rim_{run.replace(' ', '_')}", row["ratio"]
    row = one(results, "recipe", table="gradient_memory", strategy="checkpointed", steps=256)
    yield from (("checkpointed_memory", 100 * row["memory"]), ("checkpointed_time", row["time"]))
    yield "vmap_speedup", one(results, "recipe", table="many_tasks", run="loop")["ratio"]
    rivals = {row["rival"]: row for row in results["from_higher"]["rows"]}
    ours = rivals["metaopt, checkpointed"]
    yield "memory_of_higher", 100 * ours["of higher"]
    yield "time_of_higher", ours["ms a step"] / rivals["higher"]["ms a step"]


def claims(results: Results) -> dict[str, bool]:
    """What the section says in words, and whether the results say so."""
    leads = [
        of["RIM"]["psnr_at"][k] > max(of[name]["psnr_at"][k] for name in CLASSICAL)
        for of in _projections(results)
        for k in range(5, len(of["RIM"]["psnr_at"]))
    ]
    reversible = {row["steps"]: row["peak"] for row in some(results, "recipe", strategy="reversible")}
    headline = results["graphical_models"]["headline"]
    lost = ("two layers", "ReLU", "conv net", "MNIST")
    mri = dict(_mri(results))
    simulated = "4x 2-D Gaussian, noise 0.02, 1 coil"
    plain = [row for row in some(results, "mri", setting=simulated) if "RIM" not in row["method"]]
    return {
        "MRI: eleven rows without learning": sum("network" not in row["method"] for row in plain) == 11,
        "on the measured brain the network loses to total variation and BART": mri["real8_r4"] < mri["real8_r4_bart"]
        and mri["real_best"] == one(results, "mri", setting=REAL, method="TV")["psnr"],
        "a variational network leads the RIM after brief trainings": mri["varnet_lead"] > 0,
        "radio: the network leads every row without learning": all(
            results["radio"]["headline"]["rim_db"] > row["snr"]
            for row in results["radio"]["rows"]
            if row["key"] == "means" and row["method"] not in ("RIM", "learned CLEAN")
        ),
        "random projections: ahead at every step from the fifth on": all(leads),
        "carried over to 40 units or 500 steps, the optimizer still leads": all(
            _to_best(results, problem) < 1 for problem in ("40 units", "500 steps")
        ),
        "carried over to other networks or MNIST, it loses": all(_to_best(results, problem) > 1 for problem in lost),
        "the learned weights converge on all four grids": headline["grids_converged"] == headline["grids_total"] == 4,
        "six solvers": results["wrap"]["headline"]["solvers"] == 6,
        "the reversible gradient takes the same memory at 64 steps as at 8": reversible[64] < 1.02 * reversible[8],
    }


def section(results: Results) -> str:
    return TEMPLATE.read_text().format_map(figures(results))


def faults() -> list[str]:
    """Sentences on what README says otherwise than the results."""
    results = read_results()
    if missing := set(QUOTED) - set(results):
        return [f"README quotes results that are not there: {', '.join(sorted(missing))}."]
    false = [claim for claim, holds in claims(results).items() if not holds]
    wrong = [f"README claims what the results do not say: {claim}." for claim in false]
    _, found, rest = README.read_text().partition(BEGIN)
    if not found or rest.partition(END)[0] != section(results):
        wrong.append("README's figures are not those of the results; run python -m benchmarks.readme.")
    return wrong


def main() -> None:
    before, found, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise SystemExit(f"README.md has no section between the lines {BEGIN.strip()} and {END.strip()}.")
    results = read_results()
    README.write_text(before + BEGIN + section(results) + END + after)
    for claim, holds in claims(results).items():
        if not holds:
            print(f"benchmarks/readme.md claims what the results do not say: {claim}.")
    print("Wrote the measured figures to README.md.")


if __name__ == "__main__":
    main()
