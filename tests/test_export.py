"""Networks as programs of torch.export and ONNX: equal to the network, without this library, at other sizes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.export import as_module, export_onnx, export_program

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; pip install -e .[export]")


def denoising(y: Tensor, noise: Tensor) -> mo.InverseProblem:
    return mo.InverseProblem(mo.operators.Identity(), y, noise)


def undersampled(y: Tensor, mask: Tensor, noise: Tensor) -> mo.InverseProblem:
    return mo.InverseProblem(mo.operators.Fourier(mask), torch.view_as_complex(y), noise)


def picture(height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height)
    return torch.rand(1, 1, height, width, generator=generator), torch.tensor([0.1])


def kspace(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Half of the frequencies of a smooth spot with a phase, brightest 1; as pairs of reals."""
    generator = torch.Generator().manual_seed(height)
    mask = (torch.rand(height, width, generator=generator) > 0.5).float()
    rows, columns = torch.meshgrid(torch.linspace(-2, 2, height), torch.linspace(-2, 2, width), indexing="ij")
    spot = torch.polar(torch.exp(-(rows.square()) - columns.square()), rows - columns)
    y = mask * (torch.fft.fft2(spot, norm="ortho") + 0.01 * torch.randn(height, width, generator=generator))
    return torch.view_as_real(y)[None, None], mask, torch.tensor([0.02])


def small(is_complex: bool = False, steps: int = 1) -> mo.Unrolled:
    """A cell with everything that has a size: half resolution, two GRUs, a coarse memory."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = mo.models.rim(
            hidden=4, stride=2, steps=steps, kernels=(3, 1), scales=(2,), is_complex=is_complex, each_part=is_complex
        )
        for parameter in net.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return net.eval().requires_grad_(False)


def agree(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


CASES = {"picture": (small, denoising, picture), "kspace": (lambda: small(True), undersampled, kspace)}
SIZES = [(24, 16), (17, 30), (13, 21)]


@pytest.mark.parametrize("name", CASES)
def test_a_program_gives_what_the_network_gives(name: str) -> None:
    build, make, draw = CASES[name]
    net, examples = build(), draw(12, 10)
    program = export_program(net, make, examples)
    other = (draw(12, 10)[0].flip(2), *examples[1:])
    for inputs in (examples, other):
        final = net(make(*inputs)).final
        agree(program.module()(*inputs), torch.view_as_real(final) if final.is_complex() else final)


@pytest.mark.parametrize("name", CASES)
def test_a_program_with_dynamic_axes_gives_what_the_network_gives_at_every_size(name: str) -> None:
    """Also where neither the stride nor the scale divides the size."""
    build, make, draw = CASES[name]
    net = build()
    dynamic = [(2, 3), ()] if name == "picture" else [(2, 3), (0, 1), ()]
    program = export_program(net, make, draw(20, 24), dynamic)
    run, module = program.module(), as_module(net, make)
    for size in SIZES:
        agree(run(*draw(*size)), module(*draw(*size)))


def test_the_level_of_the_noise_is_an_input_of_the_program() -> None:
    y, noise = picture(12, 10)
    program = export_program(small(), denoising, (y, noise))
    assert not torch.allclose(program.module()(y, noise), program.module()(y, 3 * noise))
    agree(program.module()(y, 3 * noise), small()(denoising(y, 3 * noise)).final)


class OwnWrapper(nn.Module):
    """What users write themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, y: Tensor, noise: Tensor) -> Tensor:
        return self.net(mo.InverseProblem(mo.operators.Mask(torch.ones_like(y)), y, noise)).final


def test_a_module_of_the_users_own_that_builds_its_problem_is_exported() -> None:
    """With noise of every pixel, of which the network reads a map."""
    module, (y, _) = OwnWrapper(), picture(12, 10)
    noise = 0.05 + 0.1 * torch.rand_like(y)
    program = torch.export.export(module, (y, noise), strict=False)
    agree(program.module()(y, noise), module(y, noise))


def test_problems_of_counts_and_of_chosen_entries_are_built_inside_a_program() -> None:
    class Counts(nn.Module):
        def forward(self, y: Tensor, indices: Tensor) -> Tensor:
            problem = mo.InverseProblem(mo.operators.Select(indices, (6,)), y, likelihood=mo.Poisson(0.5))
            return mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)(problem).final

    inputs = (torch.tensor([[1.0, 3.0]]), torch.tensor([4, 1]))
    agree(torch.export.export(Counts(), inputs, strict=False).module()(*inputs), Counts()(*inputs))


@pytest.mark.parametrize("name", CASES)
def test_a_saved_program_runs_where_this_library_is_not(name: str, tmp_path: Path) -> None:
    build, make, draw = CASES[name]
    examples = draw(12, 10)
    program = export_program(build(), make, examples)
    torch.export.save(program, tmp_path / "program.pt2")
    torch.save([*examples], tmp_path / "inputs.pt")
    script = (
        "import sys; sys.modules['metaopt'] = None\n"
        "import torch\n"
        "try:\n    import metaopt\nexcept ImportError:\n    print('without it')\n"
        "inputs = torch.load('inputs.pt', weights_only=True)\n"
        "torch.save(torch.export.load('program.pt2').module()(*inputs), 'output.pt')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "without it\n"
    agree(torch.load(tmp_path / "output.pt", weights_only=True), program.module()(*examples))


def run_onnx(path: Path, inputs: Sequence[Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    named = {slot.name: tensor.numpy() for slot, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return torch.as_tensor(session.run(None, named)[0])


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_an_onnx_file_gives_what_the_network_gives_at_every_size(name: str, tmp_path: Path) -> None:
    build, make, draw = CASES[name]
    net = build()
    dynamic = [(2, 3), ()] if name == "picture" else [(2, 3), (0, 1), ()]
    export_onnx(export_program(net, make, draw(20, 24), dynamic), tmp_path / "net.onnx")
    for size in SIZES:
        agree(run_onnx(tmp_path / "net.onnx", draw(*size)), as_module(net, make)(*draw(*size)))


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise_grey", "mri"])
def test_the_shipped_networks_are_exported(name: str, tmp_path: Path) -> None:
    make, draw = (undersampled, kspace) if name == "mri" else (denoising, picture)
    net, examples = mo.models.load(name), draw(32, 24)
    program, expected = export_program(net, make, examples), as_module(net, make)(*examples)
    agree(program.module()(*examples), expected)
    export_onnx(program, tmp_path / "net.onnx")
    agree(run_onnx(tmp_path / "net.onnx", examples), expected)


def test_what_cannot_be_exported_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    y, noise = picture(12, 10)
    with pytest.raises(mo.MetaoptError, match=r"axes of every example, .* there are 2 examples and 1 entries"):
        export_program(small(), denoising, (y, noise), dynamic=[(2, 3)])

    def complex_denoising(y: Tensor, noise: Tensor) -> mo.InverseProblem:
        return mo.InverseProblem(mo.operators.Identity(), y, noise)

    program = export_program(small(True), complex_denoising, (torch.complex(y, y), noise))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(mo.MetaoptError, match=r"This needs onnx.*pip install 'metaopt-torch\[export\]'"):
        export_onnx(program, tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", sys)
    monkeypatch.setitem(sys.modules, "onnx", sys)
    with pytest.raises(mo.MetaoptError, match=r"no complex inputs; export the program with torch\.view_as_real"):
        export_onnx(program, tmp_path / "a.onnx")
