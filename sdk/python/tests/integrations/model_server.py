"""Fixtures of the integration tests: an HTTP server that speaks the model servers' protocols.

The clients are the real packages; the answers are small and fixed, in each provider's own shape.
"""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from axonize.integrations import _hooks, _state


@pytest.fixture(autouse=True)
def unpatched():
    """Takes every patch back after a test, so that the next one starts with the library as it is."""
    yield
    for owner, name, original in reversed(_state.patched):
        setattr(owner, name, original)
    _state.patched.clear()
    _hooks._done.clear()
    _hooks._waiting.clear()


def chunk(delta: dict, finish: str | None = None, usage: dict | None = None) -> dict:
    """One chunk of a chat completion's stream."""
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "llama-3-70b-q4",
        "choices": choices, "usage": usage,
    }  # fmt: skip


CHAT_USAGE = {
    "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-x", "status": "completed",
    "output": [], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
    "usage": {
        "input_tokens": 9, "output_tokens": 5, "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 1},
    },
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "hello"}],
    "usage": {"input_tokens": 10, "output_tokens": 6, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
}  # fmt: skip


class ModelServer:
    """What was asked, and how the answers go."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self.delay_s = 0.004
        self.status = 200

    def answer(self, path: str, body: dict) -> dict | list[tuple[str | None, dict]]:
        """A JSON object, or the events of a stream."""
        stream = body.get("stream")
        if path.endswith("/chat/completions"):
            if not stream:
                message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
                return {
                    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "llama-3-70b-q4",
                    "choices": [message], "usage": CHAT_USAGE,
                }  # fmt: skip
            words = [chunk({"content": f"w{index}"}) for index in range(6)]
            parts = [chunk({"role": "assistant", "content": ""}), *words, chunk({}, "stop"), chunk({}, None, CHAT_USAGE)]
            return [(None, part) for part in parts]
        if path.endswith("/responses"):
            return self._responses() if stream else RESPONSE
        if path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            return {"object": "list", "model": "e5", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
        if path.endswith("/v1/messages"):
            return self._messages() if stream else MESSAGE
        if path.startswith("/api/"):
            return self._ollama(path, stream)
        return {"ok": True}

    def _responses(self) -> list[tuple[str | None, dict]]:
        started = {**RESPONSE, "status": "in_progress", "usage": None}
        events: list[tuple[str | None, dict]] = [("response.created", {"response": started, "sequence_number": 0})]
        for index in range(5):
            body = {"item_id": "i", "output_index": 0, "content_index": 0, "delta": "x", "logprobs": [], "sequence_number": index}
            events.append(("response.output_text.delta", body))
        events.append(("response.completed", {"response": RESPONSE, "sequence_number": 9}))
        return [(name, {"type": name, **body}) for name, body in events]

    def _messages(self) -> list[tuple[str | None, dict]]:
        started = {**MESSAGE, "stop_reason": None, "content": [], "usage": {**MESSAGE["usage"], "output_tokens": 1}}
        block = {"type": "text", "text": ""}
        deltas = [
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "x"}}) for _ in range(6)
        ]
        events = [
            ("message_start", {"message": started}),
            ("content_block_start", {"index": 0, "content_block": block}),
            *deltas,
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 6}}),
            ("message_stop", {}),
        ]
        return [(name, {"type": name, **body}) for name, body in events]

    def _ollama(self, path: str, stream: bool | None) -> dict | list[tuple[str | None, dict]]:
        done = {
            "model": "llama3", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop",
            "prompt_eval_count": 8, "eval_count": 4, "prompt_eval_duration": 30_000_000,
            "eval_duration": 60_000_000, "total_duration": 95_000_000,
        }  # fmt: skip
        if path == "/api/embed":
            return {"model": "e5", "embeddings": [[0.1]], "prompt_eval_count": 2}
        text = {"message": {"role": "assistant", "content": "a"}} if path == "/api/chat" else {"response": "a"}
        empty = {"message": {"role": "assistant", "content": ""}} if path == "/api/chat" else {"response": ""}
        if not stream:
            return {**done, **text}
        part = {"model": "llama3", "created_at": "2026-01-01T00:00:00Z", "done": False, **text}
        return [(None, part)] * 4 + [(None, {**done, **empty})]


@pytest.fixture
def model_server():
    state = ModelServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
            self.respond(body)

        def do_GET(self):
            self.respond({})

        def respond(self, body):
            state.headers.append({key.lower(): value for key, value in self.headers.items()})
            if state.status != 200:
                return self.whole({"error": {"message": "no", "type": "bad"}}, state.status)
            answer = state.answer(self.path.partition("?")[0], body)
            if isinstance(answer, dict):
                return self.whole(answer, 200)
            lines = self.path.startswith("/api/")
            self.send_response(200)
            self.send_header("content-type", "application/x-ndjson" if lines else "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                for name, part in answer:
                    time.sleep(state.delay_s)
                    text = json.dumps(part)
                    event = f"{text}\n" if lines else (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
                    self.part(event)
                if self.path.endswith("/chat/completions"):
                    self.part("data: [DONE]\n\n")
                self.part("")
            except OSError:
                # A client that stopped reading.
                self.close_connection = True

        def part(self, text: str) -> None:
            data = text.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def whole(self, answer: dict, status: int) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            return

    class Server(http.server.ThreadingHTTPServer):
        # Clients with connections of their own come several at once.
        request_queue_size = 64
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
