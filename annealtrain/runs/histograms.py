"""Histograms of a run's weights: the rows of histograms.csv."""

from collections.abc import Sequence

import numpy as np

from annealtrain.runs.contents import HISTOGRAM
from annealtrain.runtime.array_types import Array, Row

LARGEST, SMALLEST = 1e100, 1e-100  # of the sizes that bins are made for


def rows_of(epoch: int, weights: Sequence[Array], bins: int) -> list[Row]:
    """Return a row for each layer and bin: how many weights lie from low to below high, in the last bin also there.

    The bins of a layer are equally wide and go from -w to w, w being the size of its largest weight; from -1 to 1 where
    all are 0. Weights that are no number below LARGEST in size are in no bin.
    """
    rows: list[Row] = []
    for k, held in enumerate(weights):
        own = held[np.abs(held) < LARGEST]
        largest = float(np.abs(own).max(initial=0.0))
        reach = largest if largest > SMALLEST else 1.0
        counts, edges = np.histogram(own, bins, (-reach, reach))
        for at, count in enumerate(counts):
            values = (epoch, k, at, float(edges[at]), float(edges[at + 1]), int(count))
            rows.append(dict(zip(HISTOGRAM, values, strict=True)))
    return rows
