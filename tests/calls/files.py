"""Calls of viewers and of what reads and writes data; the files themselves are in the tests of their formats."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from metaopt import data, viewer
from metaopt.tasks.airways import AirwayTree

from . import NOT_A_CALL, Call
from .algorithms import grid


def place(name):
    return Path(tempfile.mkdtemp()) / name


def picture():
    return torch.full((1, 4, 4), 0.5)


def panels():
    return [torch.full((4, 4), 0.5), torch.full((4, 4), 0.6)]


def section(**changes):
    iterates = viewer.Iterates(panels(), [20.0, 21.0], 1)
    return viewer.Section(**{"title": "t", "text": "x", "target": panels()[0], "iterates": iterates, **changes})


def shown(parts):
    return [viewer.write_page(place("page"), [part], "title", "intro") for part in parts] and None


def kspace():
    path = place("k.npy")
    np.save(path, np.ones((4, 40, 36)) + 0j)
    return path


def airways():
    return AirwayTree(torch.tensor([-1]), [torch.tensor([[1.0, 2, 3], [4, 5, 6]])], [torch.ones(2)])


def chunk():
    ones = torch.ones(2, 3)
    numbers = torch.tensor([0, 0])
    return data.VisibilityChunk(ones.double(), ones + 0j, ones, ones[:, 0].double(), numbers, numbers + 1)


def visibilities():
    path = place("v.npz")
    data.write_visibilities(path, [chunk()], torch.tensor([1e9, 2e9, 3e9]))
    return path


def model():
    return data.uai_model(grid())


PLACE = ("path",)  # any path is a file that is written or missing: not tried, since some would be written here

VIEWER = {
    "Baseline": Call(
        viewer.Baseline,
        lambda: {"name": "tv", "picture": panels()[0], "psnr": 20.0, "path": [19.0, 20.0]},
        lambda baseline: shown([section(baselines=[baseline])]),
    ),
    "Iterates": Call(
        viewer.Iterates,
        lambda: {"estimates": panels(), "psnr": [20.0, 21.0], "trained_steps": 1, "method": "RIM"},
        lambda iterates: shown([section(iterates=iterates)]),
    ),
    "Row": Call(
        viewer.Row,
        lambda: {"method": "RIM", "psnr": 20.0, "ssim": 0.9, "steps": 1, "seconds_per_step": 0.1},
        lambda row: shown([section(rows=[row])]),
    ),
    "Section": Call(
        viewer.Section,
        lambda: {
            "title": "t",
            "text": "x",
            "target": panels()[0],
            "iterates": viewer.Iterates(panels(), [20.0, 21.0], 1),
            "given": {"y": panels()[0]},
        },
        lambda section: shown([section]),
    ),
    "save_strips": NOT_A_CALL,  # a figure takes seconds to draw
    "write_airway_page": Call(
        viewer.write_airway_page,
        lambda: {
            "path": place("page.html"),
            "volume": torch.zeros(8, 9, 10),
            "spacing": (1.0, 1.0, 1.0),
            "tree": airways(),
            "mask": torch.ones(8, 9, 10, dtype=torch.bool),
            "axes": "SPL",
            "title": "t",
            "columns": {"Side": ["left"]},
            "notes": ["n"],
        },
        free=("path",),
    ),
    "write_page": Call(
        viewer.write_page,
        lambda: {"folder": place("page"), "sections": [section()], "title": "t", "intro": "i"},
        lambda path: None,
        free=("folder",),
    ),
}

DATA = {
    "Ct": NOT_A_CALL,
    "Antennas": NOT_A_CALL,
    "KSpace": NOT_A_CALL,  # open_kspace makes it
    "Mask": NOT_A_CALL,
    "Picture": Call(data.Picture, lambda: {"pixels": picture(), "bits": 8}),
    "SkyPicture": Call(
        data.SkyPicture,
        lambda: {
            "pixels": torch.ones(3, 4, 4),
            "cell": 1e-5,
            "direction": (0.1, 0.2),
            "frequency": torch.tensor([1e9, 2e9, 3e9]),
            "unit": "JY/BEAM",
            "beam": (3e-5, 2e-5, 0.1),
        },
        lambda made: data.write_sky_picture(place("s.fits"), made),
    ),
    "Source": NOT_A_CALL,
    "SourceFile": NOT_A_CALL,
    "SwcNodes": NOT_A_CALL,
    "UaiModel": Call(
        data.UaiModel,
        lambda: {"cardinalities": [2, 2], "scopes": [(0, 1)], "tables": [np.ones((2, 2))], "kind": "MARKOV"},
    ),
    "VisibilityChunk": NOT_A_CALL,
    "VisibilitySet": NOT_A_CALL,  # read_visibilities makes it
    "check_writable": NOT_A_CALL,
    "data_path": NOT_A_CALL,
    "factor_graph": Call(data.factor_graph, lambda: {"model": model(), "evidence": {0: 1}}),
    "fetch_source": NOT_A_CALL,
    "open_kspace": Call(data.open_kspace, lambda: {"path": kspace()}, lambda found: found.read(0), PLACE),
    "read_alist": NOT_A_CALL,
    "read_assignment": NOT_A_CALL,
    "read_ct": NOT_A_CALL,
    "read_coverage": Call(data.read_coverage, lambda: {"path": visibilities()}, lambda found: found.read(), PLACE),
    "read_digits": Call(data.read_digits, lambda: {"first": 0, "last": 4}),
    "read_evidence": NOT_A_CALL,
    "read_generator": NOT_A_CALL,
    "read_image": NOT_A_CALL,
    "read_log10_z": NOT_A_CALL,
    "read_galaxies": NOT_A_CALL,
    "read_magnitudes": NOT_A_CALL,
    "read_marginals": NOT_A_CALL,
    "read_mask": NOT_A_CALL,
    "read_mnist": NOT_A_CALL,
    "read_omniglot": NOT_A_CALL,
    "read_pictures": NOT_A_CALL,
    "read_planetoid": NOT_A_CALL,
    "read_sky_picture": NOT_A_CALL,
    "read_slices": NOT_A_CALL,
    "read_sparse_alist": NOT_A_CALL,
    "read_source": Call(data.read_source, lambda: {"name": "natural/set5"}),
    "read_swc": NOT_A_CALL,
    "read_uai": NOT_A_CALL,
    "read_visibilities": Call(
        data.read_visibilities, lambda: {"path": visibilities()}, lambda found: found.read(), PLACE
    ),
    "source_names": NOT_A_CALL,
    "uai_model": Call(data.uai_model, lambda: {"graph": grid()}),
    "write_assignment": Call(
        data.write_assignment, lambda: {"path": place("a"), "states": [0, 1]}, lambda _: None, PLACE
    ),
    "write_evidence": Call(
        data.write_evidence, lambda: {"path": place("e"), "evidence": {0: 1}}, lambda _: None, PLACE
    ),
    "write_fastmri": Call(
        data.write_fastmri,
        lambda: {
            "path": place("k.h5"),
            "slices": [torch.ones(1, 4, 4) + 0j],
            "voxel": (1.0, 1.0, 1.0),
            "mask": torch.ones(4),
            "references": [torch.ones(4, 4)],
            "affine": torch.eye(4),
            "attributes": {"noise": 1.0},
        },
        lambda _: None,
        PLACE,
    ),
    "write_image": Call(
        data.write_image,
        lambda: {"path": place("p.png"), "picture": data.Picture(picture())},
        lambda _: None,
        PLACE,
    ),
    "write_log10_z": Call(data.write_log10_z, lambda: {"path": place("z"), "log10_z": 1.5}, lambda _: None, PLACE),
    "write_marginals": Call(
        data.write_marginals, lambda: {"path": place("m"), "marginals": [np.array([0.5, 0.5])]}, lambda _: None, PLACE
    ),
    "write_measurement_set": NOT_A_CALL,  # tests/data/formats/test_visibilities.py tries it
    "write_nifti": Call(
        data.write_nifti,
        lambda: {"path": place("v.nii"), "pictures": torch.ones(2, 4, 4), "voxel": (1.0, 1.0, 1.0)},
        lambda _: None,
        PLACE,
    ),
    "write_mask": NOT_A_CALL,
    "write_sky_picture": NOT_A_CALL,  # with SkyPicture
    "write_swc": NOT_A_CALL,
    "write_uai": Call(data.write_uai, lambda: {"path": place("u"), "model": model()}, lambda _: None, PLACE),
    "write_visibilities": Call(
        data.write_visibilities,
        lambda: {
            "path": place("v.npz"),
            "chunks": [chunk()],
            "frequency": torch.tensor([1e9, 2e9, 3e9]),
            "direction": (0.1, 0.2),
            "antennas": None,
        },
        lambda _: None,
        PLACE,
    ),
}
