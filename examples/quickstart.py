"""Lesson 1: two lines, and every model call tells its time to first token and its speed.

    pip install ./sdk/python
    npm start                        # in another terminal; or set AXONIZE_ENDPOINT
    python examples/quickstart.py

The model is a stand-in that yields a few words, so that this runs anywhere; put your own in its place.
"""

import os
import time

import axonize

axonize.init(service_name="quickstart-python")


def stand_in_model(prompt):
    """Streams an answer as a language model would: it reads the prompt, then speaks word by word."""
    time.sleep(0.15)
    for word in f"You asked: {prompt}".split():
        time.sleep(0.02)
        yield word


with axonize.span("POST /chat") as request:
    prompt = "Why was this call slow?"
    with axonize.llm_span("chat stand-in", model="stand-in") as call:
        call.set_tokens_input(len(prompt.split()))
        for word in stand_in_model(prompt):
            call.record_token()
            print(word, end=" ", flush=True)
    trace_id = request.trace_id

if not axonize.flush():
    raise SystemExit("\nNothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
dashboard = os.environ.get("AXONIZE_DASHBOARD", "http://127.0.0.1:3000")
print(f"\nopen {dashboard}/requests/{trace_id}")
