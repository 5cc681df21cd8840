"""Lead from files of visibilities and pictures of the sky to others, as the commands of radio astronomy do."""

from .beam import fit_beam, restore
from .describe import describe
from .image import Fact, Source
from .image_file import Imaged, Request, image_file
from .methods import Imaging
from .simulate import Observation, simulate, simulate_file

__all__ = [
    "Fact",
    "Imaged",
    "Imaging",
    "Observation",
    "Request",
    "Source",
    "describe",
    "fit_beam",
    "image_file",
    "restore",
    "simulate",
    "simulate_file",
]
