"""Every public constructor and call either does what it says or says in a sentence of this library why it does not."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from metaopt import MetaoptError

from .calls import (
    NOT_A_CALL,
    Call,
    airways,
    algorithms,
    alternatives,
    files,
    finite,
    has_finite,
    losses,
    models,
    mri,
    names_of,
    problems,
    radio,
    scans,
    segmentation,
    tasks,
)

TABLES = {
    "metaopt.losses": losses.CALLS,
    "metaopt.metrics": losses.METRICS,
    "metaopt.priors": algorithms.PRIORS,
    "metaopt.algorithms": {**algorithms.ALGORITHMS, **algorithms.INFERENCE},
    "metaopt.core": algorithms.CORE,
    "metaopt.networks": models.NETWORKS,
    "metaopt.models": models.MODELS,
    "metaopt.problems": {**problems.PROBLEMS, **problems.GRAPHS},
    "metaopt.scale": problems.SCALE,
    "metaopt.export": problems.EXPORT,
    "metaopt.estimators": problems.ESTIMATORS,
    "metaopt.tasks": {**tasks.TASKS, "AirwayCts": NOT_A_CALL, "AirwayGraphs": NOT_A_CALL},
    "metaopt.tasks.airways": airways.AIRWAYS,  # with AirwayCts, which metaopt.tasks exports too
    "metaopt.applications.airway": segmentation.AIRWAY,
    "metaopt.applications.mri": mri.MRI,
    "metaopt.applications.radio": radio.RADIO,
    "metaopt.operators.imaging_weights": radio.IMAGING_WEIGHTS,
    "metaopt.operators.nufft": scans.NUFFT,
    "metaopt.operators.patterns": scans.PATTERNS,
    "metaopt.operators.poisson": scans.POISSON,
    "metaopt.operators.sampling": scans.SAMPLING,
    "metaopt.operators.trajectories": scans.TRAJECTORIES,
    "metaopt.operators.uv": radio.UV,
    "metaopt.operators.visibilities": radio.VISIBILITIES,
    "metaopt.operators.whitening": scans.WHITENING,
    "metaopt.operators.wide_visibilities": radio.WIDE_VISIBILITIES,
    "metaopt.viewer": files.VIEWER,
    "metaopt.data": files.DATA,
}
ROWS = [
    pytest.param(call, id=f"{module.removeprefix('metaopt.')}.{name}")
    for module, table in TABLES.items()
    for name, call in table.items()
    if isinstance(call, Call)
]


def public_names(module: str) -> set[str]:
    """The callables that a module offers: its ``__all__``, or what it defines itself."""
    found = importlib.import_module(module)
    own = [n for n, v in vars(found).items() if getattr(v, "__module__", "") == module and not n.startswith("_")]
    return {name for name in getattr(found, "__all__", own) if callable(getattr(found, name))}


@pytest.mark.parametrize("module", TABLES)
def test_every_public_name_has_a_row(module):
    assert set(TABLES[module]) >= public_names(module), sorted(public_names(module) - set(TABLES[module]))
    assert all(isinstance(row, Call) or row is NOT_A_CALL for row in TABLES[module].values())


@pytest.mark.parametrize("call", ROWS)
def test_the_call_of_the_table_is_right_and_names_arguments_that_exist(call):
    result = call.run()
    assert finite(result) or not call.finite
    assert {*call.arguments(), *call.free} <= set(names_of(call.function))


@pytest.mark.parametrize("call", ROWS)
@pytest.mark.filterwarnings("ignore")
def test_any_other_argument_gives_a_result_or_a_sentence(call):
    faults = []
    for name in names_of(call.function):
        right = call.arguments().get(name, inspect.signature(call.function).parameters[name].default)
        for odd, value in alternatives(right) if name not in call.free else ():
            if f"{name}={odd}" not in call.but and (fault := fault_of(call, name, value)):
                faults.append(f"{name}={odd}: {fault}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def fault_of(call: Call, name: str, value: Any) -> str | None:
    try:
        result = call.run(**{name: value})
    except MetaoptError:
        return None
    except Exception as error:  # whatever it is, it is no sentence of this library
        first = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {first[:120]}"
    return "not finite" if call.finite and has_finite(value) and not finite(result) else None


def test_the_sweep_sees_a_call_that_does_not_check():
    unchecked: Callable[[Any], Any] = lambda x: x + 1  # noqa: E731
    assert "TypeError" in str(fault_of(Call(unchecked, lambda: {"x": 1}), "x", None))
    assert fault_of(Call(unchecked, lambda: {"x": 1}), "x", 2) is None
