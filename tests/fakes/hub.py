"""A stand-in for huggingface.co that serves a folder over HTTP, as far as the downloader uses it.

with FakeHub(folder, name="owner/model") as hub:
    hub.break_after = 1000        # cut each answer after so many bytes
    hub.pause_seconds = 0.1       # slow: after each 20,000 bytes
    run(..., HF_ENDPOINT=hub.url)
    hub.requests                  # [("GET", path, range header or ""), …]
    hub.repositories["a/b"] = folder   # another one
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

_PIECE = 20_000  # bytes
REVISION = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """See the module's text."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.repositories = {name: folder}
        self.requests: list[tuple[str, str, str]] = []
        self.authorizations: list[str] = []
        self.break_after = 0  # bytes; 0: never
        self.breaks_left = 1_000_000
        self.pause_seconds = 0.0  # after each 20,000 bytes that are sent
        self.damage: set[str] = set()  # paths that are sent wrong
        self.status = 0  # answer everything with this status
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *arguments: Any) -> None:
                del arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files_asked_for(self) -> list[str]:
        prefix = f"/{self.name}/resolve/{REVISION}/"
        return [path.removeprefix(prefix) for _, path, _ in self.requests if prefix in path]

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        wanted = call.headers.get("Range", "")
        self.requests.append(("GET", call.path, wanted))
        self.authorizations.append(call.headers.get("Authorization", ""))
        if self.status:
            call.send_error(self.status)
            return
        for name, folder in self.repositories.items():
            path = call.path.removeprefix(f"/{name}/resolve/{REVISION}/")
            if call.path == f"/api/models/{name}/revision/main?blobs=true":
                self._send(call, json.dumps(listing(folder)).encode(), 0)
                return
            if path != call.path and (folder / path).is_file():
                content = (folder / path).read_bytes()
                if path in self.damage:
                    content = content[:-1] + bytes([content[-1] ^ 1])
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                self._send(call, content, start)
                return
        call.send_error(404)

    def _send(self, call: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        call.send_response(206 if start else 200)
        call.send_header("Content-Length", str(len(content) - start))
        call.end_headers()
        rest = content[start:]
        if self.break_after and len(rest) > self.break_after and self.breaks_left:
            self.breaks_left -= 1
            rest = rest[: self.break_after]
            call.close_connection = True
        try:
            for begin in range(0, len(rest), _PIECE):
                call.wfile.write(rest[begin : begin + _PIECE])
                time.sleep(self.pause_seconds)
        except ConnectionError:  # the other side has enough
            call.close_connection = True


def listing(folder: Path) -> dict[str, Any]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "sha": REVISION,
        "tags": ["diffusers", "license:creativeml-openrail-m"],
        "siblings": [_sibling(folder, path) for path in paths],
    }


def _sibling(folder: Path, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    sibling: dict[str, Any] = {
        "rfilename": path.relative_to(folder).as_posix(),
        "size": len(content),
        "blobId": git,
    }
    if path.suffix == ".safetensors":
        digest = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return sibling
