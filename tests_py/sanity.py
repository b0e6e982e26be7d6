"""csi-sanity against `holdfast storage serve`: everything that the provider claims to support, and no failure."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# How many of csi-sanity's specifications are about what the emulated provider claims to support.
CLAIMED = 75


def main(executable: str) -> int:
    with tempfile.TemporaryDirectory(prefix="holdfast-sanity-") as folder:
        words = [sys.executable, "-m", "holdfast.cli", "storage", "serve", "--nodes", "node1", "--csi", folder]
        served = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert served.stdout is not None
            while served.stdout.readline().strip() not in ("serving", ""):
                pass
            socket = f"unix://{folder}/node1.sock"
            places = [f"--csi.{name}dir={Path(folder) / name}" for name in ("mount", "staging")]
            done = subprocess.run(
                [executable, "--ginkgo.no-color", f"--csi.endpoint={socket}", *places],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            served.terminate()
            served.wait(timeout=20)
    found = re.search(r"(\d+) Passed \| (\d+) Failed", done.stdout)
    if found is None or done.returncode != 0 or int(found[1]) < CLAIMED:
        print(done.stdout[-8000:], done.stderr[-2000:])
        print(f"csi-sanity ended with {done.returncode}; {CLAIMED} specifications must pass")
        return 1
    print(f"{found[1]} passed, {found[2]} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
