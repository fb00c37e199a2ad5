"""Seconds by stage of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from annealtrain.runtime.array_types import Row

STAGES = ("forward_s", "targets_s", "build_s", "anneal_s", "bound_s", "evaluate_s")


class StageTimer:
    """Seconds by stage since they were last taken."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def take(self) -> Row:
        row: Row = {**self.seconds, "total_s": sum(self.seconds.values())}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        return row
