"""What a setting may name as a server. What is wrong with a value is not quoted: a password may stand in it."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

DATABASE = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://", "unix://")
WEB = ("http://", "https://")
HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]*)(?::(\d{1,5}))?")
ADDRESS = re.compile(r"[\d.]+|.*:.*")
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
VISIBLE = re.compile(r"[!-~]+")
PORT_MAX = 65535
WHOLE = re.compile(r"[0-9]{1,9}")
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
REDIS_OPTIONS = {
    "db": WHOLE,
    "health_check_interval": WHOLE,
    "max_connections": WHOLE,
    "protocol": WHOLE,
    "socket_connect_timeout": SECONDS,
    "socket_timeout": SECONDS,
    "timeout": SECONDS,
}
"""Options of a Redis URL that are numbers."""


def check_database_url(url: str) -> None:
    """Whether a URL names PostgreSQL servers.

    Raises:
        ValueError: it does not.
    """
    _servers(url, DATABASE)


def check_redis_url(url: str) -> None:
    """Whether a URL names a Redis server, the number of a database, and options that are what they should be.

    Raises:
        ValueError: it does not.
    """
    parts = _servers(url, REDIS)
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
        raise ValueError("names no database by its number, as redis://HOST:PORT/NUMBER")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in REDIS_OPTIONS and not REDIS_OPTIONS[name].fullmatch(value):
            raise ValueError(f"gives its option {name} no number")


def check_web_url(url: str) -> None:
    """Whether a URL names a server of ours by scheme, host, port and path.

    Raises:
        ValueError: it does not.
    """
    parts = _servers(url, WEB)
    if not parts.hostname or not VISIBLE.fullmatch(url):
        raise ValueError("names no server as http://HOST or http://HOST:PORT")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("holds more than scheme, host, port and path; the key belongs in AMENDS_API_KEY")


def check_host(host: str, *, is_in_a_url: bool = False) -> None:
    """Whether a host is an address or a name; in a URL that is made of it no IPv6 address can stand.

    Raises:
        ValueError: it is not.
    """
    if is_in_a_url and ":" in host:
        raise ValueError("is no name of a host; a port and an IPv6 address belong in a URL, as redis://[::1]:6379")
    if ADDRESS.fullmatch(host):
        ip_address(host)
    elif not HOST_NAME.fullmatch(host):
        raise ValueError("is no address and no name of a host")


def _servers(url: str, kinds: tuple[str, ...]) -> SplitResult:
    """The parts of a URL of one of these kinds, whose hosts and ports are some."""
    if not url.startswith(kinds):
        raise ValueError(f"begins with none of {', '.join(kinds)}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("cannot be read as a URL") from None
    for server in parts.netloc.rpartition("@")[2].split(","):
        found = HOST_AND_PORT.fullmatch(server)
        if found is None or not 1 <= int(found[2] or 1) <= PORT_MAX:
            raise ValueError("names no server as HOST or HOST:PORT")
    return parts
