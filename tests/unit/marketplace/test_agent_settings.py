"""Which agent answers: the endpoint and the models that are set, or the built-in one."""

import os
import subprocess
import sys

import pytest

from amends import SettingsError, read_settings
from amends.settings import rows
from marketplace.agents.settings import AgentSettings

URL = "https://api.example.com/v1"
SERVERS = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}


def read(**environment: str) -> AgentSettings:
    return read_settings(AgentSettings, environment)


def test_nothing_set_is_the_built_in_agent() -> None:
    found = read()
    assert (found.base_url, found.api_key, found.model, found.models) == (None, None, "gpt-4o-mini", {})


def test_a_key_alone_changes_nothing() -> None:
    assert read(OPENAI_API_KEY="hunter2").base_url is None


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8080", "http://[::1]:8080/v1/", "http://ollama/v1"])
def test_whatever_names_an_endpoint_is_taken(url: str) -> None:
    assert read(OPENAI_BASE_URL=url, OPENAI_API_KEY="x").base_url == url


def test_each_channel_may_have_its_model() -> None:
    assert read(OPENAI_MODELS="Amazon=big, Mercado Livre = org/m:7b").models == {
        "Amazon": "big",
        "Mercado Livre": "org/m:7b",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_BASE_URL", "api.example.com"),
        ("OPENAI_BASE_URL", "ftp://api.example.com"),
        ("OPENAI_BASE_URL", "https://"),
        ("OPENAI_BASE_URL", "https://a:port/"),
        ("OPENAI_BASE_URL", "https://a:0/"),
        ("OPENAI_BASE_URL", "https://a:70000/"),
        ("OPENAI_BASE_URL", "https://[bad"),
        ("OPENAI_BASE_URL", "https://a b/"),
        ("OPENAI_BASE_URL", "https://me:hunter2@a/v1"),
        ("OPENAI_BASE_URL", "https://a/v1?key=hunter2"),
        ("OPENAI_API_KEY", "hunter2\nX-A: b"),
        ("OPENAI_API_KEY", "hunter2 é"),
        ("OPENAI_MODEL", " "),
        ("OPENAI_MODELS", "Amazon"),
        ("OPENAI_MODELS", "Amazon=a,"),
        ("OPENAI_MODELS", "=a"),
        ("OPENAI_MODELS", "Amazon=a,amazon=b"),
    ],
)
def test_a_malformed_value_is_refused_by_name_with_the_remedy(name: str, value: str) -> None:
    given = {"OPENAI_API_KEY": "word", name: value}
    with pytest.raises(SettingsError) as refused:
        read_settings(AgentSettings, given)
    text = str(refused.value)
    assert text.startswith(f"{name} (")
    assert "remedy: correct it, or unset it" in text
    assert "hunter2" not in text


def test_an_endpoint_needs_a_key() -> None:
    with pytest.raises(SettingsError) as refused:
        read(OPENAI_BASE_URL=URL)
    assert str(refused.value).startswith("OPENAI_API_KEY is needed with OPENAI_BASE_URL\n  remedy: set it")


def test_the_key_is_never_shown() -> None:
    given = {"OPENAI_BASE_URL": URL, "OPENAI_API_KEY": "hunter2", "OPENAI_MODELS": "Amazon=a,eBay=b"}
    found = read_settings(AgentSettings, given)
    shown = {variable: value for variable, value, _, _ in rows(found, given)}
    assert (shown["OPENAI_API_KEY"], shown["OPENAI_MODELS"]) == ("***", "Amazon=a,eBay=b")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("role", ["worker", "up"])
def test_no_process_starts_while_one_is_malformed(role: str, tmp_path: os.PathLike[str]) -> None:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("AMENDS_", "OPENAI_"))}
    wrong = {"OPENAI_BASE_URL": "nonsense", "OPENAI_API_KEY": "hunter2"}
    command = [sys.executable, "-m", "amends", role, *(["--data-dir", str(tmp_path)] if role == "up" else [])]
    done = subprocess.run(
        command, env={**told, **SERVERS, **wrong}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("OPENAI_BASE_URL (")
    assert "hunter2" not in done.stderr
