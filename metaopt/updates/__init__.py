"""Updates: rules that turn a gradient into a change of x."""

from .ablation import WithoutEstimate, WithoutMemory
from .adam import Adam, AdamW
from .conv_gru import ConvGru, ConvGruCell, EachPart, RealImaginary
from .coupling import Coupling, GradientReader, Writer
from .learned import CoordinatewiseLstm, LearnedAdam, Perceptron, Recurrent, log_and_sign
from .messages import GraphCorrection, LearnedDamping, LearnedEvidence, LearnedWeights
from .meta_lstm import MetaLstm
from .meta_sgd import MetaSgd
from .momentum import Momentum, Nesterov
from .rmsprop import RMSprop
from .sgd import Sgd
from .torch_optim import TorchOptim
from .update import Update

__all__ = [
    "Adam",
    "AdamW",
    "ConvGru",
    "ConvGruCell",
    "CoordinatewiseLstm",
    "Coupling",
    "EachPart",
    "GradientReader",
    "GraphCorrection",
    "LearnedAdam",
    "LearnedDamping",
    "LearnedEvidence",
    "LearnedWeights",
    "MetaLstm",
    "MetaSgd",
    "Momentum",
    "Nesterov",
    "Perceptron",
    "RMSprop",
    "RealImaginary",
    "Recurrent",
    "Sgd",
    "TorchOptim",
    "Update",
    "WithoutEstimate",
    "WithoutMemory",
    "Writer",
    "log_and_sign",
]
