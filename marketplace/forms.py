"""The form of an upload: one `file` and some `channels`, refused at the first part that is too much."""

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from amends import field_problem
from marketplace.extraction import BYTES_MAX, too_large
from marketplace.plans import CHANNEL_CHARACTERS_MAX, CHANNELS_MAX

BODY_BYTES_MAX = BYTES_MAX + 1024 * 1024
CHANNEL_BYTES_MAX = 4 * CHANNEL_CHARACTERS_MAX
CHANNELS_REMEDY = f"send 1 to {CHANNELS_MAX} names of 1 to {CHANNEL_CHARACTERS_MAX} characters, each as channels=NAME"


async def read_form(request: web.Request) -> tuple[str, bytes, list[str]]:
    """The file's name, its content, and the channels without doubles.

    Raises:
        Problem: 400 no valid form, 413 too large, 415 no form at all, 422 a part that does not fit; the part is named.
    """
    if request.content_type != "multipart/form-data":
        raise field_problem(
            415, "Unsupported media type", "Content-Type", f"is {request.content_type}", "send multipart/form-data"
        )
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large()
    try:
        return await _read_parts(request)
    except (ValueError, AssertionError, LookupError, RuntimeError, BadHttpMessage) as malformed:  # aiohttp's parser
        said = malformed.message if isinstance(malformed, BadHttpMessage) else str(malformed)
        raise field_problem(
            400, "Malformed form", "body", f"is no valid form: {said[:200]}", "send multipart/form-data"
        ) from None


async def _read_parts(request: web.Request) -> tuple[str, bytes, list[str]]:
    filename, content, channels = None, b"", list[str]()
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise field_problem(400, "Malformed form", "body", "has a part within a part", "send plain parts")
        if part.name == "file":
            if filename is not None:
                raise field_problem(422, "Invalid form", "file", "is given twice", "send one file")
            filename, content = _text(part.filename or "", "file"), await _read_part(part, BYTES_MAX)
            if len(content) > BYTES_MAX:
                raise too_large()
        elif part.name == "channels":
            if len(channels) == CHANNELS_MAX:
                raise field_problem(422, "Invalid form", "channels", f"are more than {CHANNELS_MAX}", CHANNELS_REMEDY)
            channels.append(_channel(await _read_part(part, CHANNEL_BYTES_MAX)))
        else:
            raise field_problem(
                422, "Invalid form", str(part.name)[:60], "is not expected", "send `file` and `channels` only"
            )
    if filename is None:
        raise field_problem(422, "Invalid form", "file", "is missing", "send one file")
    if not channels:
        raise field_problem(422, "Invalid form", "channels", "are missing", CHANNELS_REMEDY)
    return filename, content, list(dict.fromkeys(channels))


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    """The part's content, of which no more is read than shows that it is over the limit."""
    found = bytearray()
    while len(found) <= limit and (chunk := await part.read_chunk(65536)):
        found += chunk
    return bytes(found)


def _channel(content: bytes) -> str:
    name = _text(content.decode("utf-8", "replace").strip(), "channels")
    if not 0 < len(name) <= CHANNEL_CHARACTERS_MAX or len(content) > CHANNEL_BYTES_MAX:
        message = f"hold a name of no or of more than {CHANNEL_CHARACTERS_MAX} characters: {name[:40]!r}"
        raise field_problem(422, "Invalid form", "channels", message, CHANNELS_REMEDY)
    return name


def _text(text: str, field: str) -> str:
    if "\x00" in text:
        raise field_problem(422, "Unstorable text", field, "holds a NUL", "remove it")
    return text.encode("utf-8", "replace").decode()
