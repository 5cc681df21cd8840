"""Lead from files of visibilities and pictures of the sky to others, as the commands of radio astronomy do."""

from .describe import describe
from .simulate import Observation, simulate, simulate_file

__all__ = ["Observation", "describe", "simulate", "simulate_file"]
