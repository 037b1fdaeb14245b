"""What an LLM span derives when it ends: TTFT, tokens per second, inter-token percentiles.

The C core has the same arithmetic (csrc/llm.c), and a test compares them. Inter-token
times are kept in a histogram with four buckets per octave of microseconds (error at most 12.5 %).
"""

from __future__ import annotations

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

BUCKETS = 104
"""Enough for 67 s between two tokens; longer gaps count in the last bucket."""


TIMELINE_BINS = 64


class Timeline:
    """How many tokens arrived when, in at most 64 bins from the first token on.

    A bin starts at about 1 ms (2^20 ns) and doubles whenever the stream outgrows them: 64 bins hold
    67 ms, 2 minutes take 11 doublings.
    """

    __slots__ = ("bins", "shift")

    def __init__(self) -> None:
        self.bins = [0] * TIMELINE_BINS
        self.shift = 20

    def add(self, since_ns: int, n: int) -> None:
        """Counts `n` tokens that arrived so long after the first one."""
        at = since_ns >> self.shift
        while at >= TIMELINE_BINS:
            pairs = [a + b for a, b in zip(self.bins[::2], self.bins[1::2])]
            self.bins = pairs + [0] * (TIMELINE_BINS // 2)
            self.shift += 1
            at >>= 1
        self.bins[at] += n

    def trimmed(self) -> list[int]:
        """The bins up to the last one that holds a token."""
        last = max((at for at, tokens in enumerate(self.bins) if tokens), default=0)
        return [min(tokens, 0xFFFFFFFF) for tokens in self.bins[: last + 1]]


def count(value: Any) -> int:
    """A token count as given by the program: negative or odd values mean unknown (-1)."""
    try:
        number = int(value)
    except Exception:
        # Whatever __int__ of a foreign object does, the program must not notice.
        return -1
    return number if 0 <= number < 1 << 62 else -1


def bucket(gap_ns: int) -> int:
    """Bucket of a gap between two tokens."""
    gap_us = gap_ns >> 10
    if gap_us < 4:
        return gap_us if gap_us > 0 else 0
    octave = gap_us.bit_length() - 1
    index = 4 * (octave - 1) + (gap_us >> (octave - 2) & 3)
    return index if index < BUCKETS else BUCKETS - 1


def bucket_middle_ms(index: int) -> float:
    """Middle of a bucket in milliseconds."""
    if index < 4:
        return (index + 0.5) * 1024 / 1e6
    octave, quarter = index // 4 + 1, index % 4
    width = 1 << (octave - 2)
    return ((4 + quarter) * width + width / 2) * 1024 / 1e6


def percentile_ms(buckets: Mapping[int, int], share: float) -> float:
    """The given share (0-1) of the gaps is at most this long."""
    left = share * sum(buckets.values())
    found = 0
    for index in sorted(buckets):
        found = index
        left -= buckets[index]
        if left <= 0:
            break
    return bucket_middle_ms(found)


def derived(
    start: int, end: int, first: int, last: int, recorded: int, tokens_in: int, tokens_out: int,
    buckets: Mapping[int, int], timeline: Timeline,
) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """Attributes of a finished call; times in ns of one clock, -1 for counts not given."""
    if tokens_in >= 0:
        yield "gen_ai.usage.input_tokens", tokens_in
        yield "ai.llm.tokens.input", tokens_in
    output = tokens_out if tokens_out >= 0 else recorded
    if tokens_out >= 0 or recorded > 0:
        yield "gen_ai.usage.output_tokens", output
        yield "ai.llm.tokens.output", output
    if recorded > 0:
        ttft = first - start
        yield "gen_ai.response.time_to_first_chunk", ttft / 1e9
        yield "ai.llm.ttft_ms", ttft / 1e6
        yield "axonize.llm.last_token_ms", (last - start) / 1e6
    # Tokens after the first over the time they took; where only a count is known, over the call.
    if recorded > 1 and last > first and output > 1:
        yield "ai.llm.tokens_per_second", (output - 1) * 1e9 / (last - first)
    elif output > 0 and end > start:
        yield "ai.llm.tokens_per_second", output * 1e9 / (end - start)
    if buckets:
        yield "axonize.llm.itl_p50_ms", percentile_ms(buckets, 0.5)
        yield "axonize.llm.itl_p99_ms", percentile_ms(buckets, 0.99)
        yield "axonize.llm.timeline.tokens", timeline.trimmed()
        yield "axonize.llm.timeline.bin_ms", (1 << timeline.shift) / 1e6


def counted(span: Any, source: Any, count_of: Callable[[Any], int] | None) -> Any:
    """`source` with every item recorded on `span`; the span stays the caller's to end."""
    if hasattr(source, "__aiter__"):
        return _counted_async(span, source, count_of)
    return _counted(span, source, count_of)


def _counted(span: Any, source: Any, count_of: Callable[[Any], int] | None) -> Iterator[Any]:
    record = span.record_token
    try:
        for item in source:
            record() if count_of is None else record(count_of(item))
            yield item
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


async def _counted_async(span: Any, source: Any, count_of: Callable[[Any], int] | None) -> Any:
    record = span.record_token
    try:
        async for item in source:
            record() if count_of is None else record(count_of(item))
            yield item
    finally:
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        if close is not None:
            done = close()
            if hasattr(done, "__await__"):
                await done
