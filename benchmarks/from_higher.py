"""Memory and time of a differentiable inner loop of 256 steps: this library, `higher`, torchopt, and loops by hand.

The inner loop is that of `benchmarks.recipe`: Adam on an MLP of 784-20-10, whose last loss is differentiated with
respect to the initial parameters and the step size. Memory is by how much the process grows at most; time is paired,
each round runs every rival once. `metaopt, checkpointed` computes its steps again in the backward pass, which neither
of the other libraries can.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import metaopt as mo

from .costs import inner_steps
from .costs.inner_steps import RIVALS, Task, make_task, metaopt
from .memory import peak_of
from .report import need, paired, parse_options, table
from .rows import Rows

FULL: dict[str, Any] = {"widths": (784, 20, 10), "batch": 128, "steps": 256, "rounds": 9, "repeats": 3}
QUICK: dict[str, Any] = {"widths": (784, 20, 10), "batch": 128, "steps": 64, "rounds": 2, "repeats": 1}
OURS = "metaopt, checkpointed"


def rivals() -> Mapping[str, Callable[[Task], Any]]:
    return {**RIVALS, OURS: functools.partial(metaopt, gradient=mo.Checkpointed())}


def measure(size: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a rival; ``ratio`` is its time over that of the loop by hand, ``of higher`` its memory over higher's."""
    task = make_task(size["widths"], size["batch"], size["steps"])
    runs = {name: functools.partial(rival, task) for name, rival in rivals().items()}
    for run in runs.values():
        run()
    peaks = {name: min(peak_of(run)[1] for _ in range(size["repeats"])) for name, run in runs.items()}
    timings = paired(runs, size["rounds"], warmup=0)
    rows = []
    for name, timing in timings.items():
        memory = {"MiB": 1024 * peaks[name], "of higher": peaks[name] / peaks["higher"]}
        rows.append({"rival": name, **memory, "ms a step": 1e3 * timing.pop("seconds") / size["steps"], **timing})
    return rows


def main() -> None:
    options = parse_options(__doc__)
    need(options, packages=["higher", "torchopt"])
    size = QUICK if options.quick else FULL
    saved = Rows("from_higher", size, options)
    rows = saved.rows("rivals", lambda: measure(size), [Path(inner_steps.__file__)])
    print(table(rows) + "\n")
    of = {row["rival"]: row for row in rows}
    headline = {
        "memory_vs_higher": round(of[OURS]["of higher"], 3),
        "time_vs_higher": round(of[OURS]["ms a step"] / of["higher"]["ms a step"], 2),
        "overhead_vs_hand": round(of["metaopt"]["ratio"], 3),
    }
    saved.write(headline, rows, [0])


if __name__ == "__main__":
    main()
