"""The only module that reads the environment. Unknown and malformed values stop the start, with name and remedy."""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_args
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from amends.addresses import check_database_url, check_host, check_redis_url, check_web_url
from consumers.faults import Faults, parse_faults
from sagas.delays import exponential
from sagas.manifest import STEP_DELAYS_SECONDS
from sagas.retry import GROWING_JITTER
from sagas.seal import Defaults

M = TypeVar("M", bound=BaseModel)
PREFIX = "AMENDS_"
SECRETS = frozenset({"DATABASE_URL", "REDIS_URL", "REDIS_PASSWORD", "AMENDS_API_KEY"})
BACKOFF_CAP_SECONDS = 300.0
KEY = re.compile(r"[!-~]{16,}")
SHARED_PREFIXES = ("QUEUE_", "REDIS_")
"""Others use them too, such as Kubernetes for services of that name: only what is nearly one of ours is a mistake."""
ALIKE = 0.8
ALERTS = "nobody is told of alerts yet; `amends saga list --waiting operator` shows what waits for a person"
METRICS = "the API serves metrics at /api/metrics, to keys of any role"
WITHOUT_EFFECT = {
    "ENABLE_AUTO_RECOVERY": "the reconciler always puts right what got stuck",
    "ENABLE_CIRCUIT_BREAKER": "there are no breakers yet",
    "ENABLE_QUEUE_PROCESSING": "work always goes through the queue",
    "GRAFANA_ADMIN_PASSWORD": "no Grafana comes with it yet",
    "PAGERDUTY_KEY": ALERTS,
    "PROMETHEUS_ENABLED": METRICS,
    "PROMETHEUS_PORT": METRICS,
    "SLACK_ALERT_CHANNEL": ALERTS,
    "SLACK_WEBHOOK_URL": ALERTS,
}
"""Variables of requirements Q6 to Q10 that this version does not know yet, each with what holds instead."""


class SettingsError(Exception):
    """The settings do not hold together; each line names a variable and the remedy."""


def _named(default: Any, variable: str, says: str, **bounds: Any) -> Any:
    return Field(default=default, validation_alias=variable, description=says, **bounds)


class Settings(BaseModel):
    """Everything that can be set. The variable of each field is its alias; lengths are in seconds unless named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str | None = _named(None, "DATABASE_URL", "PostgreSQL; unset: an embedded one")
    redis_url: str | None = _named(None, "REDIS_URL", "Redis or Valkey; unset: an embedded one")
    redis_host: str | None = _named(None, "REDIS_HOST", "as an alternative to REDIS_URL, which wins")
    redis_port: int = _named(6379, "REDIS_PORT", "with REDIS_HOST", ge=1, le=65535)
    redis_password: str | None = _named(None, "REDIS_PASSWORD", "with REDIS_HOST")
    redis_db: int = _named(0, "REDIS_DB", "with REDIS_HOST", ge=0)
    concurrency: int = _named(10, "QUEUE_CONCURRENCY", "commands that a worker runs at once", ge=1, le=10_000)
    max_retries: int = _named(3, "QUEUE_MAX_RETRIES", "retries of a step that says nothing", ge=0, le=1000)
    max_attempts: int | None = _named(None, "QUEUE_MAX_ATTEMPTS", "executions, as QUEUE_MAX_RETRIES + 1", ge=1, le=1001)
    backoff_delay_ms: int | None = _named(
        None, "QUEUE_BACKOFF_DELAY", "milliseconds; selects growing delays", ge=1, le=300_000
    )
    sagas: tuple[str, ...] = _named(("marketplace",), "AMENDS_SAGAS", "applications, by comma")
    data_dir: Path = _named(Path(".amends"), "AMENDS_DATA_DIR", "where the embedded servers keep their data")
    archive_dir: Path | None = _named(
        None,
        "AMENDS_ARCHIVE_DIR",
        "where `amends archive` puts sagas and the API reads them; unset: DATA_DIR/archive",
    )
    host: str = _named("127.0.0.1", "AMENDS_HOST", "address that the API listens on")
    port: int = _named(3000, "AMENDS_PORT", "port of the API; 0: a free one", ge=0, le=65535)
    api_key: str | None = _named(None, "AMENDS_API_KEY", "key that callers of the API show")
    url: str | None = _named(None, "AMENDS_URL", "where commands find the API; unset: what `amends up` wrote down")
    step_timeout: float = _named(10.0, "AMENDS_STEP_TIMEOUT", "timeout of a step that says nothing", gt=0, le=86400)
    drain_timeout: float = _named(
        30.0, "AMENDS_DRAIN_TIMEOUT", "how long a worker ends what it runs; at most 15 under `amends up`", ge=0, le=3600
    )
    development: bool = _named(False, "AMENDS_DEVELOPMENT", "allows what production must not do")
    faults: str = _named("", "AMENDS_FAULTS", "injected faults: saga.step=fail|maybe|hang|sleep:SECONDS")
    log_level: str = _named(
        "INFO", "AMENDS_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", pattern="^(DEBUG|INFO|WARNING|ERROR)$"
    )
    ready_fd: int | None = _named(None, "AMENDS_READY_FD", "set by `amends up`: where a process says that it is ready")

    @field_validator("sagas", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("sagas")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("names no application")
        return value

    @field_validator("database_url")
    @classmethod
    def _names_databases(cls, value: str | None) -> str | None:
        if value is not None:
            check_database_url(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _names_a_redis(cls, value: str | None) -> str | None:
        if value is not None:
            check_redis_url(value)
        return value

    @field_validator("url")
    @classmethod
    def _names_an_api(cls, value: str | None) -> str | None:
        if value is not None:
            check_web_url(value)
        return value

    @field_validator("redis_host")
    @classmethod
    def _names_a_host(cls, value: str | None) -> str | None:
        if value is not None:
            check_host(value, is_in_a_url=True)
        return value

    @field_validator("host")
    @classmethod
    def _listenable(cls, value: str) -> str:
        check_host(value)
        return value

    @field_validator("api_key")
    @classmethod
    def _fit_for_a_header(cls, value: str | None) -> str | None:
        if value is not None and not KEY.fullmatch(value):
            raise ValueError("has fewer than 16 characters, or others than visible ASCII")
        return value

    @field_validator("faults")
    @classmethod
    def _parsed(cls, value: str) -> str:
        parse_faults(value)
        return value

    @model_validator(mode="after")
    def _faults_are_for_development(self) -> "Settings":
        if self.faults and not self.development:
            raise ValueError("AMENDS_FAULTS is refused: it is for development; set AMENDS_DEVELOPMENT=1 or unset it")
        return self

    @model_validator(mode="after")
    def _parts_of_a_redis_belong_to_a_host(self) -> "Settings":
        alone = [name for name in ("redis_port", "redis_password", "redis_db") if name in self.model_fields_set]
        if alone and self.redis is None:
            names = " and ".join(name.upper() for name in alone)
            raise ValueError(f"{names} without REDIS_HOST: set it, or REDIS_URL instead, or unset {names}")
        return self

    @model_validator(mode="after")
    def _retries_and_attempts_agree(self) -> "Settings":
        said = {"max_retries", "max_attempts"} <= self.model_fields_set and self.max_attempts is not None
        if said and self.max_attempts != self.max_retries + 1:
            raise ValueError(
                f"QUEUE_MAX_RETRIES={self.max_retries} and QUEUE_MAX_ATTEMPTS={self.max_attempts} contradict: "
                "attempts are retries + 1; unset one of them"
            )
        return self

    @property
    def redis(self) -> str | None:
        """Where Redis is: the URL, or one made of host, port, password and number."""
        if self.redis_url is not None or self.redis_host is None:
            return self.redis_url
        secret = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
        return f"redis://{secret}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    @property
    def archive(self) -> Path:
        """Where archived sagas stand."""
        return self.archive_dir or self.data_dir / "archive"

    @property
    def injected(self) -> Faults:
        """The faults as the worker takes them."""
        return parse_faults(self.faults)

    @property
    def defaults(self) -> Defaults:
        """What holds for steps that say nothing [req. X1, X2]."""
        retries = self.max_retries if self.max_attempts is None else self.max_attempts - 1
        if self.backoff_delay_ms is not None:
            delays = exponential(self.backoff_delay_ms / 1000, 2.0, BACKOFF_CAP_SECONDS, retries)
            return Defaults(self.step_timeout, delays, jitter=GROWING_JITTER)
        listed = STEP_DELAYS_SECONDS + (STEP_DELAYS_SECONDS[-1],) * max(retries - len(STEP_DELAYS_SECONDS), 0)
        return Defaults(self.step_timeout, listed[:retries])


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a value is malformed, a variable that begins with `AMENDS_` is unknown, or one that begins with
            `QUEUE_` or `REDIS_` is nearly one of ours.
    """
    found = dict(os.environ if environment is None else environment)
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    wrong = [line for name in sorted(found) if name not in known and (line := _unknown(name, known)) is not None]
    try:
        settings = read_settings(Settings, found)
    except SettingsError as unfit:
        wrong.append(str(unfit))
    else:
        if not wrong:
            return settings
    raise SettingsError("\n".join(wrong))


def _unknown(name: str, known: Iterable[str]) -> str | None:
    """What is wrong with a name that is none of ours; None: it is somebody else's."""
    prefix = next((prefix for prefix in (PREFIX, *SHARED_PREFIXES) if name.startswith(prefix)), None)
    if prefix is None:
        return None
    ours = [other.removeprefix(prefix) for other in known if other.startswith(prefix)]
    cutoff = ALIKE if prefix in SHARED_PREFIXES else 0.6
    close = get_close_matches(name.removeprefix(prefix), ours, n=1, cutoff=cutoff)
    if not close and prefix in SHARED_PREFIXES:
        return None
    return f"{name} is unknown: " + (f"did you mean {prefix}{close[0]}?" if close else "unset it")


def without_effect(environment: Mapping[str, str] | None = None) -> list[str]:
    """What is set and asked for by the requirements, but not known to this version yet: a line for each."""
    found = os.environ if environment is None else environment
    return [
        f"{name} has no effect in this version: {holds}" for name, holds in WITHOUT_EFFECT.items() if found.get(name)
    ]


def read_settings(model: type[M], environment: Mapping[str, str] | None = None) -> M:
    """The settings of an application, read from the environment into its own model.

    The `validation_alias` (or `alias`) of each field is its variable, its `description` says what it is for; a field of
    the type `SecretStr` is never shown. An empty variable counts as unset. Names that begin with `AMENDS_` are ours.

    Raises:
        SettingsError: values are malformed or missing; each is named with the remedy, and never quoted.
        TypeError: a field of the model names no variable.
    """
    found = os.environ if environment is None else environment
    fields = _by_variable(model)
    given = {name: found[name] for name in fields if found.get(name)}
    try:
        return model.model_validate(given)
    except ValidationError as unfit:
        problems = [(error["loc"], error["msg"].removeprefix("Value error, ")) for error in unfit.errors()]
    secrets = [given[name] for name, field in fields.items() if name in given and _is_secret(name, field)]
    raise SettingsError("\n".join(_said(fields, place, _without(secrets, text)) for place, text in problems))


def _by_variable(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by their variables."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if not isinstance(field.validation_alias, str):
            raise TypeError(f"{model.__name__}.{name} names no variable: give it a Field(validation_alias=...)")
        found[field.validation_alias] = field
    return found


def _is_secret(variable: str, field: FieldInfo) -> bool:
    """Whether a variable holds what nobody may see: one of ours, or one of the type `SecretStr`, or that or nothing."""
    return variable in SECRETS or SecretStr in (field.annotation, *get_args(field.annotation))


def _without(secrets: Iterable[str], text: str) -> str:
    """A text without secrets: whoever wrote a validator may have quoted what it was given."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _said(fields: Mapping[str, FieldInfo], place: tuple[int | str, ...], problem: str) -> str:
    """The problem, with what the variable is for and its default; never the value, which may be a secret."""
    if not place:
        return problem
    field = fields[str(place[0])]
    default = _text(field.get_default(call_default_factory=True, validated_data={}))
    remedy = "set it" if field.is_required() else "correct it, or unset it" + (default and f", which gives {default}")
    says = f" ({field.description})" if field.description else ""
    return f"{place[0]}{says}: {problem}\n  remedy: {remedy}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value))
    if isinstance(value, dict):
        return ",".join(f"{name}={entry}" for name, entry in cast("dict[str, object]", value).items())
    return "" if value is None or value is PydanticUndefined else str(value)


def rows(settings: BaseModel, environment: Mapping[str, str] | None = None) -> list[tuple[str, str, str, str]]:
    """Each setting as (variable, value with secrets masked, source, what it is for)."""
    found = os.environ if environment is None else environment
    shown: list[tuple[str, str, str, str]] = []
    for name, field in type(settings).model_fields.items():
        variable = str(field.validation_alias)
        text = _text(getattr(settings, name))
        masked = "***" if _is_secret(variable, field) and text else text
        shown.append((variable, masked, "environment" if found.get(variable) else "default", field.description or ""))
    return shown


def environment() -> dict[str, str]:
    """A copy of the environment, for processes that are started from here."""
    return dict(os.environ)


def url() -> str | None:
    """Where commands find the API: `AMENDS_URL`."""
    return os.environ.get("AMENDS_URL") or None


def api_key() -> str | None:
    """The key that clients show: `AMENDS_API_KEY`."""
    return os.environ.get("AMENDS_API_KEY") or None
