"""Settings: what is read, what is refused, and what is shown."""

import pytest

from amends.settings import Settings, SettingsError, load, rows, without_effect


def refusal(**environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(environment)
    return str(refused.value)


def test_an_empty_environment_gives_the_defaults_of_section_q() -> None:
    settings = load({})
    assert (settings.concurrency, settings.port, settings.sagas) == (10, 3000, ("marketplace",))
    assert settings.database_url is None
    assert settings.redis is None


def test_an_empty_value_is_no_value() -> None:
    assert load({"QUEUE_CONCURRENCY": "", "AMENDS_SAGAS": ""}) == load({})


def test_variables_of_others_are_left_alone() -> None:
    others = {
        "QUEUE_SERVICE_HOST": "10.0.0.1",
        "REDIS_SERVICE_PORT": "1",
        "REDIS_PORT_6379_TCP": "x",
        "REDIS_TLS_URL": "y",
    }
    assert load({"PATH": "/bin", **others}) == load({})


@pytest.mark.parametrize("name", ["AMENDS_PORTT", "AMENDS_SAGA", "AMENDS_LOGLEVEL"])
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name: str) -> None:
    text = refusal(**{name: "1"})
    assert f"{name} is unknown: did you mean AMENDS_" in text


def test_an_unknown_name_that_resembles_nothing_is_to_be_unset() -> None:
    assert refusal(AMENDS_XQZWJ="1") == "AMENDS_XQZWJ is unknown: unset it"


@pytest.mark.parametrize("name", ["QUEUE_CONCURENCY", "QUEUE_MAX_RETRY", "REDIS_PASWORD"])
def test_what_is_nearly_a_name_of_ours_is_a_mistake(name: str) -> None:
    assert f"{name} is unknown: did you mean {name[:6]}" in refusal(**{name: "1"})


@pytest.mark.parametrize("name", ["REDIS_PASSWORD", "REDIS_PORT", "REDIS_DB"])
def test_req_q1_parts_of_a_redis_without_its_host_are_refused(name: str) -> None:
    assert f"{name} without REDIS_HOST" in refusal(**{name: "1"})
    load({name: "1", "REDIS_HOST": "h"})
    load({name: "1", "REDIS_URL": "redis://h"})


def test_req_q6_to_q10_what_is_not_there_yet_is_said_by_its_name() -> None:
    named = [
        "PROMETHEUS_ENABLED", "PROMETHEUS_PORT", "GRAFANA_ADMIN_PASSWORD", "SLACK_WEBHOOK_URL", "SLACK_ALERT_CHANNEL",
        "PAGERDUTY_KEY", "ENABLE_QUEUE_PROCESSING", "ENABLE_CIRCUIT_BREAKER", "ENABLE_AUTO_RECOVERY",
    ]  # fmt: skip
    lines = without_effect(dict.fromkeys(named, "hunter2"))
    assert sorted(line.partition(" has no effect in this version: ")[0] for line in lines) == sorted(named)
    assert "hunter2" not in str(lines)
    assert without_effect({"SLACK_WEBHOOK_URL": "", "PATH": "/bin"}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUEUE_CONCURRENCY", "ten"),
        ("QUEUE_CONCURRENCY", "0"),
        ("QUEUE_BACKOFF_DELAY", "2s"),
        ("AMENDS_PORT", "70000"),
        ("AMENDS_LOG_LEVEL", "XINFO"),
        ("AMENDS_DEVELOPMENT", "perhaps"),
        ("AMENDS_API_KEY", "short"),
        ("AMENDS_SAGAS", " , "),
        ("AMENDS_STEP_TIMEOUT", "0"),
        ("DATABASE_URL", "mysql://somewhere"),
        ("REDIS_URL", "localhost:6379"),
        ("DATABASE_URL", "postgresql://x:notaport/y"),
        ("DATABASE_URL", "postgresql://[bad"),
        ("DATABASE_URL", "postgresql://a:1,b:x/y"),
        ("REDIS_URL", "redis://127.0.0.1:notaport/0"),
        ("AMENDS_HOST", "999.1.1.1"),
        ("AMENDS_HOST", "no host"),
        ("AMENDS_HOST", "::g"),
        ("AMENDS_URL", "nonsense"),
        ("AMENDS_URL", "http://here:port"),
        ("AMENDS_URL", "http://h ost"),
        ("AMENDS_URL", "http://"),
        ("AMENDS_URL", "http://:3000"),
        ("AMENDS_URL", "http://h:99999"),
        ("AMENDS_URL", "http://me:hunter2@h"),
        ("AMENDS_URL", "http://h?x=1"),
        ("DATABASE_URL", "postgresql://h:99999/x"),
        ("DATABASE_URL", "postgresql://h:0/x"),
        ("DATABASE_URL", "postgresql://h ost/x"),
        ("REDIS_URL", "redis://h:99999"),
        ("REDIS_URL", "redis://h?socket_timeout=abc"),
        ("REDIS_URL", "redis://h?db=x"),
        ("REDIS_URL", "redis://h/abc"),
        ("REDIS_URL", "redis://h/0/1"),
        ("REDIS_HOST", "::1"),
        ("REDIS_HOST", "h:7000"),
        ("REDIS_HOST", "u@h/3?x=1"),
        ("REDIS_HOST", "h ost"),
        ("REDIS_HOST", "999.1.1.1"),
        ("QUEUE_BACKOFF_DELAY", "1" + "0" * 400),
        ("QUEUE_BACKOFF_DELAY", "300001"),
        ("AMENDS_API_KEY", "é" * 20),
        ("AMENDS_API_KEY", "a key with some spaces"),
    ],
)
def test_a_malformed_value_is_refused_by_name_with_the_remedy(name: str, value: str) -> None:
    text = refusal(**{name: value})
    assert text.startswith(name)
    assert "remedy: correct it, or unset it" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://me:p%40ss@a:5432,b/db?host=/tmp"),
        ("DATABASE_URL", "postgresql://amends@/amends?host=/tmp/sockets"),
        ("DATABASE_URL", "postgres://[::1]:5432/db"),
        ("REDIS_URL", "unix:///tmp/valkey.sock"),
        ("REDIS_URL", "rediss://:secret@there:6380/1"),
        ("REDIS_URL", "redis://[::1]:6379/0?socket_timeout=2.5&client_name=x"),
        ("REDIS_URL", "redis://h/"),
        ("REDIS_HOST", "redis_1.internal"),
        ("REDIS_HOST", "10.0.0.1"),
        ("AMENDS_HOST", "0.0.0.0"),  # noqa: S104
        ("AMENDS_HOST", "::1"),
        ("AMENDS_HOST", "api_1.internal"),
        ("AMENDS_URL", "https://amends.example.com/behind"),
    ],
)
def test_whatever_names_a_server_is_taken(name: str, value: str) -> None:
    assert value in [str(found) for found in load({name: value}).model_dump().values()]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = refusal(QUEUE_CONCURRENCY="ten", AMENDS_PORT="x", AMENDS_SAGA="m")
    assert {"QUEUE_CONCURRENCY", "AMENDS_PORT", "AMENDS_SAGA"} <= set(text.replace(":", " ").split())


def test_a_refusal_never_shows_a_secret() -> None:
    assert "hunter2" not in refusal(DATABASE_URL="mysql://me:hunter2@there", AMENDS_API_KEY="hunter2")
    assert "hunter2" not in refusal(DATABASE_URL="postgresql://me:hunter2\u2100@there/x")
    assert "hunter2" not in refusal(AMENDS_URL="http://me:hunter2@there", REDIS_HOST="me:hunter2@there")


def test_req_x44_the_redis_url_wins_over_host_and_port() -> None:
    assert load({"REDIS_URL": "redis://a", "REDIS_HOST": "b"}).redis == "redis://a"
    made = load({"REDIS_HOST": "b", "REDIS_PORT": "7000", "REDIS_PASSWORD": "p@ss/word", "REDIS_DB": "2"})
    assert made.redis == "redis://:p%40ss%2Fword@b:7000/2"


def test_req_x2_three_retries_with_the_listed_delays_unless_said_otherwise() -> None:
    assert load({}).defaults.delays == (1.0, 5.0, 30.0)
    assert load({"QUEUE_MAX_RETRIES": "5"}).defaults.delays == (1.0, 5.0, 30.0, 30.0, 30.0)
    assert load({"QUEUE_MAX_RETRIES": "0"}).defaults.delays == ()


def test_req_x2_attempts_count_executions_and_win_when_set_alone() -> None:
    assert load({"QUEUE_MAX_ATTEMPTS": "3"}).defaults.delays == (1.0, 5.0)
    assert load({"QUEUE_MAX_ATTEMPTS": "3", "QUEUE_MAX_RETRIES": "2"}).defaults.delays == (1.0, 5.0)


def test_req_x2_retries_and_attempts_that_contradict_are_refused() -> None:
    assert "contradict" in refusal(QUEUE_MAX_ATTEMPTS="3", QUEUE_MAX_RETRIES="3")


def test_req_x1_a_backoff_delay_selects_growing_delays() -> None:
    assert load({"QUEUE_BACKOFF_DELAY": "2000"}).defaults.delays == (2.0, 4.0, 8.0)


def test_faults_are_refused_outside_development() -> None:
    assert "AMENDS_DEVELOPMENT=1" in refusal(AMENDS_FAULTS="approval.tasks=fail")
    allowed = load({"AMENDS_FAULTS": "approval.tasks=fail", "AMENDS_DEVELOPMENT": "1"})
    assert allowed.injected[("approval", "tasks", "step")].kind == "fail"


def test_a_malformed_fault_is_refused_with_the_form_to_write() -> None:
    assert "write saga.step=fail" in refusal(AMENDS_FAULTS="approval", AMENDS_DEVELOPMENT="1")


def test_rows_show_each_setting_with_its_source_and_hide_secrets() -> None:
    given = {"DATABASE_URL": "postgresql://me:hunter2@there/db", "QUEUE_CONCURRENCY": "4"}
    shown = {name: (value, source) for name, value, source, _ in rows(load(given), given)}
    assert shown["DATABASE_URL"] == ("***", "environment")
    assert shown["QUEUE_CONCURRENCY"] == ("4", "environment")
    assert shown["AMENDS_PORT"] == ("3000", "default")
    assert set(shown) == {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert all(says for _, _, _, says in rows(load({}), {}))
