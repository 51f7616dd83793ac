"""Settings: where a value comes from, how it is read, and what is said about one that cannot be."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from jupyterfut import config
from jupyterfut.errors import ConfigError


def write_file(text: str) -> Path:
    import os

    path = config.config_path(os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_when_nothing_is_said() -> None:
    assert config.settings() == config.Settings()
    assert {value.source for value in config.explain()} == {"default"}


def test_environment_wins_over_file_and_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file("worker:\n  inline_bytes: 1kB\nscheduler:\n  lease_s: 2 min\n")
    monkeypatch.setenv("JUPYTERFUT_WORKER_INLINE_BYTES", "64kB")
    found = {(value.group, value.name): value for value in config.explain()}
    assert found["worker", "inline_bytes"].value == 64_000
    assert found["worker", "inline_bytes"].source == "JUPYTERFUT_WORKER_INLINE_BYTES"
    assert found["scheduler", "lease_s"].value == 120.0
    assert found["scheduler", "lease_s"].source == str(path)
    assert config.settings().worker.inline_bytes == 64_000


def test_file_may_be_json() -> None:
    write_file(json.dumps({"scheduler": {"allowed_failures": 7}}))
    assert config.settings().scheduler.allowed_failures == 7


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("JUPYTERFUT_WORKER_INLINE_BYTES", "lots", "size in bytes"),
        ("JUPYTERFUT_SCHEDULER_LEASE_S", "-1", "duration in seconds"),
        ("JUPYTERFUT_SCHEDULER_LEASE_S", "nan", "duration in seconds"),
        ("JUPYTERFUT_SCHEDULER_ALLOWED_FAILURES", "2.5", "whole number"),
        ("JUPYTERFUT_NANNY_MEMORY_TERMINATE", "95", "share between 0 and 1"),
        ("JUPYTERFUT_DISPLAY", "loud", "not one of auto, html, widget, static"),
    ],
)
def test_a_bad_variable_is_named_with_what_is_wrong(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, complaint: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        config.settings()
    assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workers:\n  inline_bytes: 1", "no group 'workers'"),
        ("worker:\n  inline: 1", "no setting worker.inline"),
        ("- a list", "must map groups"),
        ("{", "neither JSON nor YAML"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(text: str, complaint: str) -> None:
    path = write_file(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        config.settings()
    assert str(path) in str(caught.value)


def test_a_file_that_was_asked_for_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERFUT_CONFIG", "/nowhere/config.yaml")
    with pytest.raises(ConfigError, match="/nowhere/config.yaml"):
        config.settings()


def test_a_process_hands_its_settings_on() -> None:
    settings = config.Settings(worker=config.WorkerSettings(inline_bytes=5))
    assert config.Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_every_setting_is_documented() -> None:
    for value in config.explain():
        assert value.doc
        assert value.unit == ("s" if value.name.endswith("_s") else value.unit)
        assert (value.unit == "bytes") == ("bytes" in value.name)


@pytest.mark.parametrize("text", ["", "12 parsecs", "1,5 s", True, None, float("nan"), -3])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a"):
        config.parse_seconds(text)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="is not a"):
        config.parse_bytes(text)  # type: ignore[arg-type]  # on purpose


def test_durations_as_dask_users_write_them() -> None:
    assert [config.parse_seconds(x) for x in ("10s", "10 ms", "1.5 min", "2h", 0, timedelta(seconds=3))] == [10, 0.01, 90, 7200, 0, 3]
