"""The folder of a quantised network, whole at any moment, from which a call goes on layer by layer.

config.yaml   the composed configuration       layers.csv    a row a layer: errors, scale, solver, seconds
meta.json     versions, command, seed, hash    result.json   written last: scores and bytes, float and quantised, and
layers/       the layers that are done                       checksums of all but drawings and layers/
                                               weights.npz, network.pt, network.onnx   dequantised weights
codes.npz, codes.pt   integer codes and steps  quantization.png, .pdf
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.experiment.networks import Given
from annealtrain.optimizers.quantization.codes import code_arrays, weight_arrays
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.optimizers.quantization.source import Source
from annealtrain.reports.quantization_plots import plot_quantization
from annealtrain.runs import checksums, contents, foreign, tables
from annealtrain.runtime import archives, files
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.foreign_text import cell
from annealtrain.runtime.validation import is_number

CONFIG, META, RESULT, TABLE, PARTS = contents.CONFIG, contents.META, contents.RESULT, "layers.csv", "layers"
MOST_LAYER = 16_000_000_000  # bytes of a file
REMEDY = "choose another --output, or put that right and call again"
TEXTS, ARRAYS = (CONFIG, META, TABLE), ("codes.npz", "weights.npz", "codes.pt", "network.pt", "network.onnx")
QUANTIZED = checksums.Kind(frozenset(TEXTS), TEXTS, ARRAYS, "annealtrain quantize", "choose another --output")
# Names of parts that a call leaves which is killed while it writes a file.
LEFT = re.compile(
    files.PART.format(name=rf"({'|'.join(map(re.escape, (*QUANTIZED.files, RESULT)))}|quantization\.(png|pdf))")
)
LEFT_LAYER = re.compile(files.PART.format(name=r"\d+\.npz"))


class QuantizedFolder:
    """Writes and reads one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sums: dict[str, str] = {}  # of the files that were written here

    def refuse_foreign(self, digest: str) -> None:
        """Raise InputError where the folder is of something else, or of other settings or weights."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file: choose another --output")
        if (self.folder / PARTS).is_symlink():
            raise InputError(f"{self.folder / PARTS} is a link, which would be written through: {REMEDY}")
        if not (self.folder / META).exists():
            if others := [path.name for path in self.folder.iterdir() if not self._is_begun(path)]:
                raise InputError(f"{self.folder} holds other files ({sorted(others)[0]}): {REMEDY}")
            return
        if tables.read_json(self.folder / META).get("config_hash") != digest:
            if self.is_finished():
                self.result()  # says so where it is that file that was changed
            raise InputError(
                f"{self.folder} holds a network of other settings or other weights: choose another --output"
            )

    @staticmethod
    def _is_begun(path: Path) -> bool:
        """Whether a file may lie in a folder of which nothing but the start has been made."""
        return path.name.startswith(".") or (path.name == PARTS and path.is_dir() and not any(path.iterdir()))

    def made(self) -> Path:
        """Make the folder, return it."""
        try:
            (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {self.folder} ({error.strerror}): choose another --output") from error
        return self.folder

    def begin(self, config: str, meta: Row) -> None:
        """Write what the call is, by which the folder is known, before all else; no more than is lacking."""
        held = tables.read_json(self.folder / META) if (self.folder / META).exists() else meta
        if held is meta or checksums.SEALED not in held:
            self._write_json(META, held | {checksums.SEALED: True})
        if foreign.text_of(self.folder / CONFIG) != config:
            self._write(CONFIG, config.encode("utf-8", "backslashreplace"))

    def remove_parts(self) -> None:
        """Remove what a call was writing when it was killed; to be called where no other is at work."""
        for folder, left in ((self.folder, LEFT), (self.folder / PARTS, LEFT_LAYER)):
            for path in folder.iterdir():
                if left.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)

    def is_finished(self) -> bool:
        return (self.folder / RESULT).exists()

    def result(self) -> Row:
        """Return the result; InputError where it, or a file that it has the checksum of, is not what was written."""
        path = self.folder / RESULT
        found = tables.read_json(path, "float", "quantized", "bytes", "seconds", "peak_memory_mb", "network")
        told = [found["seconds"], found["peak_memory_mb"] or 0]
        for part in (found["float"], found["quantized"], found["bytes"]):
            told += part.values() if isinstance(part, dict) else [None]
        if not all(is_number(value) for value in told) or not {"float", "quantized"} <= found["bytes"].keys():
            raise tables.not_of_a_run(path, "its scores are no numbers")
        network = found["network"]
        if not (isinstance(network, dict) and isinstance(network.get("left"), dict | None)):
            raise tables.not_of_a_run(path, "its network is no mapping")
        if not all(isinstance(network.get(name), list | None) for name in ("folded", "notes")):
            raise tables.not_of_a_run(path, "what is told of its network is no list")
        checksums.verify(self.folder, found, QUANTIZED)
        return found

    def layers(self, source: Source, grids: Sequence[Grid | None]) -> dict[int, QuantizedLayer]:
        """Return the layers that are done, up to the first that is not."""
        done: dict[int, QuantizedLayer] = {}
        for k, grid in enumerate(grids):
            if grid is None:
                continue
            path = self.folder / PARTS / f"{k}.npz"
            if not path.exists():
                break
            done[k] = _read_layer(path, source, k, grid)
        return done

    def save_layer(self, k: int, layer: QuantizedLayer) -> None:
        """Write a layer that is done."""
        arrays = {"levels": layer.levels, "scales": layer.scales}
        arrays |= {} if layer.bias_change is None else {"bias_change": layer.bias_change}
        self._write(f"{PARTS}/{k}.npz", _npz(arrays | {"row": np.array(json.dumps(layer.row))}))

    def finish(self, given: Given, layers: Sequence[QuantizedLayer], result: Row) -> Row:
        """Write all that others read, and last the result with checksums; return it."""
        rows = [layer.row for layer in layers]
        self._write(TABLE, tables.csv_text([row | {"name": cell(row["name"])} for row in rows]).encode())
        codes, weights = code_arrays(given.source, layers), weight_arrays(given.source, layers)
        self._write("codes.npz", _npz(codes))
        self._write("weights.npz", _npz(weights))
        exported, notes = given.exports(layers, codes)
        for name, content in exported.items():
            self._write(name, content)
        result["network"] = given.about | {"notes": notes}
        histograms = {layer.name: np.bincount(layer.levels.ravel(), minlength=layer.grid.levels) for layer in layers}
        plot_quantization(self.folder, rows, histograms)
        result = checksums.sealed(result, self.folder, self._sums, QUANTIZED)
        self._write_json(RESULT, result)
        return result

    def _write(self, name: str, content: bytes) -> None:
        files.write_atomically(self.folder / name, content, REMEDY)
        self._sums[name] = checksums.checksum(content)

    def _write_json(self, name: str, content: Row) -> None:
        self._write(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _npz(arrays: Mapping[str, Array]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def _read_layer(path: Path, source: Source, k: int, grid: Grid) -> QuantizedLayer:
    shape = source.weights(k).shape
    try:
        content = files.read_bytes(path, MOST_LAYER)
        parts: dict[str, Any] = archives.arrays(content, len(content))  # it is not packed
        levels, scales, row = parts["levels"], parts["scales"], json.loads(str(parts["row"]))
        if levels.shape != shape or levels.dtype.kind != "i" or scales.shape != (shape[0], grid.groups(shape[1])):
            raise ValueError("it is of another layer")
        if levels.min() < 0 or levels.max() > grid.top or not np.isfinite(scales).all() or not isinstance(row, dict):
            raise ValueError("its levels are not those of the grid")
    except Exception as error:  # a damaged zip may raise anything
        raise tables.unreadable(path, error) from error
    return QuantizedLayer(source.names[k], grid, levels, scales, parts.get("bias_change"), row)
