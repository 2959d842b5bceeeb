"""What tests know of `launched.py`, which runs commands in several processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.pipelines.hangs import HANGS_S

SCRIPT = Path(__file__).with_name("launched.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
PROGRESS = re.compile(r"^.+: \d+(/\d+)?, [\d.]+ \S+, .*\n", re.MULTILINE)
"""Lines that appear where a machine is slow."""
BEGINNING = re.compile(r"^train .*\n", re.MULTILINE)
"""What a training says of itself."""


class Server:
    """`launched.py`, which forks processes from itself: it is asked, and answers when all of them have ended."""

    def __init__(self, *before):
        """Args: the command that starts it, up to the name of the interpreter."""
        command = [*before, sys.executable, str(SCRIPT)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def ask(self, *processes):
        self._process.stdin.write(json.dumps(processes) + "\n")
        self._process.stdin.flush()

    def answer(self):
        """Exit codes; None of one that was frozen."""
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(HANGS_S)
        self._process.stdout.close()


def process(command, environment, mishap, output):
    """One of those that a server is asked for; see `fork` there."""
    environment = {key: str(value) for key, value in environment.items()}
    return {
        "command": [str(argument) for argument in command],
        "environment": environment,
        "mishap": mishap,
        "output": str(output),
    }


class Ended:
    """Exit codes of the processes, and all that they said."""

    def __init__(self, codes, outputs):
        self.codes = codes
        self.stdout, stderr = (
            "".join(Path(f"{output}-{name}").read_text() for output in outputs) for name in ("stdout", "stderr")
        )
        self.stderr = BEGINNING.sub("", PROGRESS.sub("", stderr))

    def refused_with(self, code, line):
        """All ended with the code, and one of them told why, in one line."""
        assert self.codes == [code] * len(self.codes), self.stderr
        assert re.fullmatch(rf"(error|stopped): .*{line}.*\n", self.stderr), self.stderr
        return True
