"""One BLAS thread while anyone needs it, whoever comes and goes, and whatever kind of library there is."""

import contextlib
import sys
import threading
from types import SimpleNamespace

import pytest

from annealtrain.runtime import blas


class Library:
    """A BLAS whose threads are the process's, or, with OpenMP, each thread's own."""

    def __init__(self, layer: str) -> None:
        self.filepath, self.threading_layer, self.shared = f"/lib/{layer}.so", layer, 4
        self.own = threading.local()

    @property
    def num_threads(self) -> int:
        return getattr(self.own, "count", 4) if self.threading_layer == "openmp" else self.shared

    def set_num_threads(self, count: int) -> None:
        self.own.count = self.shared = count


@pytest.fixture
def libraries(monkeypatch):
    found = [Library("pthreads"), Library("openmp")]
    select = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=found))
    monkeypatch.setattr(blas, "ThreadpoolController", lambda: select)
    blas.blas_libraries.cache_clear()
    yield found
    blas.blas_libraries.cache_clear()


def test_a_limit_of_each_thread_is_set_by_each_thread(libraries):
    held, seen = blas.OneThread(), []

    def other():
        with held.held():
            seen.append([library.num_threads for library in libraries])
        seen.append([library.num_threads for library in libraries])

    with held.held() as hold:
        assert [library.num_threads for library in libraries] == [1, 1]
        for job in (lambda: (hold(), seen.append([library.num_threads for library in libraries])), other):
            thread = threading.Thread(target=job)
            thread.start()
            thread.join(60)
        assert seen == [[1, 1], [1, 1], [1, 4]]
    assert [library.num_threads for library in libraries] == [4, 4]


def test_a_library_that_is_loaded_meanwhile_is_held_too(libraries, monkeypatch):
    held, late = blas.OneThread(), Library("late")
    with held.held():
        libraries.append(late)
        monkeypatch.setitem(sys.modules, "a_module_that_brings_it", SimpleNamespace())
        with held.held():
            assert late.num_threads == 1
    assert late.num_threads == 4


@pytest.mark.parametrize("moment", range(8))
def test_ctrl_c_at_any_moment_leaves_every_library_as_it_was(libraries, monkeypatch, moment):
    held, calls, before = blas.OneThread(), [], Library.set_num_threads

    def interrupted(self, count):
        calls.append(count)
        if len(calls) == moment // 2 + 1 and moment % 2:
            raise KeyboardInterrupt
        before(self, count)
        if len(calls) == moment // 2 + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Library, "set_num_threads", interrupted)
    with contextlib.suppress(KeyboardInterrupt), held.held():
        pass
    assert [library.num_threads for library in libraries] == [4, 4]
    with held.held():
        assert [library.num_threads for library in libraries] == [1, 1]
    assert [library.num_threads for library in libraries] == [4, 4]


def test_the_kernel_is_that_of_numpys_library(monkeypatch):
    def library(path, kernel):
        told = {"internal_api": "openblas", "version": "0.3", "architecture": kernel}
        return SimpleNamespace(filepath=path, info=lambda: told)

    found = [library("/scipy.libs/a.so", "Zen"), library("/numpy.libs/b.so", "Haswell")]
    select = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=found))
    monkeypatch.setattr(blas, "ThreadpoolController", lambda: select)
    assert blas.blas_kernel() == {"library": "openblas", "version": "0.3", "kernel": "Haswell"}
    found.clear()
    assert blas.blas_kernel() is None
