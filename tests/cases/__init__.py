"""Every algorithm with a tiny problem: one row gets all laws of ``test_laws.py``."""

from .graphs import GRAPHS
from .inference import INFERENCE
from .priors import PRIORS
from .rims import RIMS
from .updates import OPTIMIZERS

CASES = [*OPTIMIZERS, *PRIORS, *INFERENCE, *GRAPHS, *RIMS]
