"""What is set about agents: where an OpenAI-compatible endpoint is, and which models answer."""

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

VISIBLE = re.compile(r"[!-~]+")


class AgentSettings(BaseModel):
    """Without a URL the built-in agent answers, which needs nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = Field(
        default=None,
        validation_alias="OPENAI_BASE_URL",
        description="OpenAI-compatible endpoint of the agents; unset: the built-in rules",
    )
    api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="key of that endpoint, needed with OPENAI_BASE_URL"
    )
    model: str = Field(default="gpt-4o-mini", validation_alias="OPENAI_MODEL", description="model that answers")
    models: dict[str, str] = Field(
        default={}, validation_alias="OPENAI_MODELS", description="models of channels: Channel=model, by comma"
    )

    @field_validator("base_url")
    @classmethod
    def _names_an_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:  # it is not quoted: a password may stand in it
            raise ValueError("cannot be read as a URL") from None
        if parts.scheme not in ("http", "https") or not host or port == 0 or not VISIBLE.fullmatch(value):
            raise ValueError("is no URL such as https://api.openai.com/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("holds more than scheme, host, port and path; the key belongs in OPENAI_API_KEY")
        return value

    @field_validator("api_key")
    @classmethod
    def _fit_for_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not VISIBLE.fullmatch(value.get_secret_value()):
            raise ValueError("holds others than visible ASCII characters")
        return value

    @field_validator("model")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("names no model")
        return value.strip()

    @field_validator("models", mode="before")
    @classmethod
    def _by_channel(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found: dict[str, str] = {}
        for part in value.split(","):
            channel, _, model = (piece.strip() for piece in part.partition("="))
            if not channel or not model:
                raise ValueError("is not written as Channel=model,Channel=model")
            if channel.casefold() in (known.casefold() for known in found):
                raise ValueError("names a channel twice")
            found[channel] = model
        return found

    @model_validator(mode="after")
    def _a_key_for_the_endpoint(self) -> "AgentSettings":
        if self.base_url is not None and self.api_key is None:
            raise ValueError(
                "OPENAI_API_KEY is needed with OPENAI_BASE_URL\n"
                "  remedy: set it (to any word if the endpoint asks for none), or unset OPENAI_BASE_URL"
            )
        return self
