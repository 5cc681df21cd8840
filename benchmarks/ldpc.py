"""Decoding MacKay's (96, 48) code: bit and frame errors of classical and learned belief propagation.

Words of the code, all equally likely, through white Gaussian noise and through a channel with bursts (each bit is hit
with probability 0.05 by a further normal error of standard deviation 1, or 2, of which the ratios know nothing). 20
steps each. The learned decoders (`benchmarks.graphical_training`) were trained on words of both channels, and are told
neither which one it is nor the noise level beyond what the ratios say. Errors have 95 % intervals (Wilson's). The
headline compares, at a bit error of 1e-3 (log-linear interpolation), the best learned decoder with sum-product:
`awgn_loss_db` is what it loses on white noise, `bursty_gain_db` what it gains on bursts.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

import metaopt as mo
from metaopt.data import data_path, read_alist
from metaopt.tasks import Decoding

from .figures import draw_errors
from .inference.methods import WEIGHTS, trained
from .report import need, parse_options, table
from .rows import Rows

STEPS, TARGET = 20, 1e-3
CHANNELS = {"white noise": 0.0, "bursts": 1.0, "strong bursts": 2.0}  # the standard deviation of a burst
FULL: dict[str, Any] = {
    "words": 2_000,
    "batch": 500,
    "white noise": [1.0, 2.0, 2.5, 3.0, 3.5, 4.0],
    "bursts": [2.0, 3.0, 4.0, 5.0, 6.0],
    "strong bursts": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0],
}
QUICK: dict[str, Any] = {
    "words": 500,
    "batch": 500,
    "white noise": [2.0, 3.0],
    "bursts": [3.0, 5.0],
    "strong bursts": [6.0],
}
LEARNED = {"weighted BP": "weighted_bp", "neural-enhanced BP": "neural_enhanced_decoder"}  # and their weights
CODE = "graphs/ldpc/mackay_96_48/96.3.963"
Decoder = Callable[[mo.FactorGraph], Any]
DECODERS: dict[str, Decoder] = {
    "sum-product": lambda graph: mo.BeliefPropagation(),
    "min-sum": lambda graph: mo.BeliefPropagation(marginalize=mo.problems.log_max),
    **{name: functools.partial(trained, weights) for name, weights in LEARNED.items()},
}


@torch.inference_mode()
def errors(build: Decoder, task: Decoding, words: int) -> dict[str, Any]:
    bits, frames, seen = 0, 0, 0
    for seed in range(math.ceil(words / task.batch)):
        graph, target = task.sample(seed)
        final = mo.unroll(build(graph), STEPS, keep="last")(graph).final
        wrong = graph.decode(final.log_marginals) != graph.decode(target)
        bits, frames, seen = bits + int(wrong.sum()), frames + int(wrong.any(1).sum()), seen + len(wrong)
    count = seen * wrong.shape[1]
    names = {"bit": (bits, count), "frame": (frames, seen)}
    rates = {f"{name}_error": k / n for name, (k, n) in names.items()}
    return rates | {f"{name}_interval": wilson(k, n) for name, (k, n) in names.items()} | {"words": seen}


def wilson(errors: int, count: int, z: float = 1.96) -> list[float]:
    """The 95 % interval of a proportion."""
    p, square = errors / count, z * z / count
    middle, half = p + square / 2, z * math.sqrt(p * (1 - p) / count + square / (4 * count))
    return [max(0.0, (middle - half) / (1 + square)), (middle + half) / (1 + square)]


def rows_of(size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    checks = read_alist(data_path(CODE))
    rows = []
    for channel, level in CHANNELS.items():
        for snr in size[channel]:
            task = Decoding(checks, snr, level, batch=size["batch"])
            for name, build in DECODERS.items():
                reads = [CODE, *([WEIGHTS / f"{LEARNED[name]}.safetensors"] if name in LEARNED else [])]
                key = f"{channel} {snr} {name}"
                found = saved.row(key, lambda b=build, t=task: errors(b, t, size["words"]), reads)
                rows.append({"channel": channel, "snr": snr, "decoder": name, **found})
            print(f"{channel}, {snr} dB: {[round(row['bit_error'], 6) for row in rows[-len(DECODERS) :]]}", flush=True)
    return rows


def at_target(rows: list[dict[str, Any]], channel: str, decoder: str) -> float | None:
    """The SNR in dB at which the bit error passes 1e-3; None where it does not in the range that was measured."""
    curve = [(r["snr"], r["bit_error"]) for r in rows if (r["channel"], r["decoder"]) == (channel, decoder)]
    for (low, above), (high, below) in itertools.pairwise(curve):
        if above >= TARGET > below:
            share = math.log(above / TARGET) / math.log(above / max(below, 1e-9))
            return low + share * (high - low)
    return None


def headline(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    found = {c: {d: at_target(rows, c, d) for d in DECODERS} for c in CHANNELS}
    loss = {d: difference(found["white noise"][d], found["white noise"]["sum-product"]) for d in LEARNED}
    gain = {d: difference(found["bursts"]["sum-product"], found["bursts"][d]) for d in LEARNED}
    best = max(LEARNED, key=lambda d: -math.inf if gain[d] is None else gain[d])
    return {"awgn_loss_db": loss[best], "bursty_gain_db": gain[best]}


def difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(a - b, 3)


def main() -> None:
    options = parse_options(__doc__)
    need(options, [CODE])
    size = QUICK if options.quick else FULL
    settings = {**size, "steps": STEPS, "levels": CHANNELS}
    saved = Rows("ldpc", settings, options)
    rows = rows_of(size, saved)
    print(table(rows, ["channel", "snr", "decoder", "bit_error", "bit_interval", "frame_error", "frame_interval"]))
    saved.write(headline(rows), rows, [0], [] if options.quick else [draw_errors(rows, "ldpc")])


if __name__ == "__main__":
    main()
