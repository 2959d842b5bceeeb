"""What a frame costs beside the network: read and decoded, encoded and written, in CPU time of one thread and in bytes.

    .venv/bin/python benchmarks/frame_files.py FRAME... [--rounds 24]

The figures that docs/scale.md reckons with.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2

from pipelines.data.disk.files import write_atomically
from pipelines.data.images import encode_png, read_image


def timed(frame: Path, folder: Path) -> dict[str, float]:
    """Milliseconds of this thread, and megabytes, for one frame that is read and written as a translation is."""
    start = time.thread_time()
    image = read_image(frame)
    decoded = time.thread_time()
    data = encode_png(image)
    encoded = time.thread_time()
    write_atomically(folder / "frame.png", data)
    written = time.thread_time()
    return {
        "decode ms": 1000 * (decoded - start),
        "encode ms": 1000 * (encoded - decoded),
        "write ms": 1000 * (written - encoded),
        "read MB": frame.stat().st_size / 1e6,
        "written MB": len(data) / 1e6,
    }


def main() -> None:
    """Print the median of every figure over all frames and rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=24)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [timed(frame, Path(folder)) for _ in range(options.rounds) for frame in options.frames]
    for name in rows[0]:
        print(f"{name}: {statistics.median(row[name] for row in rows):.2f}")


if __name__ == "__main__":
    main()
