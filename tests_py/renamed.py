"""Takes the folder that a wheel was built in out of its bill of materials: `nox -s dist` runs it on each wheel.

python tests_py/renamed.py WHEEL FOLDER

cargo-cyclonedx, by which maturin writes that bill, calls what is of the project by its folder (`path+file:///…`), so
that the same sources in two folders made two wheels.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

BILL = ".dist-info/sboms/"
RECORD = ".dist-info/RECORD"
# As `_reproducible` in noxfile.py calls it in what is compiled.
NEUTRAL = "/holdfast"


def renamed(wheel: Path, folder: Path) -> None:
    """Write the wheel anew: all else in it stays as it is, and in its order."""
    with zipfile.ZipFile(wheel) as archive:
        held = [(entry, archive.read(entry)) for entry in archive.infolist()]
    rows: dict[str, str] = {}
    for number, (entry, text) in enumerate(held):
        if BILL in entry.filename:
            fresh = text.replace(f"file://{folder}".encode(), f"file://{NEUTRAL}".encode())
            held[number] = (entry, fresh)
            digest = base64.urlsafe_b64encode(hashlib.sha256(fresh).digest()).rstrip(b"=").decode()
            rows[entry.filename] = f"{entry.filename},sha256={digest},{len(fresh)}"
    partial = wheel.with_suffix(".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for entry, text in held:
            recorded = with_rows(text, rows) if entry.filename.endswith(RECORD) else text
            archive.writestr(entry, recorded, compresslevel=9)
    partial.replace(wheel)


def with_rows(record: bytes, rows: dict[str, str]) -> bytes:
    """The RECORD of a wheel with these rows instead of those of the same files."""
    lines = record.decode().splitlines()
    return "".join(f"{rows.get(line.split(',')[0], line)}\n" for line in lines).encode()


if __name__ == "__main__":
    renamed(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
