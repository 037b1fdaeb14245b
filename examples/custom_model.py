"""Lesson 2: a model of your own. Spans for its stages, devices, events, an error, and a decorator.

    pip install ./sdk/python
    python examples/custom_model.py   # with `npm start` running, or AXONIZE_ENDPOINT set

The model is a Markov chain over a few sentences: small enough to read, real enough to generate.
"""

import os
import random

import axonize

axonize.init(service_name="custom-model", environment="examples")

TEXT = "the gpu waits for the batch and the batch waits for the gpu and nobody waits for the bill ."


@axonize.trace(name="load weights")  # a span around every call of this function
def load(text):
    words, chain = text.split(), {}
    for word, following in zip(words, words[1:] + words[:1]):
        chain.setdefault(word, []).append(following)
    return chain


@axonize.trace
def tokenize(prompt):
    return prompt.lower().split()


def generate(chain, prompt, most=24):
    with axonize.llm_span("generate", model="markov") as call:
        call.set_model("markov", "1")
        call.set_gpus(["cuda:0"])  # the process's own numbering; the agent knows which GPU that is
        tokens = tokenize(prompt)
        call.set_tokens_input(len(tokens))
        if tokens[-1] not in chain:
            raise KeyError(f"unknown word: {tokens[-1]}")  # the span becomes an error by itself
        word, answer = tokens[-1], []
        while word != "." and len(answer) < most:
            word = random.choice(chain[word])
            call.record_token()
            answer.append(word)
        call.add_event("stopped", {"reason": "end of text" if word == "." else "length"})
        return " ".join(answer)


with axonize.span("request") as request:
    chain = load(TEXT)
    print(generate(chain, "The GPU"))
    try:
        generate(chain, "The TPU")
    except KeyError as error:
        print("refused:", error)
        request.set_attribute("app.refused", 1)
    request.set_status(axonize.SpanStatus.OK)
if not axonize.flush():
    raise SystemExit("Nothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
print(f"open {os.environ.get('AXONIZE_DASHBOARD', 'http://127.0.0.1:3000')}/requests/{request.trace_id}")
