"""A server that speaks OpenAI's chat completions, for tests of whole caption jobs.

What it answers is told by the clip's file name in no way: it counts its calls, and `answer` says
what each gets. It runs in a thread of the test, so that it outlives workers that are killed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FOUR = "[VISUAL]: A grating drifts, number {n}.\n[SPEECH]: None\n[SOUNDS]: A tone.\n[TEXT]: None"


class CaptionServer:
    """Counts calls and answers them.

    Attributes:
        calls: The bodies of all requests for a caption.
        answer: Returns (status, text) for the n-th call, from 1.
        seconds: How long each answer takes.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answer: Callable[[int, dict[str, Any]], tuple[int, str]] = lambda n, _: (
            200,
            FOUR.format(n=n),
        )
        self.seconds = 0.0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": [{"id": "toy", "owned_by": "vllm"}]})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                number = server.took(body, self.headers.get("Authorization", ""))
                time.sleep(server.seconds)
                status, text = server.answer(number, body)
                if status != 200:
                    self._send(status, {"error": {"message": text, "code": status}})
                elif body.get("stream"):
                    self._stream(text)
                else:
                    self._send(200, _completion(text))

            def _stream(self, text: str) -> None:
                chunk = {
                    "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "toy",
                    "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
                }  # fmt: skip
                last = json.loads(json.dumps(chunk))
                last["choices"][0] = {"index": 0, "delta": {}, "finish_reason": "stop"}
                lines = [f"data: {json.dumps(one)}\n\n" for one in (chunk, last)]
                data = "".join([*lines, "data: [DONE]\n\n"]).encode()
                self._write(200, data, "text/event-stream")

            def _send(self, status: int, body: object) -> None:
                self._write(status, json.dumps(body).encode(), "application/json")

            def _write(self, status: int, data: bytes, kind: str) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # whoever asked was killed

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """What `--base-url` is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def took(self, body: dict[str, Any], key: str) -> int:
        """Note a call; return its number."""
        with self._lock:
            self.calls.append(body)
            self.keys.append(key)
            return len(self.calls)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": "toy",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }  # fmt: skip
