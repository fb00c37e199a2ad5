# http_machine.py
"""The client of such a service, as a solver: the units of a layer are one job."""

import json
import time
import urllib.error
import urllib.request

from annealtrain import IsingSolver


class HttpMachine(IsingSolver):
    is_metered = True

    def __init__(self, url, max_spins=64, num_reads=10, poll_s=0.5, retry_wait_s=2.0):
        self.url, self.num_reads, self.poll_s = url, num_reads, poll_s
        self.max_spins, self.retry_wait_s = max_spins, retry_wait_s

    def ising_batch(self, problems, seeds):
        each = [{"J": J.tolist(), "h": h.tolist(), "seed": seed} for (J, h), seed in zip(problems, seeds, strict=True)]
        number = self.asked("/jobs", {"num_reads": self.num_reads, "problems": each})["number"]
        while (spins := self.asked(f"/jobs/{number}")["spins"]) is None:
            time.sleep(self.poll_s)
        return spins

    def asked(self, path, content=None):
        body = None if content is None else json.dumps(content).encode()
        try:
            with urllib.request.urlopen(self.url + path, body, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):  # ours, such as a wrong token: to ask again is no use
                raise RuntimeError(f"{path}: {error.code} {error.reason}") from error
            raise
