"""Updates are the rules that turn a gradient into a change of x."""

from .ablation import WithoutEstimate, WithoutMemory
from .adam import Adam, AdamW
from .complex import ComplexAsBatch, ComplexAsChannels
from .conv_gru import ConvGru
from .learned import CoordinatewiseLstm, LearnedAdam
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
    "ComplexAsBatch",
    "ComplexAsChannels",
    "ConvGru",
    "CoordinatewiseLstm",
    "LearnedAdam",
    "MetaLstm",
    "MetaSgd",
    "Momentum",
    "Nesterov",
    "RMSprop",
    "Sgd",
    "TorchOptim",
    "Update",
    "WithoutEstimate",
    "WithoutMemory",
]
