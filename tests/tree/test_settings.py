"""Settings come from flags, then the environment, then defaults, and refuse what they cannot mean."""

from __future__ import annotations

import dataclasses

import pytest

from awa.errors import ValidationError
from awa.settings import SETTINGS, Setting, Settings


def test_defaults_are_those_of_the_table() -> None:
    assert Settings.from_sources({}, {}) == Settings()
    assert dataclasses.asdict(Settings()) == {setting.name: setting.default for setting in SETTINGS}


def test_a_default_passes_its_own_check() -> None:
    for setting in SETTINGS:
        if setting.default is not None:
            assert setting.read(setting.default, "default") == setting.default


def test_names_carry_their_unit() -> None:
    numbers = {setting.name for setting in SETTINGS if setting.kind in ("integer", "number")}
    without = {name for name in numbers if not name.endswith(("_ms", "_s", "_h", "_mb"))}
    assert without == {"processes", "max_jobs", "segment_ids"}


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    env = {"AWA_POLL_INTERVAL_MS": "50", "AWA_PROMOTE_INTERVAL_MS": "500"}
    settings = Settings.from_sources({"poll_interval_ms": 20, "promote_interval_ms": None}, env)
    assert (settings.poll_interval_ms, settings.promote_interval_ms, settings.segment_ids) == (20, 500, 1_000_000)


def test_the_database_is_named_by_the_usual_variable() -> None:
    assert Settings.from_sources({}, {"DATABASE_URL": "embedded://"}).database_url == "embedded://"


def test_an_empty_value_counts_as_none() -> None:
    settings = Settings.from_sources({"app": ""}, {"AWA_PROCESSES": " ", "AWA_QUEUES": ""})
    assert (settings.app, settings.processes, settings.queues) == (None, None, None)


@pytest.mark.parametrize("given", ["mail, reports,mail", ["mail", "reports"], ("mail", "reports")])
def test_queues_are_names_separated_by_commas(given: object) -> None:
    assert Settings.from_sources({"queues": given}, {}).queues == ("mail", "reports")


def test_a_node_is_stale_after_three_heartbeats() -> None:
    assert Settings.from_sources({"heartbeat_interval_s": "0.5"}, {}).heartbeat_stale_s == 1.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processes", "0"),
        ("processes", "two"),
        ("processes", "1.5"),
        ("processes", 2.0),
        ("processes", "99999"),
        ("poll_interval_ms", "-1"),
        ("heartbeat_interval_s", "0"),
        ("heartbeat_interval_s", "nan"),
        ("drain_timeout_s", "inf"),
        ("queues", "mail,,reports"),
        ("queues", "a\x01b"),
        ("queues", "q" * 201),
        ("log_format", "xml"),
        ("log_level", "loud"),
    ],
)
def test_a_refusal_names_the_setting_its_source_and_what_is_allowed(name: str, value: object) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    with pytest.raises(ValidationError) as from_flag:
        Settings.from_sources({name: value}, {})
    assert f"setting {name} is {value!r} (from {setting.flag}); it must be {setting.allowed}" == str(from_flag.value)
    with pytest.raises(ValidationError, match=rf"\(from \${setting.env}\)"):
        Settings.from_sources({}, {setting.env: str(value).replace("2.0", "2.5")})


def test_what_is_allowed_is_said_in_words() -> None:
    assert Setting("x", "integer", 1, "", 1, 60_000).allowed == "a whole number from 1 to 60,000"
    assert Setting("x", "number", 1, "", 0.1, 300).allowed == "a number from 0.1 to 300"
    assert Setting("x", "choice", "a", "", choices=("a", "b")).allowed == "one of a, b"


def test_an_unknown_flag_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no setting is called 'colour'; there are app, "):
        Settings.from_sources({"colour": "blue"}, {})
