# http_service.py
"""An annealing service on this machine, with a queue: python http_service.py 8765"""

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def anneal(J, h, num_reads, seed):
    """Return spins (num_reads, N) after simulated annealing."""
    random = np.random.default_rng(seed)
    spins = random.choice([-1, 1], (num_reads, len(h)))
    for beta in np.geomspace(0.1, 10, 30):
        for i in range(len(h)):
            falls = 2 * spins[:, i] * (2 * spins @ J[i] + h[i])  # by how much a flip lowers the energy
            flips = random.random(num_reads) < np.exp(np.minimum(beta * falls, 0))
            spins[flips, i] *= -1
    return spins


class Service(ThreadingHTTPServer):
    """POST /jobs queues a job and gives its number; GET /jobs/NUMBER tells its spins, null while it waits."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.spins, self.waiting = [], queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            number, job = self.waiting.get()
            given = [(np.array(one["J"]), np.array(one["h"]), one["seed"]) for one in job["problems"]]
            self.spins[number] = [anneal(J, h, job["num_reads"], seed).tolist() for J, h, seed in given]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.spins.append(None)
        number = len(self.server.spins) - 1
        self.server.waiting.put((number, job))
        self.answer({"number": number})

    def do_GET(self):
        self.answer({"spins": self.server.spins[int(self.path.rpartition("/")[2])]})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given):
        pass


if __name__ == "__main__":
    Service(int(sys.argv[1])).serve_forever()
