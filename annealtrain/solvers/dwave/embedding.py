"""Disjoint cliques side by side on a quantum annealer's working graph, found once and kept on disk.

A layer's Hamiltonian couples all its spins, so a unit needs a clique: each spin becomes a chain of qubits.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annealtrain.errors import InputError
from annealtrain.runtime import files

if TYPE_CHECKING:
    import networkx

log = logging.getLogger(__name__)
MOST_BYTES = 100_000_000  # of a file of embeddings
Tile = list[list[int]]  # the chain of qubits of each spin


def cache_folder() -> Path:
    """Return where embeddings are kept: $XDG_CACHE_HOME/annealtrain/embeddings, else under ~/.cache."""
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "annealtrain" / "embeddings"


def clique_tiles(graph: "networkx.Graph", size: int, count: int, folder: Path) -> list[Tile]:
    """Return up to `count` disjoint embeddings of a clique of `size` spins: fewer where no more fit, [] if none does.

    graph: a chip's working qubits and couplers. They are read from `folder` where they were found before.
    """
    path = folder / f"{graph_hash(graph)}-{size}x{count}.json"
    held = _read(path, graph, size, count)
    if held is not None:
        return held
    tiles = find_tiles(graph, size, count)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, json.dumps(tiles).encode(), "they are found anew in each run")
    except (OSError, InputError) as error:
        log.warning("embeddings cannot be kept in %s (%s): they are found anew in each run", folder, error)
    return tiles


def find_tiles(graph: "networkx.Graph", size: int, count: int) -> list[Tile]:
    """Return up to `count` disjoint clique embeddings, each found on the qubits that those before it left."""
    tiles: list[Tile] = []
    free = graph.copy()
    while len(tiles) < count:
        tile = find_clique(free, size)
        if not tile:
            break
        free.remove_nodes_from(qubit for chain in tile for qubit in chain)
        tiles.append(tile)
    log.info("embedded %d of %d cliques of %d spins", len(tiles), count, size)
    return tiles


def find_clique(graph: "networkx.Graph", size: int) -> Tile:
    """Return one embedding of a clique, chains as short as can be, or [] where none fits."""
    from minorminer import busclique

    # On Zephyr graphs minorminer 0.2.22 does not return for 5 to 8 spins: part of a larger clique serves.
    searched = 9 if graph.graph.get("family") == "zephyr" and 5 <= size <= 8 else size
    found = busclique.find_clique_embedding(searched, graph, seed=0, use_cache=False)
    return [sorted(found[spin]) for spin in range(size)] if found else []


def clique_limit(graph: "networkx.Graph") -> int:
    """Return the spins of the largest clique that the working graph embeds."""
    fits, fails = 0, graph.number_of_nodes() + 1
    while fails - fits > 1:
        size = (fits + fails) // 2
        if find_clique(graph, size):
            fits = size
        else:
            fails = size
    return fits


def graph_hash(graph: "networkx.Graph") -> str:
    """Return a name for a working graph: its topology, qubits and couplers."""
    edges = sorted(sorted(edge) for edge in graph.edges)
    content = [graph.graph.get("name"), sorted(graph.nodes), edges]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _read(path: Path, graph: Any, size: int, count: int) -> list[Tile] | None:
    """Return the embeddings in a file, None where there is none or it is not whole."""
    try:
        tiles: list[Tile] = json.loads(files.read_text(path, MOST_BYTES))
        qubits = [qubit for tile in tiles for chain in tile for qubit in chain]
        whole = len(tiles) <= count and all(len(tile) == size for tile in tiles)
        if whole and len(set(qubits)) == len(qubits) and set(qubits) <= set(graph.nodes):
            return tiles
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        pass
    log.warning("%s is damaged: its embeddings are found anew", path)
    return None
