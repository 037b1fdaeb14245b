"""Lesson 3: a library that Axonize knows. `instrument` once; calls of the real `ollama` client are recorded.

    pip install ./sdk/python ollama
    python examples/ollama_integration.py

Said plainly: unless OLLAMA_HOST names a real server, the client talks to the stand-in below, which speaks
Ollama's protocol and has no model in it.
"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import axonize
from ollama import Client

axonize.init(service_name="ollama-example")
axonize.instrument("ollama")


class StandIn(BaseHTTPRequestHandler):
    """Answers POST /api/chat with a line of JSON per word, as Ollama does."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
        words = ["It", " waited", " in", " the", " queue."]
        for word in words:
            time.sleep(0.02)
            self.line(model=asked["model"], message={"role": "assistant", "content": word}, done=False)
        self.line(model=asked["model"], message={"role": "assistant", "content": ""}, done=True,
                  done_reason="stop", prompt_eval_count=6, prompt_eval_duration=20_000_000,
                  eval_count=len(words), eval_duration=100_000_000)  # fmt: skip

    def line(self, **part):
        self.wfile.write(json.dumps(part).encode() + b"\n")

    def log_message(self, *_):
        """Silent: the example's own output is what matters."""


host = os.environ.get("OLLAMA_HOST")
if host is None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"

with axonize.span("ask") as request:
    question = [{"role": "user", "content": "Why was this call slow?"}]
    for part in Client(host=host).chat(model="llama3.2", messages=question, stream=True):
        print(part.message.content, end="", flush=True)

if not axonize.flush():
    raise SystemExit("\nNothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
print(f"\nopen {os.environ.get('AXONIZE_DASHBOARD', 'http://127.0.0.1:3000')}/requests/{request.trace_id}")
