"""Draw problems with their targets, on which networks are trained and validated."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
from .airways import AirwayCts, AirwayGraphs, AirwayScenes, read_people
from .benchmark_functions import (
    BENCHMARK_FUNCTIONS as BENCHMARK_FUNCTIONS,  # a table, which the reference pages cannot show
)
from .benchmark_functions import BenchmarkFunction, BenchmarkFunctions
from .branching import BranchingGraphs, tree_edges
from .channels import ReceivedCodewords, awgn, bursty, generator_matrix, random_codewords
from .coils import coil_maps
from .decoding import Decoding, code_graph
from .few_shot import FewShot, Sinusoids
from .images import (
    Deblurring,
    Denoising,
    Inpainting,
    Mixture,
    RandomProjections,
    SuperResolution,
    block_projection,
    grey_levels,
    shrinking,
)
from .mri import UndersampledMri, smooth_phase
from .optimizees import (
    IllConditioned,
    LogisticRegression,
    Quadratics,
    RobustRegression,
    Rosenbrock,
    UniformQuadratics,
)
from .patches import Patches, pool
from .random_fields import RandomFactors, RandomFields, RandomNetworks, ising, structure
from .sparse import SparseCodes
from .task import FirstOrderTask, Task, held_out
from .trainings import NetworkTrainings, conv_net, mlp

if TYPE_CHECKING:
    from .radio.imaging import RadioImaging
    from .radio.skies import Skies

__all__ = [
    "AirwayCts",
    "AirwayGraphs",
    "AirwayScenes",
    "BenchmarkFunction",
    "BenchmarkFunctions",
    "BranchingGraphs",
    "Deblurring",
    "Decoding",
    "Denoising",
    "FewShot",
    "FirstOrderTask",
    "IllConditioned",
    "Inpainting",
    "LogisticRegression",
    "Mixture",
    "NetworkTrainings",
    "Patches",
    "Quadratics",
    "RadioImaging",
    "RandomFactors",
    "RandomFields",
    "RandomNetworks",
    "RandomProjections",
    "ReceivedCodewords",
    "RobustRegression",
    "Rosenbrock",
    "Sinusoids",
    "Skies",
    "SparseCodes",
    "SuperResolution",
    "Task",
    "UndersampledMri",
    "UniformQuadratics",
    "awgn",
    "block_projection",
    "bursty",
    "code_graph",
    "coil_maps",
    "conv_net",
    "generator_matrix",
    "grey_levels",
    "held_out",
    "ising",
    "mlp",
    "pool",
    "random_codewords",
    "read_people",
    "shrinking",
    "smooth_phase",
    "structure",
    "tree_edges",
]

__getattr__ = on_demand(__name__, {"RadioImaging": ".radio.imaging", "Skies": ".radio.skies"})
