"""The body of a request: JSON of a bounded size that arrives in time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from launcher.after.serve.documents import RequestRefused, client_gone

MOST_BYTES = 4 << 20
"""Bytes of the largest request."""
_BODY_S = 30.0
"""Seconds within which the body of a request must have arrived."""


async def read_body(request: Request, most: int = MOST_BYTES) -> bytes:
    """The body of a request of at most `most` bytes; RequestRefused if it is not JSON by its type, too large, or does not
    arrive completely."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # another type could be sent by any web page
        raise RequestRefused("the request must have the header Content-Type: application/json", status=415)
    try:
        return await asyncio.wait_for(_read(request, most), _BODY_S)
    except asyncio.TimeoutError:
        raise RequestRefused(f"the body did not arrive within {_BODY_S:g} s", status=408) from None


async def _read(request: Request, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "")
    too_large = RequestRefused(f"the request is larger than {most:,} bytes; send less", status=413)
    if announced.isdecimal() and int(announced[:20]) > most:
        raise too_large
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise too_large
            pieces.append(piece)
    except ClientDisconnect:
        raise client_gone() from None
    return b"".join(pieces)
