"""What tests know of `launched.py`, which runs commands in several processes."""

import os
import re
from pathlib import Path

SCRIPT = Path(__file__).with_name("launched.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
PROGRESS = re.compile(r"^.+: \d+(/\d+)?, [\d.]+ \S+, .*\n", re.MULTILINE)
"""Lines that appear where a machine is slow."""
BEGINNING = re.compile(r"^train .*\n", re.MULTILINE)
"""What a training says of itself."""


class Ended:
    """Exit codes of the processes, and all that they said."""

    def __init__(self, codes, folder):
        self.codes = codes
        self.stdout, stderr = (
            "".join((folder / f"{name}-{rank}").read_text() for rank in range(len(codes)))
            for name in ("stdout", "stderr")
        )
        self.stderr = BEGINNING.sub("", PROGRESS.sub("", stderr))

    def refused_with(self, code, line):
        """All ended with the code, and one of them told why, in one line."""
        assert self.codes == [code] * len(self.codes), self.stderr
        assert re.fullmatch(rf"(error|stopped): .*{line}.*\n", self.stderr), self.stderr
        return True
