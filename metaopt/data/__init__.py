"""Read pictures, volumes, visibilities, graphical models and codes, and fetch the data sets that the library knows."""

from .datasets.digits import read_digits, read_mnist
from .datasets.folders import read_pictures, read_slices
from .datasets.magnitudes import read_magnitudes
from .datasets.omniglot import read_omniglot
from .datasets.planetoid import read_planetoid
from .datasets.skies import read_galaxies
from .fetch import fetch_source
from .formats.alist import read_alist, read_generator, read_sparse_alist
from .formats.ct import Ct, read_ct
from .formats.ct_mask import Mask, read_mask, write_mask
from .formats.fastmri import write_fastmri
from .formats.images import Picture, check_writable, read_image, write_image
from .formats.kspace import KSpace
from .formats.measurement_set_writer import write_measurement_set
from .formats.nifti import write_nifti
from .formats.open_kspace import open_kspace
from .formats.open_visibilities import read_coverage, read_visibilities
from .formats.sky_picture import SkyPicture, read_sky_picture, write_sky_picture
from .formats.swc import SwcNodes, read_swc, write_swc
from .formats.uai import UaiModel, read_evidence, read_uai, write_evidence, write_uai
from .formats.uai_answers import (
    read_assignment,
    read_log10_z,
    read_marginals,
    write_assignment,
    write_log10_z,
    write_marginals,
)
from .formats.uai_graphs import factor_graph, uai_model
from .formats.visibility_arrays import write_visibilities
from .formats.visibility_set import Antennas, VisibilityChunk, VisibilitySet
from .location import data_path
from .sources import Source, SourceFile, read_source, source_names

__all__ = [
    "Antennas",
    "Ct",
    "KSpace",
    "Mask",
    "Picture",
    "SkyPicture",
    "Source",
    "SourceFile",
    "SwcNodes",
    "UaiModel",
    "VisibilityChunk",
    "VisibilitySet",
    "check_writable",
    "data_path",
    "factor_graph",
    "fetch_source",
    "open_kspace",
    "read_alist",
    "read_assignment",
    "read_coverage",
    "read_ct",
    "read_digits",
    "read_evidence",
    "read_galaxies",
    "read_generator",
    "read_image",
    "read_log10_z",
    "read_magnitudes",
    "read_marginals",
    "read_mask",
    "read_mnist",
    "read_omniglot",
    "read_pictures",
    "read_planetoid",
    "read_sky_picture",
    "read_slices",
    "read_source",
    "read_sparse_alist",
    "read_swc",
    "read_uai",
    "read_visibilities",
    "source_names",
    "uai_model",
    "write_assignment",
    "write_evidence",
    "write_fastmri",
    "write_image",
    "write_log10_z",
    "write_marginals",
    "write_mask",
    "write_measurement_set",
    "write_nifti",
    "write_sky_picture",
    "write_swc",
    "write_uai",
    "write_visibilities",
]
