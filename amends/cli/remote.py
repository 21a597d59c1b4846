"""How commands reach a running Amends: AMENDS_URL and AMENDS_API_KEY, or what `amends up` wrote down."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import urllib.error
    import urllib.request

    from amends.settings import Settings

ANSWER_SECONDS = 30
SHOWN_CHARACTERS_MAX = 200
WRITTEN = ("url", "api_key", "database_url", "redis_url")


class UnavailableError(Exception):
    """Nothing answers, or nothing that is an Amends."""


class RefusedError(Exception):
    """The answer is no; the text is the problem's detail."""


class MovedError(RefusedError):
    """The saga is no longer at the version that was expected."""


class Answered(dict[str, Any]):
    """An object of an answer. One that lacks what every Amends answers is none of ours."""

    def __missing__(self, name: str) -> Any:
        raise UnavailableError(
            f"what answers is no Amends: '{name}' is missing in its answer\n  remedy: correct AMENDS_URL"
        )


def runtime_of(settings: "Settings") -> dict[str, Any] | None:
    """What `amends up` wrote in the data directory, if it runs.

    Raises:
        SettingsError: the file is none that `amends up` has written.
    """
    from amends.settings import SettingsError

    path = settings.data_dir / "runtime.json"
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
        wrong = [name for name in WRITTEN if not isinstance(found.get(name, ""), str)]  # pyright: ignore[reportUnknownMemberType]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no text")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError, OSError) as torn:
        raise SettingsError(
            f"{str(path)[-SHOWN_CHARACTERS_MAX:]} cannot be read: {str(torn)[:SHOWN_CHARACTERS_MAX]}\n"
            "  remedy: remove it and run `amends up` again, or set AMENDS_URL and AMENDS_API_KEY, "
            "or name another folder with --data-dir or AMENDS_DATA_DIR"
        ) from None
    return found  # pyright: ignore[reportUnknownVariableType] # any object


def call(
    settings: "Settings", method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Any:
    """Ask the API.

    Raises:
        UnavailableError: nothing answers, or no Amends. RefusedError: the answer is a problem.
        SettingsError: there is no key for the address.
    """
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    base, key = _address(settings)
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        f"{base}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **(headers or {})},
    )
    try:
        with _opener(base).open(request, timeout=ANSWER_SECONDS) as response:
            raw = response.read()
    except urllib.error.HTTPError as refused:
        raise _refusal(base, refused) from None
    except OSError as away:
        reason = getattr(away, "reason", away)
        raise UnavailableError(
            f"{base} does not answer: {reason}\n  remedy: start it with `amends up`, or correct AMENDS_URL"
        ) from None
    except (HTTPException, ValueError) as strange:
        raise _no_amends(base, f"{type(strange).__name__}: {strange}") from None
    found = _object(raw)
    if found is None:
        raise _no_amends(base, f"it answers {raw[:40]!r}")
    return found


def _address(settings: "Settings") -> tuple[str, str]:
    """The URL that is called, and the key that is for it: the one that `amends up` wrote down goes nowhere else."""
    from amends.settings import SettingsError

    found = {} if settings.url and settings.api_key else runtime_of(settings) or {}
    written = str(found.get("url", "")).rstrip("/")
    base = (settings.url or written).rstrip("/")
    if not base:
        raise UnavailableError(
            "no Amends is known here\n  remedy: run `amends up` in this folder, or set AMENDS_URL and AMENDS_API_KEY"
        )
    key = settings.api_key or (found.get("api_key") if base == written else None)
    if key is None:
        raise SettingsError(f"AMENDS_API_KEY is needed with AMENDS_URL\n  remedy: set it to a key that {base} knows")
    return base, key


def _opener(base: str) -> "urllib.request.OpenerDirector":
    """What opens a URL: what runs on this machine is behind no proxy."""
    import urllib.request
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        """Follows none: the key is for the address that was named, and for no other."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
            return None

    host = urlsplit(base).hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
    return urllib.request.build_opener(NoRedirects, *([urllib.request.ProxyHandler({})] if is_here else []))


def _refusal(base: str, refused: "urllib.error.HTTPError") -> Exception:
    """What an answer of 300 and more means."""
    from http.client import HTTPException

    with refused:
        try:
            problem = _object(refused.read())
        except (HTTPException, OSError):
            problem = None
    if refused.code < 400:
        place = str(refused.headers.get("Location"))[:SHOWN_CHARACTERS_MAX]
        return UnavailableError(
            f"{base} sends us to {place!r}\n  remedy: set AMENDS_URL to where Amends answers itself"
        )
    if problem is None or not {"title", "detail"} <= problem.keys():
        return _no_amends(base, f"it answers {refused.code} {refused.reason}")
    kind = UnavailableError if refused.code >= 500 else MovedError if refused.code == 412 else RefusedError
    return kind(f"{problem['title']}: {problem['detail']}")


def _object(raw: bytes) -> Mapping[str, Any] | None:
    """The JSON object of an answer; None: it is none."""
    try:
        found: Any = json.loads(raw, object_hook=Answered)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Answered) else None


def _no_amends(base: str, why: str) -> UnavailableError:
    shown = " ".join(why.split())[:SHOWN_CHARACTERS_MAX]
    return UnavailableError(f"what answers at {base} is no Amends: {shown}\n  remedy: correct AMENDS_URL")
