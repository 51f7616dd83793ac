"""`jupyterfut dashboard`, and the dashboard of a scheduler that was started by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
import webbrowser
from collections.abc import Iterator

import pytest

from jupyterfut import LocalCluster
from jupyterfut.cli.main import main
from jupyterfut.runtime import connections


@pytest.fixture
def mill() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=0, name="mill") as cluster:
        yield cluster


def test_the_link_is_printed(mill: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["mill"], [mill.scheduler_address]):
        assert main(["dashboard", "--print", *arguments]) == 0
        assert capsys.readouterr().out.strip() == mill.dashboard_link
    (info,) = connections.list_connection_files()
    assert info.dashboard == mill.dashboard_link
    assert main(["cluster", "list", "--json"]) == 0
    assert mill.dashboard_link.partition("=")[2] not in capsys.readouterr().out


@pytest.mark.parametrize("there_is_one", [True, False])
def test_the_browser_is_opened_if_there_is_one(
    mill: LocalCluster, there_is_one: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda link: opened.append(link) or there_is_one)
    assert main(["dashboard"]) == 0
    assert opened == [mill.dashboard_link]
    assert (mill.dashboard_link in capsys.readouterr().out) == (not there_is_one)


def test_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard"]) == 1
    assert "running on this machine: none" in capsys.readouterr().err
    assert main(["dashboard", "mill"]) == 1
    assert "no cluster called 'mill'" in capsys.readouterr().err
    with LocalCluster(n_workers=0, name="dark", dashboard_address=None):
        assert main(["dashboard", "dark"]) == 1
        assert "has no dashboard" in capsys.readouterr().err


def test_a_scheduler_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterfut", "scheduler", "--name", "hand", "--dashboard-address", ":0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if "dashboard at" in line)
        assert main(["dashboard", "hand", "--print"]) == 0
        link = capsys.readouterr().out.strip()
        assert link.partition("?")[0] in said
        assert "token" not in said
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(link, timeout=20) as response:
            assert response.status == 200
            assert "token" not in response.url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_beyond_loopback_it_wants_tls(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scheduler", "--dashboard-address", "0.0.0.0:0"])
    assert "other machines" in capsys.readouterr().err
