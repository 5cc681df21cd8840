"""Sparse codes in 16 steps: ISTA and FISTA, and ISTA with more or fewer of its places learned.

The set-up of Behrens, Sauder and Jung (arXiv:2102.00714), whose figures stand beside ours: y = A x + noise with A of
(250, n) independent normal entries and columns of length 1, x of n entries that are standard normal with probability
50 / n and else 0, at a signal-to-noise ratio of 40 dB; and, without noise, (256, 512) with a tenth active (Liu et al.,
ALISTA, ICLR 2019). NMSE is 10 log10 sum |z - x|^2 / sum |x|^2 over 10,000 samples that no training saw. A is another
draw than theirs.

ISTA and FISTA stand there with the penalty that gives their published figures, and with the best one for 16 steps,
which is chosen on other samples. ALISTA and NA-ALISTA were trained by `benchmarks.sparse_training`; the thresholds that
both start from fall geometrically, by hand, and what they find untrained has a row, too. LISTA and LISTA-CP,
which have up to four million numbers to learn, are trained here for a few minutes, from ISTA's own numbers for a larger
penalty. Support selection lets a share of the largest entries pass without a threshold, more of them with every step.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms.proximal import FistaState
from metaopt.models import lista, lista_cp
from metaopt.operators import gaussian_dictionary
from metaopt.tasks import SparseCodes
from metaopt.training import LearningRate, Settings, train

from .report import parse_options, table
from .rows import Rows
from .sparse_training import NAMES, SETUPS, STEPS, recipe, trained
from .training import WEIGHTS

TESTED, CHOSEN_ON = 10_000, 1_000
PENALTIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PENALTY, OTHER = 0.4, {("n = 1000", "FISTA"): 0.3}  # with which ISTA and FISTA are at their published figures
STARTS = {"n = 500": 0.8, "n = 1000": 2.0, "no noise": 0.8}  # penalties that LISTA and LISTA-CP start from
FULL: dict[str, Any] = {"setups": tuple(SETUPS), "scale": 1.0, "batch": 256}
QUICK: dict[str, Any] = {"setups": ("n = 500",), "scale": 0.03, "batch": 128}
TRAINED_HERE: dict[str, tuple[Callable[..., Any], int, float, bool]] = {  # updates, peak rate, support selection
    "LISTA": (lista, 400, 1e-3, False),
    "LISTA-CP, support": (lista_cp, 600, 1e-3, True),
}
SHIPPED = {"ALISTA": "alista", "NA-ALISTA": "na_alista"}
PUBLISHED = {
    "n = 500": {"ISTA": -5.77, "FISTA": -7.63, "ALISTA": -39.05, "NA-ALISTA": -41.68},
    "n = 1000": {"ISTA": -3.91, "FISTA": -6.70, "ALISTA": -33.51, "NA-ALISTA": -39.13},
    "no noise": {"LISTA": -35, "LISTA-CP, support": -63, "ALISTA": -78.7},  # read off a plot
}


def nmse(z: Tensor, x: Tensor) -> float:
    return float(10 * ((z - x).square().sum() / x.square().sum()).log10())


@torch.no_grad()
def classical(name: str, dictionary: Tensor, y: Tensor, penalty: float) -> list[Tensor]:
    if name == "ISTA":
        return mo.unroll(mo.Ista(dictionary, penalty), STEPS)(y).outputs
    zero = y.new_zeros(len(y), dictionary.shape[1])
    rate = 1 / torch.linalg.matrix_norm(dictionary, 2).square()
    net = mo.unroll(mo.Fista(mo.priors.Sparsity(penalty), rate), STEPS)
    return net(mo.InverseProblem(dictionary, y), state=FistaState(zero, zero)).outputs


def trained_here(name: str, task: SparseCodes, setup: str, scale: float) -> tuple[Any, dict[str, float]]:
    """The network, and the updates and minutes that its training took."""
    builder, updates, peak, selects = TRAINED_HERE[name]
    with mo.foundation.drawing.drawing_from(0):
        net = builder(task.dictionary, STARTS[setup], STEPS, **({"support": SETUPS[setup].support} if selects else {}))
    rate = LearningRate(peak, peak / 100, warmup=20)
    settings = Settings(max(20, round(scale * updates)), (STEPS, STEPS), rate, clip=1.0, ema=0.98, weights="last")
    with tempfile.TemporaryDirectory() as folder:
        result = train(net, task, Path(folder), settings)
    return net, {"updates": result["updates"], "minutes": round(result["minutes"], 1)}


def rows_of(setup: str, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    of = SETUPS[setup]
    dictionary = gaussian_dictionary(of.rows, of.columns, seed=0)
    task = SparseCodes(dictionary, of.share, of.snr, size["batch"])
    y, x = dataclasses.replace(task, batch=TESTED).sample(2**31 - 1)

    @torch.no_grad()
    def reached_by(net: Any) -> dict[str, Any]:
        return {"nmse_at": [nmse(z, x) for z in net(y).outputs]}

    def learned(name: str) -> dict[str, Any]:
        if name in SHIPPED:
            net, card = trained(NAMES[setup, SHIPPED[name]])
            training = {"updates": card["updates"], "minutes": card["minutes"]}
        else:
            net, training = trained_here(name, task, setup, size["scale"])
        count = sum(p.numel() for p in net.parameters() if p.requires_grad)
        return {**reached_by(net), "learned": count, **training}

    def fixed(name: str, penalty: float) -> dict[str, Any]:
        return {"nmse_at": [nmse(z, x) for z in classical(name, dictionary, y, penalty)], "penalty": penalty}

    def tuned(name: str) -> dict[str, Any]:
        few_y, few_x = dataclasses.replace(task, batch=CHOSEN_ON).sample(2**31 - 2)
        reached = {p: nmse(classical(name, dictionary, few_y, p)[-1], few_x) for p in PENALTIES}
        return fixed(name, min(reached, key=lambda p: reached[p]))

    methods: dict[str, Callable[[], dict[str, Any]]] = {}
    for name in ("ISTA", "FISTA"):
        methods[name] = lambda n=name: fixed(n, OTHER.get((setup, n), PENALTY))
        methods[f"{name}, best penalty"] = lambda n=name: tuned(n)
    methods |= {name: lambda n=name: learned(n) for name in (*TRAINED_HERE, *SHIPPED)}
    methods["ALISTA, untrained"] = lambda: reached_by(mo.weights.build(recipe(NAMES[setup, "alista"])["model"]))
    found = []
    for name, compute in methods.items():
        reads = [WEIGHTS / f"{NAMES[setup, SHIPPED[name]]}.safetensors"] if name in SHIPPED else []
        row = {"setup": setup, "method": name, **saved.row(f"{setup} {name}", compute, reads)}
        row |= {"nmse": row["nmse_at"][-1], "published": PUBLISHED[setup].get(name, "")}
        print(f"{setup} {name}: {row['nmse']:.2f} dB", flush=True)
        found.append(row)
    return found


def main() -> None:
    options = parse_options(__doc__)
    size = QUICK if options.quick else FULL
    settings = {
        **size,
        "steps": STEPS,
        "penalty": PENALTY,
        "penalties": PENALTIES,
        "starts": STARTS,
        "sparse": {setup: of._asdict() for setup, of in SETUPS.items()},
        "trained_here": {n: v[1:] for n, v in TRAINED_HERE.items()},
    }
    saved = Rows("sparse_coding", settings, options)
    rows = [row for setup in size["setups"] for row in rows_of(setup, size, saved)]
    print(
        "\n" + table(rows, ["setup", "method", "nmse", "published", "penalty", "learned", "updates", "minutes"]) + "\n"
    )
    at = {(row["setup"], row["method"]): row["nmse"] for row in rows}
    headline = {
        "ista_500": at["n = 500", "ISTA"],
        "fista_500": at["n = 500", "FISTA"],
        "alista_500": at["n = 500", "ALISTA"],
    }
    if not options.quick:
        headline |= {
            "alista_1000": at["n = 1000", "ALISTA"],
            "na_alista_gain_1000": at["n = 1000", "ALISTA"] - at["n = 1000", "NA-ALISTA"],
            "noiseless_16": min(value for (setup, _), value in at.items() if setup == "no noise"),
        }
    headline = {name: round(value, 2) for name, value in headline.items()}
    saved.write(headline, rows, [0])


if __name__ == "__main__":
    main()
