"""`awa-supervisor`: one option a setting; whatever is wrong with one is told before anything starts."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from awa.cli.supervise import main
from awa.settings import SETTINGS, Settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Takes the supervisor's place; returns what it would have been started with."""
    import awa.supervisor

    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 3

    monkeypatch.setattr(awa.supervisor, "run", run)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)
    return seen


def supervise(*args: str, **env: str) -> Result:
    return CliRunner().invoke(main, args, env=env)


def test_every_setting_has_its_flag_and_variable_in_the_help() -> None:
    text = " ".join(supervise("--help").stdout.split())
    for setting in SETTINGS:
        assert setting.flag in text
        assert f"[env: {setting.env}]" in text
        assert setting.meaning in text


def test_flags_and_environment_become_settings_and_the_exit_code_is_the_supervisors(started: list[Settings]) -> None:
    done = supervise("--app", "shop:client", "--processes", "3", "--queues", "a,b", AWA_LOG_FORMAT="json")
    assert done.exit_code == 3
    assert started == [Settings(app="shop:client", processes=3, queues=("a", "b"), log_format="json")]


def test_a_flag_wins_over_its_variable(started: list[Settings]) -> None:
    supervise("--processes", "3", AWA_PROCESSES="5", AWA_APP="shop:client")
    assert (started[0].processes, started[0].app) == (3, "shop:client")


@pytest.mark.parametrize(
    ("args", "env", "text"),
    [
        ((), {}, "error: no application is named: give --app package.module:client, or set AWA_APP"),
        (("--processes", "0"), {}, "error: setting processes is '0' (from --processes); it must be a whole number"),
        (("--processes", "many"), {}, "processes is 'many'"),
        ((), {"AWA_PROCESSES": "x"}, "setting processes is 'x' (from $AWA_PROCESSES)"),
        (("--queues", "a,,b"), {}, "setting queues is 'a,,b'"),
        (("--log-format", "xml"), {}, "must be one of text, json"),
        (("--app", "x:y", "--queues", ""), {}, "error: --queues is empty: give a value, or leave the option out"),
        (("--app", "x:y", "--database-url", " "), {}, "error: --database-url is empty"),
        (("--drain-timeout-s", "nan"), {}, "drain_timeout_s"),
        (("--no-such-option", "1"), {}, "No such option"),
        (("--no-such-\x1b]0;x\x07", "1"), {}, "No such option '--no-such-\\x1b]0;x\\x07'"),
        (("a\x1b[31mb",), {}, "extra argument (a\\x1b[31mb)"),
    ],
)
def test_a_bad_setting_exits_2_and_starts_nothing(
    started: list[Settings], args: tuple[str, ...], env: dict[str, str], text: str
) -> None:
    done = supervise(*args, **env)
    assert (done.exit_code, started) == (2, [])
    assert text in done.stderr
    assert "Traceback" not in done.output


def test_the_real_command_says_so_too(process: Any) -> None:
    code = "from awa.cli.supervise import main; main()"
    done = process("-c", code, "--processes", "0", AWA_APP="x:y")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: setting processes is '0'")
    assert process("-c", code, "--version").stdout.startswith("awa-supervisor, version ")
