"""The types of the public names, which are imported when they are asked for."""

from annealtrain import torch as torch
from annealtrain.commands.api import LayerProblem as LayerProblem
from annealtrain.commands.api import Run as Run
from annealtrain.commands.api import load as load
from annealtrain.commands.api import train as train
from annealtrain.commands.estimators import AnnealClassifier as AnnealClassifier
from annealtrain.commands.estimators import AnnealRegressor as AnnealRegressor
from annealtrain.hamiltonian import instances as instances
from annealtrain.optimizers.quantization.api import quantize as quantize
from annealtrain.optimizers.quantization.rounding import quantize_layer as quantize_layer
from annealtrain.solvers.annealing.api import anneal as anneal
from annealtrain.solvers.ising_solver import IsingSolver as IsingSolver
from annealtrain.solvers.time_to_solution import tts as tts

__version__: str
