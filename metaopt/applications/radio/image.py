"""Make the pictures of a set of visibilities, one after the other or by many workers, and write them as FITS."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core import MetaoptError
from ...data import VisibilitySet, read_visibilities
from ...files import replacing
from ...operators import point_spread
from .beam import Beam, fit_beam, restore
from .gridding import Gridded, PointSpread, grid, weighting
from .methods import Imaging, load_network, make


@dataclass(frozen=True)
class Source:
    """Say what of which file is read.

    Args:
        path: The set.
        column: The column of a measurement set, or None.
        window: The spectral window, or None.
        field: The field, or None.
    """

    path: Path
    column: str | None = None
    window: int | None = None
    field: str | None = None

    def open(self) -> VisibilitySet:
        """Open the set.

        Raises:
            MetaoptError: As of :func:`read_visibilities`.
        """
        return read_visibilities(self.path, self.column, self.window, self.field)


@dataclass(frozen=True)
class Fact:
    """Say of a picture what its pixels do not.

    Args:
        blank: Whether all of its visibilities are flagged, so that it is NaN.
        misfit: What it leaves of the data over the noise, or None where it is not known.
        noise: The noise of the dirty picture, in Jy/beam.
        beam: The beam, (major axis, minor axis, position angle) in radians, or None.
    """

    blank: bool = False
    misfit: float | None = None
    noise: float = math.nan
    beam: Beam | None = None


@dataclass(frozen=True, eq=False)
class Pictures:
    """Make the picture of a number; it is sent to workers, each of which opens the set and loads the network once.

    Args:
        source: The set.
        groups: The channels of each picture.
        shape: (H, W).
        cell: The size of a pixel in radians.
        wide: Whether the w term counts.
        settings: The method.
        beam: That with which the components of CLEAN are restored. None: that of each picture.
        facts: The folder where a :class:`Fact` of each picture is written.
    """

    source: Source
    groups: Sequence[Sequence[int]]
    shape: tuple[int, int]
    cell: float
    wide: bool
    settings: Imaging
    beam: Beam | None
    facts: Path
    lock: Any = field(default_factory=threading.RLock, init=False, repr=False)
    held: dict[str, Any] = field(default_factory=dict, init=False, repr=False)  # the open set and the network

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("lock", "held")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=threading.RLock(), held={})

    def __call__(self, number: int) -> Tensor:
        gridded = self.gridded(number)
        if not gridded.used:
            return self._noted(number, torch.full(self.shape, math.nan), Fact(blank=True))
        made = make(gridded, self.settings, self._network())
        natural, noise = self.settings.weighting == "natural", gridded.level / gridded.weight
        misfit = gridded.misfit(made.model) if natural and made.model is not None else None
        residual = made.residual[0, 0] / gridded.weight
        if self.settings.method not in ("dirty", "clean"):
            assert made.model is not None
            return self._noted(number, made.model[0, 0], Fact(misfit=misfit, noise=noise))
        own = beam_of(gridded, self.cell)
        if made.model is None:
            return self._noted(number, residual, Fact(noise=noise, beam=own))
        used = self.beam or own
        if used is None:
            raise MetaoptError(
                "The dirty beam has no main lobe to restore components with; take smaller cells, or the method tv."
            )
        restored = restore(made.model[0, 0], residual, used, self.cell)
        return self._noted(number, restored, Fact(misfit=misfit, noise=noise, beam=used))

    def gridded(self, number: int) -> Gridded:
        """Return the gridded visibilities of a picture.

        Args:
            number: Of the picture.
        """
        with self.lock:  # a table of casacore is read by one thread at a time
            if "set" not in self.held:
                self.held["set"] = self.source.open()
        found = self.held["set"].narrowed(list(self.groups[number]))
        found = replace(found, load=partial(_one_at_a_time, self.lock, found.load))
        weigh = weighting(self.settings.weighting, self.settings.robust, found, self.shape, self.cell)
        return grid(found, self.shape, self.cell, weigh, self.wide)

    def _network(self) -> Any:
        with self.lock:
            if "net" not in self.held:
                self.held["net"] = load_network(self.settings)
        return self.held["net"]

    def _noted(self, number: int, picture: Tensor, fact: Fact) -> Tensor:
        write_fact(self.facts, number, fact)
        return picture.float()


def _one_at_a_time(lock: Any, load: Callable[..., Any], *which: Any) -> Any:
    with lock:
        return load(*which)


def beam_of(gridded: Gridded, cell: float) -> Beam | None:
    """Return the beam of gridded visibilities with their weighting, as :func:`fit_beam` does.

    Args:
        gridded: The visibilities.
        cell: The size of a pixel in radians.
    """
    operator: Any = gridded.problem.operator
    if not isinstance(operator, PointSpread):
        return fit_beam(point_spread(operator)[0], cell)
    height, width = operator.shape
    source = torch.zeros(1, 1, height, width, dtype=torch.float64)
    source[..., height // 2, width // 2] = 1
    return fit_beam(operator.normal(source)[0, 0] / gridded.weight, cell)


def write_fact(folder: Path, number: int, fact: Fact) -> None:
    """Write what is known of a picture.

    Args:
        folder: The folder of such facts.
        number: Of the picture.
        fact: What is known.
    """
    with replacing(folder / f"{number}.json") as file:
        file.write(json.dumps(asdict(fact)).encode())


def read_facts(folder: Path, count: int) -> list[Fact]:
    """Read what is known of all pictures.

    Args:
        folder: The folder of such facts.
        count: The number of pictures.

    Raises:
        MetaoptError: One is missing.
    """
    facts = []
    for number in range(count):
        try:
            found = json.loads((folder / f"{number}.json").read_bytes())
        except (OSError, ValueError) as error:
            raise MetaoptError(
                f"{folder} lacks what is known of picture {number}; delete it, and start again."
            ) from error
        facts.append(Fact(**{**found, "beam": None if found["beam"] is None else tuple(found["beam"])}))
    return facts
