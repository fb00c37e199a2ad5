"""Which objects the configuration of a run folder may name, and where modules of the user's own are found.

A folder may come from others, and building what it names would run their code. Its configuration is read as text;
before anything is imported, each `_target_` must be one of BUILT, or lie in a module that the user has named.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object

from annealtrain.errors import InputError, nearest

log = logging.getLogger(__name__)
# All that a run is made of, by module. tests/test_trust.py holds it to the shipped YAML.
BUILT = {
    "annealtrain.data.array_files": ("arrays",),
    "annealtrain.data.datasets": ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist"),
    "annealtrain.data.image_folders": ("folder",),
    "annealtrain.data.sklearn_sets": ("sklearn",),
    "annealtrain.nn.conv2d": ("Conv2d",),
    "annealtrain.nn.layers": (*("AvgPool2d", "Conv2d", "Flatten", "Linear", "MaxPool2d", "Pad", "SpectralPool2d"),),
    "annealtrain.nn.pooling": ("AvgPool2d", "MaxPool2d"),
    "annealtrain.nn.spectral_pool": ("SpectralPool2d",),
    "annealtrain.nn.torch_models": ("ResNet8", "VGGAirbench", "VGGSmall", "ViTTiny"),
    "annealtrain.optimizers.backprop": ("Backpropagation",),
    "annealtrain.optimizers.gauss_newton": ("GaussNewton",),
    "annealtrain.optimizers.kronecker": ("Kronecker",),
    "annealtrain.optimizers.layerwise": ("Layerwise", "difference", "pinv", "pinv_weighted"),
    "annealtrain.optimizers.rest": ("adamw", "frozen", "sgd"),
    "annealtrain.optimizers.targets": (*("DifferenceTargets", "PseudoInverseTargets", "WeightedPseudoInverseTargets"),),
    "annealtrain.schedule": (
        *("ConstantSchedule", "DropSchedule", "GeometricSchedule", "LinearSchedule", "StepSchedule"),
    ),
    "annealtrain.solvers.annealing.path_integral": ("SimulatedQuantumAnnealing",),
    "annealtrain.solvers.annealing.reference": ("ReferenceAnnealing",),
    "annealtrain.solvers.annealing.simulated_annealing": ("SimulatedAnnealing",),
    "annealtrain.solvers.coordinate_descent": ("CoordinateDescent", "RoundedLeastSquares"),
    "annealtrain.solvers.decompose": ("Decompose",),
    "annealtrain.solvers.dimod_samplers": ("DimodSolver", "neal", "path_integral", "steepest", "tabu"),
    "annealtrain.solvers.dwave.quantum_annealing": ("QuantumAnnealing",),
    "annealtrain.solvers.exact": ("Exact",),
    "annealtrain.solvers.gate_model.imaginary_time": ("ImaginaryTimeCircuit",),
    "annealtrain.solvers.lattice.babai": ("Babai", "Klein"),
    "annealtrain.solvers.lattice.beam": ("Beam",),
    "annealtrain.solvers.sparse": ("Sparse",),
    "dwave.samplers": (
        *("PathIntegralAnnealingSampler", "SimulatedAnnealingSampler", "SteepestDescentSampler", "TabuSampler"),
    ),
}
logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # what cannot be found is told here, in one line
ALLOWED = frozenset(f"{module}.{name}" for module, names in BUILT.items() for name in names)
# Arguments that are paths which the object writes to. All others that are paths are only read.
WRITTEN = {"annealtrain.solvers.dwave.quantum_annealing.QuantumAnnealing": ("cache", "_args_")}
SHOWN = 80  # characters of a foreign name in a message


def check(config: Any, trust: str | Sequence[str] = ()) -> None:
    """Raise InputError for the first object in a folder's configuration that is not to be built.

    trust: modules of the user's own, or full names of single objects. Those are imported, and nothing else: what is
    named in them must also be defined there, so that `mine.os.system` is not let in with `mine`.
    """
    words = _words(trust)
    for place, value in _values(config):
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise InputError(f"{place}={shown(value)} stands for another value: a run writes the value itself")
        if _is_target(place) and not isinstance(value, str):
            raise InputError(f"{place}={shown(value)} is not the name of a class")
    own = [(place, target) for place, target in _targets(config) if target not in ALLOWED]
    for place, target in own:
        if not any(_covers(word, target) for word in words):
            raise InputError(_refusal(place, target))
    for place, target, path in _written(config):
        if not any(_covers(word, target) for word in words):
            raise InputError(
                f"{place}={shown(path)} is a path that this run would write to: "
                f"if you know it, add --trust {_module(target)}"
            )
    open_path(config)
    needed = [*(target for _, target in own), *(target for _, target, _ in _written(config))]
    for place, target in own:
        home = target if target in words else _home(place, target)
        if home not in ALLOWED and not any(_covers(word, home) for word in words):
            raise InputError(
                f"{place}={shown(target)} is defined elsewhere, in {shown(home)}: "
                f"if it is to be built, add --trust {shown(target)}"
            )
        needed.append(home)
    for word in words:
        if not any(_covers(word, target) for target in needed):
            log.warning("--trust %s lets nothing in: the run names nothing of it", shown(word))


def named(config: Any) -> tuple[str, ...]:
    """Return the objects that a configuration of the user's own words lets in: not of this package, or that write."""
    of_others = (target for _, target in _targets(config) if target not in ALLOWED)
    return tuple(dict.fromkeys([*of_others, *(target for _, target, _ in _written(config))]))


def flags(config: Any) -> list[str]:
    """Return the options with which a later command builds what a configuration names: ["--trust", "mine"]."""
    modules = dict.fromkeys(_module(target) for target in named(config))
    return [word for module in modules for word in ("--trust", module)]


def open_path(config: Any) -> None:
    """Let modules beside where the command was called be found, last, where a configuration names one of them."""
    if all(target.startswith("annealtrain.") for target in named(config)):
        return
    try:  # a job of a sweep may work in its own folder
        place = HydraConfig.get().runtime.cwd if HydraConfig.initialized() else os.getcwd()
    except OSError:  # a working directory that is gone
        return
    if place not in sys.path:
        sys.path.append(place)


def locate_all(what: str, node: Any) -> None:
    """Import what a node names that is not of this package; InputError in one line for the first that cannot be."""
    open_path(node)
    for place, target in _targets(node):
        if target not in ALLOWED:
            located(target, f"{what}.{place}".replace(".[", "["))


def located(target: Any, place: str) -> Any:
    """Return what a full name is of; InputError where there is none: the same line, whichever command asks for it."""
    if not isinstance(target, str):
        raise InputError(
            f"{place}={shown(target)} is no name: write that of a class or function, such as my_module.Name"
        )
    teller = logging.getLogger("hydra.utils")  # it logs each error that it raises
    was, teller.disabled = teller.disabled, True
    try:
        return get_object(target)
    except Exception as error:  # whatever importing a module of the user's raises
        raise InputError(f"{place}={shown(target)}{_unlocated(target, error)}") from error
    finally:
        teller.disabled = was


def _unlocated(target: str, error: BaseException) -> str:
    """Return why a name is of nothing, as the end of a message."""
    module, _, name = target.rpartition(".")
    if target.startswith("annealtrain."):
        names = {known.rpartition(".")[2]: known for known in ALLOWED}
        close = nearest(name, names)
        full = f"; did you mean {names[close.split(chr(39))[1]]}?" if close else ""
        return f" is nothing that annealtrain has{full}"
    if module in sys.modules and not hasattr(sys.modules[module], name):
        close = nearest(name, [one for one in vars(sys.modules[module]) if not one.startswith("_")])
        return f": {module} has no {name}{close}{hidden({'_target_': target})}"
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ModuleNotFoundError) and error.name and f"{target}.".startswith(f"{error.name}."):
        top = error.name.partition(".")[0]
        if error.name == top:
            remedy = f"call from the folder that holds {top}.py, or name that folder in PYTHONPATH"
            return f": there is no module {top} in {shown(os.getcwd(), keep_end=True)}, nor is one installed: {remedy}"
    return f" cannot be imported: {' '.join(str(error).split())}{hidden({'_target_': target})}"


def hidden(config: Any) -> str:
    """Return a remark where a module beside the call has the name of another that is found before it, else ""."""
    for top in dict.fromkeys(target.partition(".")[0] for target in named(config)):
        found = getattr(sys.modules.get(top), "__file__", None) or getattr(sys.modules.get(top), "__name__", None)
        here = next((path for path in (f"{top}.py", os.path.join(top, "__init__.py")) if os.path.isfile(path)), None)
        if found and here and not (os.path.exists(found) and os.path.samefile(found, here)):
            return f" ({found} is found before {here}: give that another name)"
    return ""


def _values(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value of a configuration that is no mapping and no list, and each target, with its place."""
    waiting = [("", config)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, dict) and not _is_target(place):
            waiting += [(f"{place}.{key}" if place else str(key), value) for key, value in reversed(node.items())]
        elif isinstance(node, list) and not _is_target(place):
            waiting += [(f"{place}[{k}]", value) for k, value in reversed(list(enumerate(node)))]
        else:
            yield shown(place, keep_end=True), node


def _targets(config: Any) -> Iterator[tuple[str, str]]:
    return ((place, value) for place, value in _values(config) if _is_target(place) and isinstance(value, str))


def _written(config: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield each path that an object of a configuration would write to, with its place and the object."""
    if isinstance(config, list):
        for k, value in enumerate(config):
            yield from _written(value, f"{place}[{k}]")
    if isinstance(config, dict):
        target = config.get("_target_")
        for name in WRITTEN.get(target, ()) if isinstance(target, str) else ():
            if config.get(name):
                yield f"{place}.{name}".lstrip("."), str(target), config[name]
        for key, value in config.items():
            yield from _written(value, f"{place}.{key}".lstrip("."))


def _is_target(place: str) -> bool:
    return place.rpartition(".")[2] == "_target_"


def _refusal(place: str, target: str) -> str:
    known = "solvers, optimizers, models, layers, schedules or datasets"
    line = f"{place}={shown(target)} is not one of annealtrain's {known}"
    if not _is_dotted(target) or "." not in target:
        return f"{line}, nor the full name of another class"
    if target.partition(".")[0] == "annealtrain":
        return f"{line}: a run that this version writes names no other part of it"
    return f"{line}, and building it runs its code: if you know it, add --trust {shown(_module(target))}"


def _module(target: str) -> str:
    """Return the module that a name lies in, told by its words alone: up to the first that looks like a class."""
    return ".".join(takewhile(lambda part: not part[:1].isupper(), target.split(".")[:-1])) or target


def _covers(word: str, target: str) -> bool:
    return target == word or target.startswith(f"{word}.")


def _home(place: str, target: str) -> str:
    """Return where an object is defined, which may be elsewhere than where it is taken from."""
    found = located(target, place)
    return f"{getattr(found, '__module__', None) or 'builtins'}.{getattr(found, '__qualname__', type(found).__name__)}"


def _words(trust: str | Sequence[str]) -> tuple[str, ...]:
    words = (trust,) if isinstance(trust, str) else tuple(trust)
    for word in words:
        if not isinstance(word, str) or not _is_dotted(word):
            raise InputError(f"--trust {shown(word)} is not the name of a module, such as my_solver")
    return words


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def shown(text: Any, *, keep_end: bool = False) -> str:
    """Return a foreign text as a message may hold it: short, and in ASCII, as some letters look like others."""
    whole = ascii(str(text))[1:-1]
    return whole if len(whole) <= SHOWN else f"...{whole[-SHOWN:]}" if keep_end else f"{whole[:SHOWN]}..."
