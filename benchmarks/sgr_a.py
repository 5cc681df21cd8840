"""What simple models explain of measured visibilities of Sgr A*, whose station phases are corrupted.

Errors of the stations' phases and gains cancel in closure phases and log closure amplitudes, so only these are
compared: their chi^2 per degree of freedom, of models that are fitted to both. A model has no position and no flux,
which closures do not tell. Visibilities count above three standard deviations of their noise; systematic errors,
scattering and the source's change within the hours are left out, so that no simple model reaches 1. No picture is
claimed.

Data: Event Horizon Telescope Collaboration, 2022, doi:10.3847/2041-8213/ac6674, day 097, low band.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.data import data_path, read_visibilities
from metaopt.tasks import radio

from .rows import Row

FILE = "radio/eht_sgra_2017/ER6_SGRA_2017_097_lo_hops_netcal-LMTcal-besttime_StokesI.uvfits"
STEPS = 250
RATE = 0.03
LEAST = 3.0  # the signal-to-noise ratio of a visibility that counts
POINTS = 96  # on the ring
MICROARCSECOND = math.pi / (180 * 3600e6)
SHOWN = ["model", "closure_phase", "log_closure_amplitude", "parameters", "found"]


class Closures(NamedTuple):
    """Baselines (V, 2) in wavelengths, and the closures of what was measured there."""

    baselines: Tensor
    triangles: radio.Closures
    quadrangles: radio.Closures
    phases: tuple[Tensor, Tensor]
    amplitudes: tuple[Tensor, Tensor]
    weights: Tensor


@functools.cache
def measured() -> Closures:
    """The closures of the file, in float64."""
    found = read_visibilities(data_path(FILE))
    chunk = found.read()
    values, weights = chunk.visibilities[:, 0].to(torch.complex128), chunk.weights[:, 0].double()
    used = (weights > 0) & (values.abs() * weights.sqrt() > LEAST)
    rows = (chunk.time, chunk.antenna1, chunk.antenna2, used)
    triangles, quadrangles = radio.closure_triangles(*rows), radio.closure_quadrangles(*rows)
    return Closures(
        chunk.uvw[:, :2] * float(found.frequency[0]) / 299_792_458.0,
        triangles,
        quadrangles,
        radio.closure_phases(values, weights, triangles),
        radio.log_closure_amplitudes(values, weights, quadrangles),
        weights,
    )


class Gaussian(nn.Module):
    """An elliptic Gaussian; its visibilities are ``exp(-|S u|^2)``, S from the widths at half of the peak."""

    def __init__(self, width: float):
        super().__init__()
        self.log_axes = nn.Parameter(torch.tensor([width, 0.8 * width], dtype=torch.float64).log())
        self.angle = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, baselines: Tensor) -> Tensor:
        s, c = self.angle.sin(), self.angle.cos()
        along = torch.stack([baselines @ torch.stack([c, s]), baselines @ torch.stack([-s, c])])
        sizes = self.log_axes.exp() * MICROARCSECOND * math.pi / (2 * math.sqrt(math.log(2)))
        size = (sizes[:, None] * along).square().sum(0)
        # Below the smallest logarithm that float64 holds a visibility would be 0, which has no logarithm.
        return torch.exp(-size.clamp(max=300.0)).to(torch.complex128)

    def found(self) -> str:
        major, minor = sorted(self.log_axes.exp().tolist(), reverse=True)
        return f"{major:.0f} x {minor:.0f} microarcseconds at half of the peak"


class Ring(nn.Module):
    """A ring of a Gaussian width whose brightness is ``1 + a cos(angle - b)``, by points on a circle."""

    def __init__(self, diameter: float):
        super().__init__()
        self.log_sizes = nn.Parameter(torch.tensor([diameter, 15.0], dtype=torch.float64).log())
        self.slope = nn.Parameter(torch.tensor([0.1, 0.1], dtype=torch.float64))

    def forward(self, baselines: Tensor) -> Tensor:
        angles = torch.arange(POINTS, dtype=torch.float64) * (2 * math.pi / POINTS)
        around = torch.stack([angles.cos(), angles.sin()])
        diameter, width = self.log_sizes.exp() * MICROARCSECOND
        bright = (1 + torch.tanh(self.slope.norm()) / self.slope.norm() * (self.slope @ around)) / POINTS
        phases = -math.pi * diameter * (baselines @ around)
        thin = torch.exp(-(math.pi * width).square() * baselines.square().sum(1) / (4 * math.log(2)))
        return torch.complex(phases.cos() @ bright, phases.sin() @ bright) * thin

    def found(self) -> str:
        diameter, width = self.log_sizes.exp().tolist()
        return (
            f"diameter {diameter:.0f}, width {width:.0f} microarcseconds, "
            f"asymmetry {float(torch.tanh(self.slope.norm())):.2f}"
        )


def chi2(model: Tensor, given: Closures, parameters: int = 0) -> tuple[Tensor, Tensor]:
    """chi^2 of closure phases and of log closure amplitudes, each per degree of freedom."""
    found = radio.closure_phases(model, given.weights, given.triangles)[0]
    phases = radio.closure_phase_chi2(given.phases[0], found, given.phases[1])
    found = radio.log_closure_amplitudes(model, given.weights, given.quadrangles)[0]
    amplitudes = radio.log_closure_chi2(given.amplitudes[0], found, given.amplitudes[1])
    counts = [len(closures.rows) for closures in (given.triangles, given.quadrangles)]
    return phases * counts[0] / (counts[0] - parameters), amplitudes * counts[1] / (counts[1] - parameters)


@torch.enable_grad()
def fitted(model: nn.Module, given: Closures, steps: int = STEPS) -> nn.Module:
    """The model with the parameters to which Adam, an update of this library, brings the sum of both chi^2."""
    loss = lambda visibilities, _: torch.stack(chi2(visibilities, given)).sum()  # noqa: E731
    objective = mo.Objective(model, loss, [(given.baselines, given.weights)])
    descent = mo.Descent(mo.updates.Adam(RATE))
    parameters = mo.unroll(descent, steps, gradient=mo.Truncated(1), keep="last")(objective).final
    model.load_state_dict({name: value.detach() for name, value in parameters.items()})
    return model


def rows() -> list[Row]:
    """chi^2 per degree of freedom of a point, and of the best Gaussian and the best ring of several starts."""
    given = measured()
    point = torch.ones(len(given.baselines), dtype=torch.complex128)
    found = [_row("point", point, given, 0, "")]
    starts = {"Gaussian": (Gaussian, (40.0,)), "ring": (Ring, (40.0, 60.0))}
    for name, (kind, sizes) in starts.items():
        models = [fitted(kind(size), given) for size in sizes]
        best = min(models, key=lambda model: float(sum(chi2(model(given.baselines), given))))
        count = sum(parameter.numel() for parameter in best.parameters())
        found.append(_row(name, best(given.baselines), given, count, best.found()))  # type: ignore[operator]
    return found


def _row(name: str, visibilities: Tensor, given: Closures, parameters: int, found: str) -> Row:
    phases, amplitudes = chi2(visibilities.detach(), given, parameters)
    return {
        "model": name,
        "closure_phase": float(phases),
        "log_closure_amplitude": float(amplitudes),
        "parameters": parameters,
        "found": found,
        "closure_phases": len(given.triangles.rows),
        "log_closure_amplitudes": len(given.quadrangles.rows),
    }
