"""HPACK (RFC 7541) as far as a gRPC client needs it: literal encoding, full decoding without state.

We announce a dynamic table of size 0, so a peer may not refer to one. Peers do Huffman-code header
names and values (grpc-js does in its trailers). Anything malformed raises HpackError.
"""

from __future__ import annotations

from collections.abc import Iterable

HEADERS_BYTES_MAX = 64 * 1024
"""Decoded header list of one response; gRPC's own default limit is 8 KiB."""


class HpackError(Exception):
    """The peer's header block is not HPACK."""


# RFC 7541 appendix A; index = position + 1.
_STATIC = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""),
    ("via", ""), ("www-authenticate", ""),
)  # fmt: skip

# RFC 7541 appendix B: the code is canonical, so the lengths of the symbols 0-256 define it.
# Each letter is a length ("a" = 5 … "z" = 30).
_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccccccccccccccc"
    "ccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrt"
    "qrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)


def encode(headers: Iterable[tuple[str, str]], secret: frozenset[str] = frozenset()) -> bytes:
    """A header block of literals without indexing; names in `secret` are marked never-indexed."""
    out = bytearray()
    for name, value in headers:
        out.append(0x10 if name in secret else 0x00)
        for text in (name.encode("ascii"), value.encode("ascii")):
            out += _integer(len(text), 7, 0)
            out += text
    return bytes(out)


def decode(block: bytes) -> list[tuple[str, str]]:
    """The headers of a complete block, in order."""
    headers: list[tuple[str, str]] = []
    at, total = 0, 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            index, at = _read_integer(block, at, 7)
            pair = _static(index)
        elif first & 0xE0 == 0x20:
            size, at = _read_integer(block, at, 5)
            if size > 0:
                raise HpackError("the peer wants a dynamic table")
            continue
        else:
            index, at = _read_integer(block, at, 6 if first & 0x40 else 4)
            if index:
                name = _static(index)[0]
            else:
                name, at = _read_string(block, at)
            value, at = _read_string(block, at)
            pair = (name, value)
        total += len(pair[0]) + len(pair[1]) + 32
        if total > HEADERS_BYTES_MAX:
            raise HpackError("too many headers")
        headers.append(pair)
    return headers


def huffman_decode(data: bytes) -> bytes:
    """Decodes a Huffman-coded string; padding must be at most 7 one-bits."""
    out = bytearray()
    code, length = 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            symbol = _codes.get((length, code))
            if symbol is not None:
                if symbol == 256:
                    raise HpackError("end of string inside a string")
                out.append(symbol)
                code, length = 0, 0
            elif length > 30:
                raise HpackError("no such Huffman code")
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("bad Huffman padding")
    return bytes(out)


def _canonical() -> dict[tuple[int, int], int]:
    lengths = [ord(letter) - ord("a") + 5 for letter in _LENGTHS]
    codes: dict[tuple[int, int], int] = {}
    code, before = 0, 5
    for symbol in sorted(range(257), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        codes[before, code] = symbol
        code += 1
    return codes


_codes = _canonical()


def _static(index: int) -> tuple[str, str]:
    if not 1 <= index <= len(_STATIC):
        raise HpackError(f"no header with index {index}")
    return _STATIC[index - 1]


def _integer(value: int, prefix: int, flags: int) -> bytes:
    most = (1 << prefix) - 1
    if value < most:
        return bytes((flags | value,))
    out = bytearray((flags | most,))
    value -= most
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    most = (1 << prefix) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in range(0, 28, 7):
        if at >= len(block):
            break
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise HpackError("bad integer")


def _read_string(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise HpackError("cut short")
    coded = block[at] & 0x80
    length, at = _read_integer(block, at, 7)
    data = block[at : at + length]
    if len(data) < length:
        raise HpackError("cut short")
    return (huffman_decode(data) if coded else data).decode("latin-1"), at + length
