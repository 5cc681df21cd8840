"""What the recipe costs: an inner step beside other libraries, a RIM's step, memory over time-steps, tasks at once.

Four tables, one a module of ``benchmarks.costs``, where it is said how each is measured:

- ``inner_steps``: seconds per step of a differentiable Adam against loops by hand, ``higher`` and ``torchopt``;
- ``rim_step``: a step of the Recurrent Inference Machine against its bare convolutions, eager and compiled;
- ``gradient_memory``: peak memory and time of the gradient strategies, in fresh processes;
- ``many_tasks``: 32 small tasks under ``vmap`` against a loop over them.

A full run needs 16 GiB of free memory, the packages of the extra ``benchmark``, and g++ for the compiled steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .costs import gradient_memory, inner_steps, many_tasks, rim_step
from .report import need, parse_options, table
from .rows import Rows

FULL: Mapping[str, Any] = {
    "inner_steps": {"widths": (784, 20, 10), "batch": 128, "steps": 100, "rounds": 30},
    "rim_step": {"batch": 16, "size": 64, "features": 64, "rounds": 30},
    "rim_modes": tuple(rim_step.MODES),
    "gradient_memory": {"size": 2000, "repeats": 3, "once_from": 32},
    "memory_steps": (8, 16, 32, 64, 128, 256),
    "many_tasks": {"tasks": 32, "shots": 10, "width": 40, "steps": 5, "rounds": 30},
}
QUICK: Mapping[str, Any] = {
    "inner_steps": {"widths": (784, 20, 10), "batch": 128, "steps": 20, "rounds": 5},
    "rim_step": {"batch": 2, "size": 32, "features": 16, "rounds": 5},
    "rim_modes": ("forward",),
    "gradient_memory": {"size": 500, "repeats": 1, "once_from": 1},
    "memory_steps": (8, 64),
    "many_tasks": {"tasks": 32, "shots": 10, "width": 40, "steps": 2, "rounds": 3},
}
Table = list[dict[str, Any]]


def memory_rows(saved: Rows, settings: Mapping[str, Any]) -> Table:
    """Every strategy at every T; ``memory`` and ``time`` are fractions of the full gradient's at the same T.

    A run of ``once_from`` steps or more, which takes minutes, is made once instead of ``repeats`` times.
    """
    rows: Table = []
    size, repeats, once_from = (settings["gradient_memory"][key] for key in ("size", "repeats", "once_from"))
    for strategy in gradient_memory.STRATEGIES:
        peak, before = 0.0, 0
        for steps in settings["memory_steps"]:
            expected = peak * steps / before if strategy == "full" and before else peak

            times = 1 if steps >= once_from else repeats
            measured = functools.partial(gradient_memory.measure, strategy, steps, size, times, expected)
            rows.append(saved.row(f"{strategy} {steps}", measured))
            peak, before = rows[-1]["peak"], steps
    return [{**row, **_fractions(row, _find(rows, strategy="full", steps=row["steps"]))} for row in rows]


def _fractions(row: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, float]:
    if row["strategy"] == "reversible":  # of another machine
        return {}
    return {"memory": row["peak"] / full["peak"], "time": row["seconds"] / full["seconds"]}


def _find(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> Mapping[str, Any]:
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


def headline(tables: Mapping[str, Table], settings: Mapping[str, Any]) -> dict[str, float]:
    """A quick run has less: its longest T stands for 256, and for 64 the longest that it has up to there."""
    inner = {row["rival"]: row["ratio"] for row in tables["inner_steps"]}
    step = {row["run"]: row["ratio"] for row in tables["rim_step"] if row["mode"] == "forward"}
    memory, lengths = tables["gradient_memory"], settings["memory_steps"]
    checkpointed = _find(memory, strategy="checkpointed", steps=max(lengths))
    short, long = (
        _find(memory, strategy="reversible", steps=steps)["peak"]
        for steps in (min(lengths), max(steps for steps in lengths if steps <= 64))
    )
    figures = {
        "overhead_vs_hand": inner["metaopt"],
        "overhead_higher": inner["higher"],
        "overhead_torchopt": inner["torchopt"],
        "step_vs_convs": step["compiled step"],
        "step_vs_convs_eager": step["step"],
        "checkpointed_memory_t256": checkpointed["memory"],
        "checkpointed_time_t256": checkpointed["time"],
        "reversible_memory_8_64": long / short,
        "vmap_speedup_32": _find(tables["many_tasks"], run="loop")["ratio"],
    }
    return {name: round(figure, 3) for name, figure in figures.items()}


def main() -> None:
    options = parse_options(__doc__)
    need(options, packages=["higher", "torchopt"])
    settings = QUICK if options.quick else FULL
    saved, tables = Rows("recipe", settings, options), {}
    sections: Mapping[str, tuple[str, Callable[[], Table]]] = {
        "inner_steps": (
            "Adam on an MLP: ms per inner step, forward and meta-backward; ratio to the loop by hand, with quartiles",
            lambda: saved.rows("inner_steps", functools.partial(inner_steps.measure, **settings["inner_steps"])),
        ),
        "rim_step": (
            "A RIM's step: ratio to its bare convolutions, the compiled step's to the faster of them; quartiles",
            lambda: [row for mode in settings["rim_modes"] for row in rim_step_rows(saved, settings, mode)],
        ),
        "gradient_memory": (
            "Gradients through T steps: peak in GiB above one step's level, seconds; fractions of the full gradient",
            lambda: memory_rows(saved, settings),
        ),
        "many_tasks": (
            f"{settings['many_tasks']['tasks']} tasks: ms per meta-gradient",
            lambda: saved.rows("many_tasks", functools.partial(many_tasks.measure, **settings["many_tasks"])),
        ),
    }
    for name, (title, measure) in sections.items():
        tables[name] = measure()
        columns = list(dict.fromkeys(key for row in tables[name] for key in row))
        print(f"{title}\n\n{table(tables[name], columns)}\n", flush=True)
    rows = [{"table": name, **row} for name, found in tables.items() for row in found]
    saved.write(headline(tables, settings), rows, [0])


def rim_step_rows(saved: Rows, settings: Mapping[str, Any], mode: str) -> Table:
    return saved.rows(f"rim_step {mode}", functools.partial(rim_step.measure, mode=mode, **settings["rim_step"]))


if __name__ == "__main__":
    main()
