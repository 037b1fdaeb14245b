"""Takes finished spans from the core and sends them: one daemon thread, started by the first span.

States of a batch: encoded, sent until the server says yes, no, or RETRY_FOR_S are over. While it
waits, new spans queue in the core's bounded ring and are dropped there when it is full: the user's
threads never wait for the network. Whatever goes wrong is counted and logged once per cause.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Protocol

from . import _cuda
from ._config import Config
from ._log import warn_once
from ._metrics import encode_losses
from ._protocol import Outcome
from ._resource import encode_request, encode_resource, resource_attributes
from ._version import __version__

if TYPE_CHECKING:
    from ._gpu import Sampler

# A batch is at most 1 MiB + one span (64 KiB): receivers take 4 MiB by default.
REQUEST_BYTES_MAX = 1 << 20
RETRY_FOR_S = 600.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0
KEY_REREAD_S = 60.0
_AUTH_CAUSES = frozenset(("UNAUTHENTICATED", "PERMISSION_DENIED", "HTTP 401", "HTTP 403"))


class Client(Protocol):
    """What sends: GrpcClient or HttpClient."""

    def send(
        self, body: list[bytes | memoryview], headers: Callable[[], tuple[tuple[str, str], ...]], deadline: float,
        metrics: bool = False,
    ) -> Outcome: ...  # fmt: skip
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class Exporter:
    """Owner of the thread and the connection of one process."""

    def __init__(self, config: Config, core: Any) -> None:
        self._config = config
        self._core = core
        # Reentrant: a signal handler or a finalizer may run in a thread that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = self._closed = False
        self._full = False
        self._flush_wanted = self._flush_done = 0
        self._flush_ok = True
        self._client = _create_client(config)
        self._resource = b""
        self._known: dict[str, Any] = {}
        self.gpus = _create_sampler(config)
        self._began_ns = time_ns()
        self._told_losses = 0
        self._dropped_before = core.stats()["dropped"]
        self._tell_losses = True
        self._batch: tuple[list[bytes | memoryview], int, float] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._last = monotonic()
        self._key = ""
        self._key_read = -KEY_REREAD_S
        self.lost = 0
        """Spans that the server refused or that were given up."""
        self.sent = self.recovered = 0
        self._ring: str | None = None
        self._recover_from = config.span_ring
        self.on_start: Callable[[], None] | None = None

    def open_ring(self) -> None:
        """Moves the ring into a file where that is configured; before the first span."""
        if self._config.span_ring is None:
            return
        try:
            from . import _ring
        except ImportError:
            warn_once("span-ring", "no span ring: this platform has no file locks")
            return
        self._known.update(resource_attributes(self._config.resource))
        self._ring = _ring.open_ring(self._core, self._config, self._headers(), self._known)
        self._dropped_before = self._core.stats()["dropped"]

    def remove_ring(self) -> None:
        """All has arrived: nothing is left for others to find."""
        if self._ring is not None:
            from . import _ring

            _ring.remove(self._ring)
            self._ring = None

    def _recover(self) -> None:
        """Sends what killed processes left, once: the server has just taken a batch of ours."""
        folder, self._recover_from = self._recover_from, None
        if folder is None:
            return
        from . import _ring

        def send(owner: Any, spans: bytes, count: int) -> bool:
            body = encode_request(owner.resource, spans, 0)
            deadline = monotonic() + self._config.timeout_s
            outcome = self._client.send(body, lambda: owner.headers, deadline)
            self.recovered += count if outcome.ok else 0
            # A batch that the server will never take must not keep the file for ever.
            return outcome.ok or not outcome.retry

        _ring.recover(folder, self._ring, send)

    def wake(self) -> None:
        """Called by the core in the user's thread: for the first span and whenever a batch is full."""
        with self._changed:
            self._full = self._core.stats()["pending"] >= self._config.batch_size
            if self._thread is None:
                self._start()
            else:
                self._changed.notify_all()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="axonize-export", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No thread can start at interpreter shutdown: flush() sends in the caller's thread then.
            self._thread = None
            return
        if self.on_start is not None:
            self.on_start()

    def flush(self, timeout_s: float) -> bool:
        """Sends all that is finished; False if that did not succeed in time. Always bounded."""
        deadline = monotonic() + timeout_s
        with self._changed:
            thread = self._thread
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                self._flush_wanted += 1
                wanted = self._flush_wanted
                self._changed.notify_all()
                while self._flush_done < wanted:
                    left = deadline - monotonic()
                    if left <= 0 or not thread.is_alive():
                        return False
                    self._changed.wait(min(left, 0.25))
                return self._flush_ok
        if not self._sending.acquire(timeout=max(0.0, timeout_s)):
            return False
        try:
            return self._send_all(True, deadline)
        finally:
            self._sending.release()

    def stop(self, timeout_s: float) -> bool:
        """Flushes, ends the thread and closes the connection; counts what is left as lost."""
        deadline = monotonic() + timeout_s
        done = self.flush(timeout_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - monotonic()))
        if self.gpus is not None:
            self._core.watch_gpus(None)
            self.gpus.stop()
        # A thread that still hangs in a socket must not take spans of the next session, and what is
        # left must not go to the next session's server: it may belong to somebody else.
        self._closed = True
        if self._ring is not None and self._core.unshare():
            # What is left stays in the file for whoever comes next.
            if done:
                self.remove_ring()
            return done
        self._give_up()
        while (count := self._core.drain(8192, REQUEST_BYTES_MAX)[1]) > 0:
            self.lost += count
        return done

    def abandon(self) -> None:
        """In a forked child: the parent's connection is not ours to speak on."""
        self._client.abandon()

    def _run(self) -> None:
        # Signals are the main thread's: one that the kernel gave to this thread would not wake it.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._changed:
                self._wait_for_work()
                wanted, stopping = self._flush_wanted, self._stopping
                self._full = False
                flushing = wanted > self._flush_done
            with self._sending:
                try:
                    done = self._send_all(flushing, monotonic() + self._config.timeout_s)
                except Exception as error:
                    # A bug of ours must cost spans, never the thread or the user's program.
                    warn_once("internal", f"cannot export: {type(error).__name__}: {error}")
                    self._give_up()
                    done = False
            with self._changed:
                self._flush_done, self._flush_ok = wanted, done
                self._changed.notify_all()
                if stopping:
                    break
        with self._sending:
            self._client.close()

    def _wait_for_work(self) -> None:
        while not self._stopping and self._flush_wanted == self._flush_done:
            due = self._last + self._config.flush_interval_s
            if self._full or self._batch is not None:
                due = 0.0
            left = max(due, self._not_before) - monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, 3600.0))

    def _send_all(self, flushing: bool, deadline: float) -> bool:
        self._last = monotonic()
        first = True
        # A flush ends with what was finished when it began: a busy program makes more without end, and a
        # deadline in the middle of a request would send that one twice.
        due = self._core.stats()["pending"] if flushing else 0
        while True:
            if self._batch is None:
                pending = self._core.stats()["pending"]
                # The rest waits for company: a request costs as much as hundreds of spans.
                if first or due > 0 or pending >= self._config.batch_size and not flushing:
                    self._batch = self._next_batch()
                    due -= self._batch[1] if self._batch is not None else due
                first = False
                if self._batch is None:
                    if self.sent:
                        self._report_losses(deadline)
                        if self._recover_from is not None and not flushing:
                            self._recover()
                    return True
            if not flushing and monotonic() < self._not_before:
                return False
            if not flushing:
                deadline = monotonic() + self._config.timeout_s
            elif monotonic() >= deadline:
                return False
            outcome = self._client.send(self._batch[0], self._headers, deadline)
            self._settle(outcome)
            if not outcome.ok:
                return False

    def _next_batch(self) -> tuple[list[bytes | memoryview], int, float] | None:
        if self._closed:
            return None
        spans, count, marks = self._core.drain(self._config.request_spans, REQUEST_BYTES_MAX)
        if count == 0:
            return None
        if marks and self.gpus is not None:
            spans = self.gpus.attach(spans, marks)
        self._learn()
        dropped = self._core.stats()["dropped"] + self.lost
        return encode_request(self._resource, spans, dropped), count, monotonic()

    def _learn(self) -> None:
        """Encodes what is known of this process; again when CUDA has come up."""
        known = self._known
        if not known:
            known.update(resource_attributes(self._config.resource))
        elif self._resource and "axonize.gpu.uuids" in known:
            return
        uuids = _cuda.device_uuids()
        if uuids:
            # The index is the ordinal, as spans name devices.
            known.setdefault("axonize.gpu.uuids", list(uuids))
        if uuids or not self._resource:
            self._resource = encode_resource(known)

    def _report_losses(self, deadline: float) -> None:
        """After a batch got through: tells what did not, if that has grown. Failing costs nothing."""
        dropped = self._core.stats()["dropped"] - self._dropped_before
        if not self._tell_losses or dropped + self.lost == self._told_losses:
            return
        told = dropped + self.lost
        body = encode_losses(self._resource, self._began_ns, time_ns(), self.sent, dropped, self.lost)
        outcome = self._client.send([body], self._headers, deadline, metrics=True)
        if outcome.ok:
            self._told_losses = told
        # A server without metrics stays without them.
        self._tell_losses = outcome.ok or outcome.retry

    def _settle(self, outcome: Outcome) -> None:
        batch = self._batch
        if batch is None:
            return
        if outcome.ok:
            self.lost += outcome.rejected
            self.sent += batch[1] - min(outcome.rejected, batch[1])
            self._batch = None
            self._core.commit()
            self._failures, self._not_before = 0, 0.0
            return
        now = monotonic()
        unauthorized = outcome.cause in _AUTH_CAUSES
        again = outcome.retry or (unauthorized and self._config.key_file is not None)
        if not again or now - batch[2] > RETRY_FOR_S:
            self._give_up()
        if unauthorized:
            self._key_read = -KEY_REREAD_S
        ceiling = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        # Jitter from os.urandom: the random module costs an import of hashlib.
        delay = ceiling * (0.5 + os.urandom(1)[0] / 512)
        if outcome.delay_s is not None:
            delay = max(outcome.delay_s, delay)
        self._not_before = now + delay
        kept = "spans are kept and sent later" if again else "its spans are dropped"
        warn_once(f"export:{outcome.cause}", f"{outcome.message}; {kept}")

    def _give_up(self) -> None:
        if self._batch is not None:
            self.lost += self._batch[1]
            self._batch = None
            self._core.commit()

    def _headers(self) -> tuple[tuple[str, str], ...]:
        key_file = self._config.key_file
        if key_file is None:
            return self._config.headers
        if monotonic() - self._key_read >= KEY_REREAD_S:
            self._key_read = monotonic()
            try:
                # As bytes, for the reason in _resource.py.
                with open(key_file, "rb") as opened:
                    self._key = opened.read(4096).decode("ascii").strip()
            except (OSError, ValueError) as error:
                warn_once("key-file", f"cannot read AXONIZE_API_KEY_FILE: {error}")
        if not self._key or not self._key.isprintable():
            return self._config.headers
        others = tuple(pair for pair in self._config.headers if pair[0] != "authorization")
        return (*others, ("authorization", f"Bearer {self._key}"))


def _create_sampler(config: Config) -> Sampler | None:
    if not config.gpu_profiling:
        return None
    from ._gpu import Sampler

    return Sampler(config.nvml_library)


def _create_client(config: Config) -> Client:
    """Imports all that sending will need, here in the caller's thread.

    A module that the exporter's thread is importing while another thread forks stays locked in the
    child for ever.
    """
    import logging  # noqa: F401  (and traceback with it)

    if config.endpoint.tls:
        import encodings.idna  # noqa: F401  (of the server's name)
        import ssl  # noqa: F401
    if config.compress:
        import zlib  # noqa: F401
    user_agent = f"axonize-python/{__version__}"
    if config.endpoint.grpc:
        from ._grpc import GrpcClient

        return GrpcClient(config, user_agent)
    from ._http import HttpClient

    return HttpClient(config, user_agent)
