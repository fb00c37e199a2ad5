"""What a solve looks at while it works: its deadline, and whom to tell how far it is."""

import math
import threading
from collections.abc import Callable


class Watch:
    """What a solve looks at between blocks of sweeps: its deadline (perf_counter), and whom to tell how far it is.

    tell(k): the work of k units is done, k need not be whole; called from any thread, one call at a time.
    chains: reads of each unit, so that one chain is 1 / chains of a unit's work.
    """

    def __init__(
        self, deadline: float = math.inf, tell: Callable[[float], None] | None = None, chains: int = 1
    ) -> None:
        self.deadline, self._tell, self._chains = deadline, tell, chains
        self._done, self._lock = 0.0, threading.Lock()

    def worked(self, chains: float) -> None:
        """Add the work of so many chains."""
        if self._tell:
            with self._lock:
                self._done += chains / self._chains
                self._tell(round(self._done, 6))


UNWATCHED = Watch()
