"""How commands reach a running Amends: AMENDS_URL and AMENDS_API_KEY, or what `amends up` wrote down."""

import json
import urllib.error
import urllib.request
from typing import Any

from amends.settings import Settings, SettingsError


class UnavailableError(Exception):
    """Nothing answers."""


class RefusedError(Exception):
    """The answer is no; the text is the problem's detail."""


def runtime_of(settings: Settings) -> dict[str, Any] | None:
    """What `amends up` wrote in the data directory, if it runs.

    Raises:
        SettingsError: the file is none that `amends up` has written.
    """
    path = settings.data_dir / "runtime.json"
    if not path.exists():
        return None
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (ValueError, OSError) as torn:
        raise SettingsError(
            f"{path} cannot be read: {torn}\n"
            "  remedy: remove it and run `amends up` again, or set AMENDS_URL and AMENDS_API_KEY"
        ) from None
    return found  # pyright: ignore[reportUnknownVariableType] # any object


def call(settings: Settings, method: str, path: str, body: object = None) -> Any:
    """Ask the API.

    Raises:
        UnavailableError: nothing answers. RefusedError: the answer is a problem.
    """
    found = {} if settings.url and settings.api_key else runtime_of(settings) or {}
    base = settings.url or found.get("url")
    if base is None:
        raise UnavailableError(
            "no Amends is known here\n  remedy: run `amends up` in this folder, or set AMENDS_URL and AMENDS_API_KEY"
        )
    key = settings.api_key or found.get("api_key", "")
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        f"{base}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as refused:
        with refused:
            text = refused.read().decode("utf-8", "replace")
        try:
            problem = json.loads(text)
        except ValueError:
            problem = {"title": refused.reason, "detail": text[:500]}
        message = f"{problem.get('title')}: {problem.get('detail')}"
        raise (UnavailableError if refused.code == 503 else RefusedError)(message) from None
    except (urllib.error.URLError, OSError) as away:
        raise UnavailableError(f"{base} does not answer: {away}") from None
