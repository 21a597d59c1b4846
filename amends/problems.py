"""Errors that an HTTP caller is told of, as RFC 9457 problem documents."""

from collections.abc import Mapping, Sequence
from typing import Any


class Problem(Exception):
    """An answer that is not a success.

    `status` is the HTTP status, `title` says what kind of thing is wrong, `detail` what is wrong here and what to do;
    `errors` names fields: each entry has `field`, `message` and perhaps `remedy`; `members` stand beside all that.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members: dict[str, str] = {}

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem as JSON."""
        document: dict[str, Any] = {
            "type": f"urn:amends:problem:{self.title.lower().replace(' ', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [dict(entry) for entry in self.errors],
            **self.members,
        }
        if request_id is not None:
            document["requestId"] = request_id
        return document


def field_problem(status: int, title: str, field: str, message: str, remedy: str) -> Problem:
    """A problem with one field of the request."""
    detail = f"{field}: {message}; {remedy}"
    return Problem(status, title, detail, errors=[{"field": field, "message": message, "remedy": remedy}])
