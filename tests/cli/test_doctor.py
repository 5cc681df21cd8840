"""``metaopt doctor`` says what there is, and where there is nothing, what to do."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import torch

import metaopt as mo
from metaopt.cli import main


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_versions_threads_devices_and_weights_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(capsys)
    assert f"  metaopt {mo.__version__}, in {Path(mo.__file__).parent}" in said
    for name in ("torch", "numpy", "safetensors", "tqdm"):
        assert f"  {name} {metadata.version(name)}" in said
    assert any(line.startswith(f"  threads of torch: {torch.get_num_threads()} (") for line in said)
    assert "  cpu" in said
    assert any(line.startswith("  denoise_grey: 1.5 MB") for line in said)


@pytest.mark.parametrize("given", ["", "nowhere", "empty", "full"])
def test_the_folder_of_data_is_described(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("natural/set5", "mri/ixi_t1_2mm", "mine/own"):
        (tmp_path / "full" / name).mkdir(parents=True)
    (tmp_path / "full" / "README.md").touch()
    folder = str(tmp_path / given) if given else ""
    monkeypatch.setenv("METAOPT_DATA", folder)
    said, set_to = lines(capsys), f"  METAOPT_DATA is {folder}"
    expected = {
        "": ["  METAOPT_DATA is not set; it names the folder of data that metaopt data fetch fills"],
        "nowhere": [f"  METAOPT_DATA is {folder}, which is no folder"],
        "empty": [f"{set_to}; metaopt data list says what can be fetched", "  no data set is there"],
        "full": [f"{set_to}; metaopt data list says what can be fetched", "  mri/ixi_t1_2mm", "  natural/set5"],
    }[given]
    start = said.index("data") + 1
    assert said[start : said.index("weights")] == expected


REQUIRES = [
    "torch<2.14,>=2.6",
    "numpy",
    'pytest; extra == "present"',
    'pytest; extra == "partly"',
    'no-such-package>=3; python_version >= "3.10" and extra == "partly"',
    'ruff; extra == "dev"',
    'metaopt-torch[partly,present]; extra == "all"',
]


def test_extras_say_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)
    said, version = lines(capsys), metadata.version("pytest")
    assert said[said.index("extras") + 1 :] == [
        f"  present: pytest {version}",
        f"  partly: pytest {version}, no-such-package is missing: pip install 'metaopt-torch[partly]'",
    ]


def test_a_folder_of_sources_that_is_not_installed_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert lines(capsys)[-1] == "  metaopt-torch is not installed, so its extras are unknown: pip install metaopt-torch"
