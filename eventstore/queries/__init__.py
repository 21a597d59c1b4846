"""One query a file, named for what it does."""

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """The text of a query."""
    return files(__name__).joinpath(f"{name}.sql").read_text("utf-8")
