"""The form of POST /v1/files, read from a body of bounded size."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from launcher.after.serve.documents import RequestRefused, client_gone
from launcher.api.files import TRAINING, Upload

_PIECE_S = 60.0
"""Seconds within which the next piece of an upload must arrive."""
_FORM_BYTES = 1 << 16
"""Bytes that a form has besides the file."""
_LEAST_S, _MOST_S = 3600, 2592000
"""Seconds of expires_after. Source: openapi.yml, FileExpirationAfter."""


async def read_upload(request: Request, most: int) -> Upload:
    """The upload; RequestRefused for one of more than `most` bytes, or for a form that is not the API's."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestRefused("the request must have the header Content-Type: multipart/form-data", status=415)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > most + _FORM_BYTES:
        raise _too_large(most)
    parser = MultiPartParser(
        request.headers, _pieces(request, most), max_files=1, max_fields=8, max_part_size=_FORM_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, ValueError) as error:
        raise RequestRefused(
            f"the form is invalid: {getattr(error, 'message', type(error).__name__)}"
        ) from None
    return _parse(form)


def _parse(form: FormData) -> Upload:
    purpose, file = form.get("purpose"), form.get("file")
    for name in form:
        if name not in ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]"):
            raise RequestRefused(f"{name[:60]} is not a field of an upload", param=name[:60])
    if not isinstance(purpose, str) or purpose != TRAINING:
        raise RequestRefused(
            f"purpose must be {TRAINING}: this server keeps only files for fine-tuning", param="purpose"
        )
    if not isinstance(file, UploadFile):
        raise RequestRefused("file is missing: send it as a part of the form with a filename", param="file")
    return Upload(filename=file.filename or "", content=file.file, expires_s=_expires(form))


def _expires(form: FormData) -> int | None:
    seconds, anchor = form.get("expires_after[seconds]"), form.get("expires_after[anchor]")
    if seconds is None and anchor is None:
        return None
    if anchor != "created_at":
        raise RequestRefused("expires_after.anchor must be created_at", param="expires_after.anchor")
    is_number = isinstance(seconds, str) and seconds.isdecimal() and len(seconds) < 10
    if not is_number or not _LEAST_S <= int(str(seconds)) <= _MOST_S:
        raise RequestRefused(
            f"expires_after.seconds must be from {_LEAST_S} to {_MOST_S}", param="expires_after.seconds"
        )
    return int(str(seconds))


async def _pieces(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The pieces of the body; RequestRefused if it is too large, or if a piece does not arrive in time."""
    size, stream = 0, request.stream().__aiter__()
    while True:
        try:
            piece = await asyncio.wait_for(stream.__anext__(), _PIECE_S)
        except StopAsyncIteration:
            return
        except ClientDisconnect:
            raise client_gone() from None
        except asyncio.TimeoutError:
            raise RequestRefused(f"no further byte arrived within {_PIECE_S:g} s", status=408) from None
        size += len(piece)
        if size > most + _FORM_BYTES:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> RequestRefused:
    return RequestRefused(
        f"a file has at most {most:,} bytes here; send a smaller one", status=413, param="file"
    )
