"""The example of a machine behind HTTP: its service started here, and its client as a module."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> Any:
    """Return examples/NAME.py as a module of that name."""
    if name not in sys.modules:
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextmanager
def served() -> Iterator[Any]:
    """Run the service on a free port of this machine; `url` is its address, `calls` what it was sent.

    While `fails` is above 0 it answers a call with an error, `status`, and counts it down.
    """
    module = example("http_service")

    class Handler(module.Handler):
        def do_POST(self) -> None:
            self.server.calls += 1
            if self.server.fails and self.server.calls > self.server.works_until:
                self.server.fails -= 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_error(self.server.status)
                return
            super().do_POST()

    service = module.Service()
    service.RequestHandlerClass = Handler
    service.url = f"http://127.0.0.1:{service.server_address[1]}"
    service.calls, service.fails, service.works_until, service.status = 0, 0, 0, 503
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()
        thread.join(10)
