"""`axonize.stream`: a model's stream with a span that lasts exactly as long as the stream.

The span begins when the stream is made, is current only while the source computes its next item,
and ends when the source is exhausted, fails, is closed, or is dropped: a consumer that breaks off
leaves no open span behind.
"""

from __future__ import annotations

from ._generators import current_span

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable
    from types import TracebackType
    from typing import Any, Generic, TypeVar

    T = TypeVar("T")
else:
    T = None

    class Generic:
        """Takes a parameter and forgets it, as `typing.Generic` does for whoever runs the program."""

        def __class_getitem__(cls, _parameter):
            return cls


class Stream(Generic[T]):
    """A traced iterator. `span` is its LlmSpan, for attributes that are known only later."""

    def __init__(self, span: Any, source: Any, count: Callable[[T], int] | None) -> None:
        self.span = span
        self._source = source
        self._items = iter(source)
        self._count = count

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        span = self.span
        before = current_span.get()
        current_span.set(span)
        try:
            item: T = next(self._items)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            current_span.set(before)
        span.record_token(1 if self._count is None else self._count(item))
        return item

    def _end(self, error: BaseException | None = None) -> None:
        self.span._finish(error)

    def close(self) -> None:
        """Ends the span and closes the source."""
        self._end()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)
        self.close()

    def __del__(self) -> None:
        if getattr(self, "span", None) is not None:
            self._end()


class AsyncStream(Generic[T]):
    """The same for asynchronous sources."""

    def __init__(self, span: Any, source: AsyncIterable[T], count: Callable[[T], int] | None) -> None:
        self.span = span
        self._source = source
        self._items = source.__aiter__()
        self._count = count

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        span = self.span
        before = current_span.get()
        current_span.set(span)
        try:
            item = await self._items.__anext__()
        except StopAsyncIteration:
            self._end()
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            current_span.set(before)
        span.record_token(1 if self._count is None else self._count(item))
        return item

    def _end(self, error: BaseException | None = None) -> None:
        self.span._finish(error)

    async def aclose(self) -> None:
        """Ends the span and closes the source."""
        self._end()
        source: Any = self._source
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        done: Any = close() if close is not None else None
        if hasattr(done, "__await__"):
            await done

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)
        await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "span", None) is not None:
            self._end()
