"""What a solve looks at while it works: shares of the work that are told, one call at a time."""

import math
import threading

from annealtrain.runtime import thread_pool
from annealtrain.solvers.deadline import UNWATCHED, Watch


def test_work_is_told_in_units_of_as_many_chains():
    told = []
    watch = Watch(tell=told.append, chains=4)
    for chains in (1, 2, 0.5, 4.5):
        watch.worked(chains)
    assert told == [0.25, 0.75, 0.875, 2.0]


def test_rounding_does_not_pile_up():
    """A thousand thousandths are one unit, told as 1 and not as .9999999999."""
    told = []
    watch = Watch(tell=told.append)
    for _ in range(1000):
        watch.worked(0.001)
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_threads_tell_one_at_a_time_and_lose_nothing():
    inside, told = threading.Lock(), []

    def tell(done):
        assert inside.acquire(blocking=False)  # no one else is telling
        told.append(done)
        inside.release()

    watch = Watch(tell=tell, chains=2)
    with thread_pool.threads(4):
        thread_pool.parallel_map(lambda _: watch.worked(1), range(200))
    assert told == [k / 2 for k in range(1, 201)]


def test_nobody_need_watch():
    UNWATCHED.worked(1)
    assert UNWATCHED.deadline == math.inf
