"""Signals that end a command: TERM and HUP as Ctrl-C, which a sweep's processes leave to the sweep."""

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HEARING = "Ctrl-C"  # the name of the thread that hears it
ENDING = ("SIGTERM", "SIGHUP")  # there is no HUP on Windows


class Heard:
    """What has ended a command. code: its exit code, as a shell tells it of one that a signal has ended."""

    code = 128 + signal.SIGINT

    def __call__(self, number: int, _: FrameType | None) -> None:
        self.code = 128 + number
        raise KeyboardInterrupt


@contextmanager
def as_ctrl_c() -> Iterator[Heard]:
    """Let TERM and HUP raise KeyboardInterrupt while the body runs, but where they are ignored, as under nohup."""
    heard = Heard()
    changed = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ENDING if hasattr(signal, name)):
            if signal.getsignal(number) == signal.SIG_DFL:
                changed[number] = signal.signal(number, heard)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, []) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield heard
    finally:
        for number, held in changed.items():
            signal.signal(number, held)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def through_libraries() -> Iterator[None]:
    """Raise KeyboardInterrupt for an error that arose while one went through code that is not made for it.

    OmegaConf, for one, ends a half-made node with an error of its own. A fault of the system's, such as a full disk
    while a run ends, stays what it is.
    """
    try:
        yield
    except Exception as error:
        if _is_of_interrupt(error):
            raise KeyboardInterrupt from error
        raise


def _is_of_interrupt(error: BaseException) -> bool:
    link: BaseException | None = error
    seen = set[int]()  # a chain may lead back to where it began
    while link is not None and id(link) not in seen:
        if isinstance(link, KeyboardInterrupt | OSError):
            return isinstance(link, KeyboardInterrupt)
        seen.add(id(link))
        link = link.__cause__ if isinstance(link.__cause__, OSError) else link.__context__
    return False


def left_to_this_process() -> None:
    """Keep Ctrl-C and HUP from the processes that this one is about to start, and hear them here.

    A terminal sends them to all of them, and each would write a traceback. What is blocked in this thread is blocked in
    the processes that it starts; another thread hears it. To be undone by the end of `as_ctrl_c`.
    """
    if not hasattr(signal, "sigwait") or threading.current_thread() is not threading.main_thread():
        return
    numbers = [number for number in (signal.SIGINT, signal.SIGHUP) if callable(signal.getsignal(number))]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if not any(thread.name == HEARING for thread in threading.enumerate()):
        threading.Thread(target=_hear, args=(numbers,), name=HEARING, daemon=True).start()


def _hear(numbers: list[signal.Signals]) -> None:
    while True:
        _thread.interrupt_main(signal.Signals(signal.sigwait(numbers)))
