"""Threads that stand for processes which train together."""

import threading
from concurrent.futures import ThreadPoolExecutor


class Together:
    """Runs a function in one thread for each argument; what they sum, they sum over all threads."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count, timeout=30)
        self.parts, self.sums = {}, 0

    def sum(self, tensor):
        self.parts[threading.get_ident()] = tensor
        self.barrier.wait()
        total = sum(self.parts[thread] for thread in sorted(self.parts))
        self.barrier.wait()
        self.sums += 1
        return total

    def run(self, function, arguments):
        with ThreadPoolExecutor(len(arguments)) as threads:
            return list(threads.map(function, arguments))
