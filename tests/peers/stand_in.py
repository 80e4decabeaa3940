"""A small peer, as an adapter runs it: it tints frames with the reference's mean color, or fails as it is told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

if Path("fault.txt").exists() and Path("fault.txt").read_text() == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("child.txt").write_text(str(child.pid))
    time.sleep(600)

import numpy as np

sys.path.insert(0, str(Path(sys.argv[1]).parent / "adapters"))  # the test puts the contract there
from contract import PeerJob


def main() -> None:
    job = PeerJob()
    fault = Path("fault.txt").read_text().strip() if Path("fault.txt").exists() else ""
    if fault == "crash":
        print("loading", file=sys.stderr)
        raise RuntimeError("the weights do not fit")
    tint = job.references[0].reshape(-1, 3).mean(axis=0) / 255
    for index in range(len(job.frames)):
        with job.timing():
            picture = job.load(index).astype(np.float32) / 255 * tint / tint.mean()
        if fault == "missing" and index == 1:
            continue
        if fault == "size":
            picture = picture[:-1]
        if fault == "nan" and index == 2:
            picture[0, 0, 0] = np.nan
        if fault == "type":
            picture = (100 * picture).astype(np.int32)
        job.save(
            index, np.clip(picture, None, 1) if fault != "bytes" else (255 * np.clip(picture, 0, 1)).astype(np.uint8)
        )
    if fault == "extra":
        job.save(len(job.frames), picture)
    job.finish()


main()
