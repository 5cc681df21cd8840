"""The checks of arguments: what fits is returned as it is, anything else is refused in one sentence."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metaopt import MetaoptError
from metaopt.arguments import checks

ODD = {
    "none": None,
    "text": "text",
    "list": [1, 2],
    "dict": {},
    "object": object(),
    "meta": torch.zeros(2, 3, device="meta"),
    "sparse": torch.eye(2).to_sparse(),
    "float8": torch.ones(2, 3).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("kind", list(checks.KINDS))
def test_what_is_no_ordinary_tensor_is_refused_by_name(odd, kind):
    with pytest.raises(MetaoptError, match=r"^The input "):
        checks.check_tensor("The input", ODD[odd], kind)


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        ("real", {torch.float16, torch.bfloat16, torch.float32, torch.float64}),
        ("real or complex", {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64}),
        ("whole", {torch.uint8, torch.int32, torch.int64}),
        ("boolean", {torch.bool}),
    ],
)
def test_a_tensor_fits_by_the_kind_of_its_numbers(kind, fits):
    every = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
    for dtype in [*every, torch.uint8, torch.int32, torch.int64, torch.bool]:
        tensor = torch.ones(2, dtype=dtype)
        if dtype in fits:
            assert checks.check_tensor("x", tensor, kind) is tensor
        else:
            with pytest.raises(MetaoptError, match=str(dtype).removeprefix("torch.")):
                checks.check_tensor("x", tensor, kind)


@pytest.mark.parametrize(
    ("shape", "fits", "not_"),
    [
        ("(B, C)", [(2, 3), (0, 1)], [(2,), (2, 3, 4), ()]),
        ("(2, E)", [(2, 5)], [(3, 5), (2,)]),
        ("(B, ...)", [(2,), (2, 3, 4)], [()]),
        ("(..., 3)", [(3,), (1, 2, 3)], [(3, 2), ()]),
        ("()", [()], [(1,)]),
        ("", [(), (1, 2)], []),
    ],
)
def test_a_shape_says_how_many_axes_there_are_and_which_lengths_are_fixed(shape, fits, not_):
    for sizes in fits:
        checks.check_tensor("x", torch.zeros(sizes), shape=shape)
    for sizes in not_:
        with pytest.raises(MetaoptError, match="must be a real"):
            checks.check_tensor("x", torch.zeros(sizes), shape=shape)


def test_numbers_are_finite_and_in_their_interval():
    for value in (1, 2.5, np.float32(1.5), torch.tensor(2.0), 10**400):
        assert checks.check_number("x", value, 1) is value
    for value in (None, "1", True, [1], float("nan"), float("inf"), 0.5, torch.ones(1), torch.tensor(True), 1j):
        with pytest.raises(MetaoptError, match=r"^x must be a finite number, at least 1"):
            checks.check_number("x", value, 1)
    with pytest.raises(MetaoptError, match="more than 0 and at most 1"):
        checks.check_number("x", 0, high=1, above=0)


def test_counts_are_whole_numbers_and_no_bools():
    assert checks.check_count("n", np.int64(3)) == 3
    for value in (0, True, 2.0, "2", None, torch.ones(1)):
        with pytest.raises(MetaoptError, match=r"^n must be a whole number"):
            checks.check_count("n", value)


def test_a_function_takes_the_arguments_that_it_is_called_with():
    for fits in (F.mse_loss, nn.MSELoss(), lambda *a: a, max, lambda x, y, z=1: x):
        assert checks.check_function("The loss", fits, "output", "target") is fits
    for value in (None, 3, "mse", nn.MSELoss, lambda x: x, lambda x, y, z: x):
        with pytest.raises(MetaoptError, match=r"^The loss must be a function of \(output, target\)"):
            checks.check_function("The loss", value, "output", "target")


def test_values_are_inspected_only_where_there_are_any():
    bad = torch.tensor([1.0, float("nan"), float("inf")])
    with pytest.raises(MetaoptError, match="x holds 2 values"):
        checks.check_finite("x", bad)
    with pytest.raises(MetaoptError, match="numbers of classes from 0 to 2, but they go from -1 to 3"):
        checks.check_labels("Labels", torch.tensor([-1, 3]), 3)
    assert torch.func.vmap(lambda t: checks.check_finite("x", t))(bad[None]).shape == (1, 3)
    torch.func.vmap(lambda t: checks.check_labels("x", t, 1))(torch.tensor([[3]]))
    compiled = torch.compile(lambda t: checks.check_finite("x", t) + 1, fullgraph=True, backend="eager")
    assert compiled(torch.tensor([float("nan")])).isnan()


def test_choices_and_instances():
    assert checks.check_choice("keep", "all", ("all", "last")) == "all"
    assert checks.check_instance("The sum", 3, int) == 3
    with pytest.raises(MetaoptError, match="keep must be 'all' or 'last', but got 3"):
        checks.check_choice("keep", 3, ("all", "last"))
    with pytest.raises(MetaoptError, match="The net must be a Module, but got the class Linear itself; call it"):
        checks.check_instance("The net", nn.Linear, nn.Module, "call it")


def test_what_torch_says_of_data_that_do_not_fit_becomes_a_sentence():
    with (
        pytest.raises(MetaoptError, match=r"^The network cannot be computed: mat1") as caught,
        checks.explained("The network cannot be computed"),
    ):
        nn.Linear(3, 1)(torch.ones(1, 2))
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(torch.OutOfMemoryError), checks.explained("anything"):
        raise torch.OutOfMemoryError
    with pytest.raises(MetaoptError, match=r"^as it is$"), checks.explained("anything"):
        raise MetaoptError("as it is")


def test_numbers_become_tensors_of_the_dtype_that_is_asked_for():
    for value in (
        1,
        2.5,
        [1, 2.0],
        np.ones(2),
        torch.ones(2, dtype=torch.int64),
        torch.tensor(1.0, dtype=torch.float64),
    ):
        assert checks.as_numbers("x", value, torch.float32, torch.device("cpu")).dtype == torch.float32
    assert checks.as_numbers("x", 1j, torch.complex64, torch.device("cpu")) == 1j
    for value in (None, "1", True, {}, object(), 1j, ["a"], *[t for t in ODD.values() if isinstance(t, torch.Tensor)]):
        with pytest.raises(MetaoptError, match=r"^x must be "):
            checks.as_numbers("x", value, torch.float32, torch.device("cpu"))
