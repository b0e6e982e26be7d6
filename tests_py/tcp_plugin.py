"""The small Docker volume plugin over TCP, which it tells by a file: `.spec`, `.json`, or none.

Its words: the folder of the node, where its volumes are, the port, and the file, with `-` for none. With three more it
speaks TLS, to whom it trusts: its certificate, its key, and who signs its clients; `.json` then says what those need.
"""

from __future__ import annotations

import json
import ssl
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path

from small_plugin import Handler, Plugin

folder, data, port, told, *certificates = sys.argv[1:]
Path(data).mkdir(parents=True, exist_ok=True)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
server.plugin = Plugin(Path(folder), Path(data), "healthy")  # type: ignore[attr-defined]
url = f"tcp://127.0.0.1:{server.server_port}"
spec = {"Name": "small"}
if certificates:
    certificate, key, clients = certificates
    url = url.replace("tcp", "https")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    spec |= {"TLSConfig": json.loads(Path(folder, "tls.json").read_text(encoding="utf-8"))}
if told.endswith(".json"):
    Path(told).write_text(json.dumps({**spec, "Addr": url}), encoding="utf-8")
elif told != "-":
    Path(told).write_text(f"{url}\n", encoding="utf-8")
sys.stdout.write(f"{url}\n")
sys.stdout.flush()
server.serve_forever()
