"""What the holder of an API key may do."""

from typing import Literal

Role = Literal["viewer", "producer", "operator"]
ROLES: tuple[Role, ...] = ("viewer", "producer", "operator")
