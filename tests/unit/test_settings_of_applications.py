"""Settings of applications: read into their own model, refused as ours are, and shown without secrets."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from amends import SettingsError, read_settings
from amends.sealing import seal_all
from amends.settings import load, rows


class Shop(BaseModel):
    name: str = Field(validation_alias="SHOP_NAME", description="what it is called")
    shelves: int = Field(default=4, validation_alias="SHOP_SHELVES", ge=1)
    key: SecretStr | None = Field(default=None, validation_alias="SHOP_KEY", description="key of its till")
    tags: tuple[str, ...] = Field(default=(), alias="SHOP_TAGS")

    @field_validator("key")
    @classmethod
    def _says_too_much(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 8:
            raise ValueError(f"{value.get_secret_value()} is too short")
        return value

    @field_validator("tags", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value


def refusal(**environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read_settings(Shop, environment)
    return str(refused.value)


def test_what_is_set_is_read_and_the_rest_has_its_default() -> None:
    shop = read_settings(Shop, {"SHOP_NAME": "Clara", "SHOP_TAGS": "a,b", "SHOP_SHELVES": "", "PATH": "/bin"})
    assert (shop.name, shop.shelves, shop.key, shop.tags) == ("Clara", 4, None, ("a", "b"))


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_NAME", "Clara")
    assert read_settings(Shop).name == "Clara"


def test_everything_that_is_wrong_is_named_with_the_remedy_and_not_quoted() -> None:
    text = refusal(SHOP_SHELVES="hunter1", SHOP_KEY="hunter2")
    assert text.splitlines() == [
        "SHOP_NAME (what it is called): Field required",
        "  remedy: set it",
        "SHOP_SHELVES: Input should be a valid integer, unable to parse string as an integer",
        "  remedy: correct it, or unset it, which gives 4",
        "SHOP_KEY (key of its till): *** is too short",
        "  remedy: correct it, or unset it",
    ]


def test_a_field_without_a_variable_is_a_mistake_of_the_model() -> None:
    class Unnamed(BaseModel):
        name: str = ""

    with pytest.raises(TypeError, match=r"Unnamed\.name names no variable"):
        read_settings(Unnamed, {})


def test_rows_show_them_with_their_source_and_hide_secrets() -> None:
    given = {"SHOP_NAME": "Clara", "SHOP_KEY": "hunter2hunter2"}
    assert [row[:3] for row in rows(read_settings(Shop, given), given)] == [
        ("SHOP_NAME", "Clara", "environment"),
        ("SHOP_SHELVES", "4", "default"),
        ("SHOP_KEY", "***", "environment"),
        ("SHOP_TAGS", "", "default"),
    ]


def test_no_process_starts_while_an_application_is_set_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_with_settings.py").write_text(
        "from amends import App, Saga\nfrom pydantic import BaseModel, Field\n"
        "class In(BaseModel):\n    n: int\n"
        "class Set(BaseModel):\n    n: int = Field(default=1, validation_alias='SHOP_NUMBER')\n"
        "a = Saga('a', input=In)\n@a.step('first')\nasync def first(request: In) -> None: ...\n"
        "app = App('shop', sagas=[a], settings=Set)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    settings = load({"AMENDS_SAGAS": "shop_with_settings"})
    monkeypatch.setenv("SHOP_NUMBER", "2")
    assert list(seal_all(settings)[1]) == ["a"]
    monkeypatch.setenv("SHOP_NUMBER", "two")
    with pytest.raises(SettingsError, match="SHOP_NUMBER"):
        seal_all(settings)
    del sys.modules["shop_with_settings"]
