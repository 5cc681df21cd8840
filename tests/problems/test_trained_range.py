"""A network solves a problem in the units that it was trained in, and says where it was not trained for it."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.models import load, save
from metaopt.operators import Fourier, Identity, Scaled
from metaopt.problems import TrainedRange
from metaopt.scale import tiled

PIXELS = TrainedRange((0, 1), (1 / 255, 55 / 255), name="denoise_grey")


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Pictures whose values fill [0, 1]."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cumsum(-1).cumsum(-2)
    low, high = x.amin((-1, -2), keepdim=True), x.amax((-1, -2), keepdim=True)
    return (x - low) / (high - low)


def noisy(x: Tensor, noise: float) -> Tensor:
    return x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))


def error(x: Tensor, target: Tensor) -> float:
    return float((x - target).square().mean().sqrt())


def denoised(net: Any, y: Tensor, noise: Any) -> Tensor:
    with torch.inference_mode():
        return net(mo.InverseProblem(Identity(), y, noise)).final


@pytest.fixture(scope="module")
def net() -> Any:
    return load("denoise_grey")


@pytest.fixture(scope="module")
def raw() -> Any:
    net = load("denoise_grey")
    net.algorithm.trained_range = None
    return net


@pytest.mark.parametrize("noise", [1 / 255, 0.1, 55 / 255])
@pytest.mark.parametrize("size", [1.0, 0.3, 0.02])
def test_a_problem_within_the_trained_range_is_not_touched(net: Any, raw: Any, size: float, noise: float) -> None:
    y = noisy(size * smooth(2, 1, 24, 20), noise)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(denoised(net, y, noise), denoised(raw, y, noise))


@pytest.mark.parametrize("unit", [255.0, 4095.0, 65535.0, 1e3, 1e-3, 1e7])
def test_a_usual_unit_of_intensity_changes_the_result_by_that_factor_alone(net: Any, raw: Any, unit: float) -> None:
    y = noisy(smooth(1, 1, 24, 20), 0.05)
    expected = denoised(raw, y, 0.05)
    torch.testing.assert_close(denoised(net, unit * y, unit * 0.05) / unit, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [3.0, 40.0, 1e-2])
def test_in_any_unit_the_network_denoises_as_well(net: Any, size: float) -> None:
    x = smooth(1, 1, 40, 40)
    y = noisy(x, 0.05)
    plain, other = error(denoised(net, y, 0.05), x), error(denoised(net, size * y, size * 0.05) / size, x)
    assert other < 1.05 * plain < 0.8 * error(y, x)


def test_a_dark_picture_with_noise_below_the_trained_levels_is_the_bright_one(net: Any, raw: Any) -> None:
    x = 0.009 * smooth(1, 1, 40, 40)
    y = noisy(x, 4e-4)
    assert error(denoised(net, y, 4e-4), x) < 0.8 * error(y, x)
    assert error(denoised(raw, y, 4e-4), x) > error(denoised(net, y, 4e-4), x)


def test_noise_above_the_trained_levels_is_scaled_down_to_them_and_said(net: Any, raw: Any) -> None:
    x = smooth(1, 1, 40, 40)
    y = noisy(x, 0.5)
    with pytest.warns(MetaoptWarning, match=r"denoise_grey were trained for noise of 1 to 55 grey levels, not 127\.5;"):
        found = denoised(net, y, 0.5)
    assert error(found, x) < 0.9 * error(denoised(raw, y, 0.5), x)


def test_noise_below_the_trained_levels_is_said(net: Any) -> None:
    with pytest.warns(MetaoptWarning, match=r"trained for noise of 1 to 55 grey levels, not 0\.5;"):
        denoised(net, smooth(1, 1, 9, 9), 0.5 / 255)


def test_negative_intensities_and_operators_of_other_norms_are_said(net: Any) -> None:
    with pytest.warns(MetaoptWarning, match="not for negative ones such as -1"):
        denoised(net, 2 * smooth(1, 1, 9, 9) - 1, 0.01)
    for guess in (None, 0.5):
        problem = mo.InverseProblem(Scaled(Identity(), 8), 8 * smooth(1, 1, 9, 9), 0.1, guess=guess)
        with pytest.warns(MetaoptWarning, match=r"whose norm is 1, not of about 8; .* problem.normalized\(\)"):
            net(problem)


def test_a_batch_is_its_samples_one_by_one(net: Any) -> None:
    scales, levels = torch.tensor([1.0, 255.0, 1e-3]), torch.tensor([0.05, 12.0, 4e-5])
    y = noisy(smooth(3, 1, 24, 20), 0.05) * scales.reshape(3, 1, 1, 1)
    together = denoised(net, y, levels)
    for i in range(3):
        alone = denoised(net, y[i : i + 1], float(levels[i]))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5 * float(scales[i]))


def test_noise_per_pixel_and_a_guess_are_scaled_along(net: Any, raw: Any) -> None:
    y, noise = noisy(smooth(1, 1, 24, 20), 0.05), 0.03 + 0.04 * smooth(1, 1, 24, 20, seed=1)
    found = net(mo.InverseProblem(Identity(), 255 * y, 255 * noise, guess=255 * 0.5)).final
    expected = raw(mo.InverseProblem(Identity(), y, noise, guess=0.5)).final
    torch.testing.assert_close(found / 255, expected, rtol=0, atol=1e-4)


def test_a_run_in_other_units_continues_and_differentiates_in_those_of_the_caller(net: Any) -> None:
    y = noisy(smooth(1, 1, 16, 12), 0.05)
    problem = mo.InverseProblem(Identity(), 255 * y, 255 * 0.05)
    whole, half = net(problem, steps=4), net(problem, steps=2)
    rest = net(problem, state=half.state, start=half.stop, steps=2)
    torch.testing.assert_close(half.state.x, half.final)
    torch.testing.assert_close(rest.final, whole.final, rtol=1e-5, atol=1e-3)
    gradients = []
    for unit in (1.0, 255.0):
        given = (unit * y).requires_grad_()
        net(mo.InverseProblem(Identity(), given, unit * 0.05)).final.square().mean().backward()
        gradients.append(given.grad / unit)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_tiles_are_measured_by_the_whole(net: Any) -> None:
    """By itself the dark half would be brightened."""
    x = smooth(1, 1, 24, 600)
    x[..., 300:] *= 0.01
    problem = mo.InverseProblem(Identity(), 255 * noisy(x, 0.02), 255 * 0.02)
    whole = net(problem, steps=1).final
    torch.testing.assert_close(tiled(net, problem, 100, steps=1), whole, rtol=0, atol=1e-2)


def masked_mri() -> tuple[Fourier, Tensor]:
    torch.manual_seed(0)
    x = torch.polar(smooth(1, 1, 32, 32), smooth(1, 1, 32, 32, seed=3))
    return Fourier((torch.rand(32, 32) < 0.6).float()), x


@pytest.mark.parametrize("scale", [1e3, 1e-3, 17.0])
def test_k_space_in_any_units_is_reconstructed_as_well(scale: float) -> None:
    net, (operator, x) = load("mri"), masked_mri()
    errors = []
    for c in (1.0, scale):
        with torch.no_grad():
            found = net(mo.InverseProblem(operator, c * operator(x), c * 0.01)).final / c
        errors.append(float((found - x).abs().square().mean()))
    assert errors[1] <= 1.05 * errors[0]
    if scale != 17:
        assert errors[1] == pytest.approx(errors[0], rel=1e-3)


COMPLEX = torch.randn(1, 1, 16, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
REFUSED: dict[str, tuple[str, Any, str]] = {
    "no noise": ("mri", lambda: mo.InverseProblem(Fourier(), COMPLEX), "mri need the noise level of y; give"),
    "real x": ("mri", lambda: mo.InverseProblem(Identity(), COMPLEX.real, 0.1), "for complex x, .* gives real"),
    "complex x": ("denoise_grey", lambda: mo.InverseProblem(Identity(), COMPLEX, 0.1), "for real x, .* gives complex"),
    "y itself": ("denoise_grey", lambda: COMPLEX.real, r"for a problem, InverseProblem\(.* but were given \(1, 1, 16"),
    "nothing": ("learned_map", lambda: None, "for a problem, .* but were given NoneType"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_loaded_network_cannot_solve_is_a_sentence(case: str) -> None:
    name, problem, words = REFUSED[case]
    with pytest.raises(MetaoptError, match=words):
        load(name)(problem())


def test_a_complex_update_without_a_card_names_what_is_missing() -> None:
    net = mo.models.rim(is_complex=True, each_part=True, hidden=2, steps=1)
    with pytest.raises(MetaoptError, match="needs the noise level of the problem"):
        net(mo.InverseProblem(Fourier(), COMPLEX))
    with pytest.raises(MetaoptError, match="updates complex x, but x is"):
        net(mo.InverseProblem(Identity(), COMPLEX.real, 0.1))


def test_the_range_survives_copies_files_and_what_wraps_the_algorithm(net: Any, tmp_path: Any) -> None:
    trained = net.algorithm.trained_range
    assert trained.noise == pytest.approx(PIXELS.noise)
    kept = load(save(net, tmp_path / "again.safetensors")).algorithm.trained_range
    assert (kept.noise, kept.intensity, kept.name) == (trained.noise, trained.intensity, trained.name)
    for other in (copy.deepcopy(net), mo.models.untie(net), mo.unroll(mo.algorithms.Compiled(net.algorithm), 2)):
        assert other.algorithm.trained_range == trained


@pytest.mark.parametrize("unit", [1.0, 255.0, 1e-3, 40.0])
def test_a_run_by_solve_is_in_the_units_of_the_problem_as_that_of_the_network_is(net: Any, unit: float) -> None:
    y, seen, rule = noisy(smooth(2, 1, 16, 12), 0.05), [], []
    problem = mo.InverseProblem(Identity(), unit * y, unit * 0.05)

    def until(given: Any, before: Any, after: Any) -> bool:
        rule.append((given, after.x))
        return False

    with torch.no_grad():
        found = mo.solve(net.algorithm, problem, 4, until, callback=lambda k, state, _: seen.append(state.x))
        wanted = net(problem, steps=4)
        torch.testing.assert_close(found.final, wanted.final)
        torch.testing.assert_close(found.state, wanted.state)
        torch.testing.assert_close(torch.stack(seen), torch.stack(wanted.outputs))
        assert all(given is problem and torch.equal(x, s) for (given, x), s in zip(rule, seen, strict=True))
        more = mo.solve(net.algorithm, problem, 1, mo.Settled(), found.state, found.stop).final
        torch.testing.assert_close(more, net(problem, steps=5).final)


def test_solve_says_what_the_network_was_not_trained_for_and_refuses_what_the_network_does(net: Any) -> None:
    dark = mo.InverseProblem(Identity(), smooth(1, 1, 9, 9), 0.5 / 255)
    with pytest.warns(MetaoptWarning, match=r"trained for noise of 1 to 55 grey levels, not 0\.5;"):
        mo.solve(net.algorithm, dark, 1)
    with pytest.raises(MetaoptError, match="need the noise level of y"):
        mo.solve(net.algorithm, mo.InverseProblem(Identity(), smooth(1, 1, 9, 9)), 1)


@pytest.mark.parametrize(
    "run",
    [
        lambda net, problem: net(problem, steps=1),
        lambda net, problem: torch.nn.Sequential(net)(problem),
        lambda net, problem: mo.solve(net.algorithm, problem, 1),
        lambda net, problem: tiled(net, problem, 8, steps=1),
    ],
    ids=["net", "nested", "solve", "tiled"],
)
def test_the_warning_points_to_the_line_that_ran_the_network(net: Any, run: Any) -> None:
    dark = mo.InverseProblem(Identity(), smooth(1, 1, 9, 9), 0.5 / 255)
    with pytest.warns(MetaoptWarning) as warned:
        run(net, dark)
    assert [(w.filename, w.lineno) for w in warned] == [(__file__, run.__code__.co_firstlineno)]


@pytest.mark.parametrize(
    "ranges", [((1, 0), (0.1, 0.2)), ((0, 1), (0.0, 0.2)), ((0, 1), 0.1), ((0, 0), (1, 1)), (("0", 1), (0.1, 0.2))]
)
def test_a_range_is_two_numbers_the_smaller_first(ranges: Any) -> None:
    with pytest.raises(MetaoptError, match="two numbers, the smaller first, not"):
        TrainedRange(*ranges)


def test_under_transforms_no_value_is_looked_at() -> None:
    net = load("learned_map")
    y = noisy(smooth(2, 1, 12, 10), 0.05)

    def solved(sample: Tensor) -> Tensor:
        problem = mo.core.tree.replace(mo.InverseProblem(Identity(), y[:1], 0.05), {"y": sample[None]})
        return net(problem, steps=1).final[0]

    torch.testing.assert_close(torch.vmap(solved)(y), torch.stack([solved(sample) for sample in y]))
