"""The small Docker volume plugin over TCP, which it tells by a file: `.spec`, `.json`, or none.

Its words: the folder of the node, where its volumes are, the port, and the file, with `-` for none.
"""

from __future__ import annotations

import json
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path

from small_plugin import Handler, Plugin

folder, data, port, told = sys.argv[1:]
Path(data).mkdir(parents=True, exist_ok=True)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
server.plugin = Plugin(Path(folder), Path(data), "healthy")  # type: ignore[attr-defined]
url = f"tcp://127.0.0.1:{server.server_port}"
if told.endswith(".json"):
    Path(told).write_text(json.dumps({"Name": "small", "Addr": url}), encoding="utf-8")
elif told != "-":
    Path(told).write_text(f"{url}\n", encoding="utf-8")
sys.stdout.write(f"{url}\n")
sys.stdout.flush()
server.serve_forever()
