"""`annealtrain quantize`: a network of n-bit weights from a run folder, a PyTorch module or an ONNX file."""

import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.commands import streams
from annealtrain.commands.progress import one_line
from annealtrain.commands.quantize_folder import QuantizedFolder
from annealtrain.commands.train import Interrupted
from annealtrain.errors import InputError
from annealtrain.experiment.builder import solver_of
from annealtrain.experiment.config import Config, config_text, threads_of
from annealtrain.experiment.networks import Given, given_network
from annealtrain.experiment.quantize_config import compose_quantize, grids_of
from annealtrain.optimizers.quantization.codes import sizes
from annealtrain.optimizers.quantization.network import Method, QuantizedLayer, Told, check, quantized
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runs import checksums, lock
from annealtrain.runs.provenance import peak_memory_mb, provenance
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.validation import in_one_line


def quantize(
    network: Path | None,
    words: Sequence[str],
    *,
    config_dir: str | None = None,
    output: Path | None = None,
    trusted: Sequence[str] = (),
    data_dir: str | None = None,
    command: str,
) -> None:
    """Quantise a network, print a line a layer and a summary; go on where an earlier call into the folder has ended.

    network: a run folder or an ONNX file, or None: a PyTorch module that model._target_ names. output: the folder, None
    for a new one under outputs/quantize. trusted: modules whose objects may be built of a run's configuration.
    data_dir: where a run's data are on this machine.
    """
    is_run = network is not None and network.is_dir()
    config = compose_quantize(words, config_dir, is_run=is_run)
    if network is not None and not is_run and (unread := [word for word in words if of_module(word)]):
        raise InputError(f"{unread[0]}: {network} is an ONNX file, which has its own network: leave it out")
    method = method_of(config)
    folder = output or Path("outputs/quantize") / f"{datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
    with thread_pool.threads(threads_of(config)):
        given = given_network(network, config, trusted, data_dir)
        grids = grids_of(config, given.source.names)
        check(given.source, grids, method)
        record = QuantizedFolder(folder)
        digest = fingerprint(config, given)
        record.refuse_foreign(digest)
        with lock.exclusive(record.made(), lambda: streams.note(f"another process is at work on {folder}: waiting")):
            record.remove_parts()
            if record.is_finished():
                streams.say(f"This network is quantised and left as it is.\n{summary(record.result(), folder)}")
                return
            record.begin(config_text(config), provenance(config["seed"], command, digest) | {"network": given.about})
            memory.keep_freed()
            result = _quantized(given, grids, method, record, config["progress"], command)
    streams.say(summary(result, folder))


def of_module(word: str) -> bool:
    """Whether a word sets what only a PyTorch module is made of."""
    return word.lstrip("+~").partition("=")[0].partition(".")[0] in ("model", "state_dict")


def method_of(config: Config) -> Method:
    """Return how layers are to be quantised."""
    names = ("rounds", "damping", "compensate", "refit_bias", "objective", "seed")
    solver = solver_of(config).resolve_schedules(0, 1)
    return Method(solver, **{name: config[name] for name in names})


def fingerprint(config: Config, given: Given) -> str:
    """Return a digest of all that the result depends on: the settings, and the float weights."""
    indifferent = ("threads", "progress", "data_dir")
    digest = hashlib.sha256(
        config_text({key: value for key, value in config.items() if key not in indifferent}).encode()
    )
    for k in range(len(given.source.names)):
        digest.update(np.ascontiguousarray(given.source.weights(k)).tobytes())
    return digest.hexdigest()[:16]


def _quantized(
    given: Given, grids: Sequence[Any], method: Method, record: QuantizedFolder, live: Any, command: str
) -> Row:
    source = given.source
    done, layers = record.layers(source, grids), list[QuantizedLayer]()
    try:
        before = given.scores()
        with _display(live, source) as told:
            found = quantized(source, given.calibration, given.held_out, grids, method, done=done, progress=told)
            for layer in found:
                k = source.names.index(layer.name)
                if k not in done:
                    record.save_layer(k, layer)
                layers.append(layer)
                streams.say(layer_line(layer))
        whole, packed = sizes(source, layers)
        after = given.scores()
        result = {
            "float": before,
            "quantized": after,
            "held_out_kl": divergence(source, given.held_out),
            "bytes": {"float": whole, "quantized": packed},
            "layers": len(layers),
            "weights": int(sum(layer.levels.size for layer in layers)),
            "seconds": float(sum(layer.row["seconds"] for layer in layers)),
            "peak_memory_mb": peak_memory_mb(),
        }
        return record.finish(given, layers, result)
    except KeyboardInterrupt:
        count, kept = sum(grid is not None for grid in grids), len(record.layers(source, grids))
        words = command if "--output" in command else f"{command} --output {shlex.quote(str(record.folder))}"
        raise Interrupted(f"interrupted: {kept} of {count} layers are kept; to go on: {words}") from None


def divergence(source: Source, samples: Any) -> float | None:
    """Return the mean Kullback-Leibler divergence of the outputs' probabilities from those of the float network."""
    total = 0.0
    for part in thread_pool.chunks(len(samples), 256):
        x = source.block(samples, part)
        exact, now = (_log_probabilities(source.outputs(x, is_float=one)) for one in (True, False))
        total += float((np.exp(exact) * (exact - now)).sum())
    found = total / len(samples)
    return found if np.isfinite(found) else None


def _log_probabilities(outputs: Array) -> Array:
    shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


@contextmanager
def _display(wanted: Any, source: Source) -> Iterator[Told | None]:
    """A live line of the layers while the body runs; None where there is none."""
    if not (wanted is True or (wanted == "auto" and sys.stderr.isatty())):
        yield None
        return
    from rich.console import Console
    from rich.markup import escape

    progress = one_line(Console(file=sys.stderr), "layer")
    task = progress.add_task("", total=len(source.names), what="")
    with progress:
        yield lambda k, share: progress.update(task, completed=k + share, what=escape(source.names[k]))


def summary(result: Mapping[str, Any], folder: Path) -> str:
    """Return the last lines: layers that stay float, norms that are folded, scores, bytes, seconds, where it lies."""
    names = [name for name in result["float"] if name.endswith(("accuracy", "r2", "rmse"))]
    left: dict[str, list[str]] = {}
    for name, why in (result["network"].get("left") or {}).items():
        left.setdefault(in_one_line(why), []).append(in_one_line(name))
    lines = [f"still float, {why}: {', '.join(held)}" for why, held in left.items()]
    if folded := result["network"].get("folded"):
        lines.append(f"folded into the layers before them: {', '.join(map(in_one_line, map(str, folded)))}")
    lines += [in_one_line(str(note), 400) for note in result["network"].get("notes") or []]
    for kind in ("float", "quantized"):
        scores = "  ".join(
            f"{name.removesuffix('_accuracy')} {result[kind].get(name, float('nan')):.4f}" for name in names
        )
        size = memory.readable(result["bytes"][kind])
        lines.append(f"{kind:9}  {scores}  {size}")
    held = result["peak_memory_mb"]
    lines.append(f"{result['seconds']:.1f} s" + (f", peak memory {held:.0f} MB" if held else ""))
    return "\n".join([*lines, f"folder: {folder.absolute()}"])


def checked(folder: Path) -> str:
    """Return lines on a finished folder, for one who has not the network it is of.

    Raises InputError where it is not finished, or a file of it is not what was written.
    """
    record = QuantizedFolder(folder)
    if not record.is_finished():
        raise InputError(f"the network in {folder} is not quantised to its end: the same annealtrain quantize goes on")
    result = record.result()
    told = "Its files are what annealtrain quantize wrote; the scores are those of then."
    if "checksums" not in result:
        told = checksums.UNSEALED
    return f"{told}\n{summary(result, folder)}"


def layer_line(layer: QuantizedLayer) -> str:
    """Return a line of a layer that is done."""
    row = layer.row
    held = "" if row["held_out_error"] is None else f"  held out {row['held_out_error']:.4g}"
    return (
        f"{in_one_line(row['name'])}: {row['units']} x {row['inputs']}, {row['levels']} levels, "
        f"error {row['error'] or 0:.4g}{held}, {row['seconds']:.1f} s"
    )
