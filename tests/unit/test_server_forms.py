"""What pages send to the Jupyter server, read without one; and the Pythons behind kernels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterfut.notebook.server import forms
from jupyterfut.notebook.server.environments import environments
from jupyterfut.notebook.server.forms import BadForm, Bounds


def test_what_a_form_leaves_open_the_defaults_say() -> None:
    defaults = {"n_workers": 4, "memory_limit": "2 GB", "options": {"local_directory": "/scratch"}}
    wanted = forms.start({"n_workers": 1, "name": " mill "}, defaults)
    assert wanted.name == "mill"
    assert wanted.wish["options"] == {"n_workers": 1, "memory_limit": "2 GB", "local_directory": "/scratch"}
    assert forms.start({}, {}).wish == {"type": "local", "name": "", "detached": False, "adapt": None, "options": {}}


def test_options_of_one_type_are_not_anothers() -> None:
    with pytest.raises(BadForm, match="no 'hosts'"):
        forms.start({"options": {"hosts": ["a", "b"]}}, {})
    with pytest.raises(BadForm, match="no 'local_directory'"):
        forms.start({"type": "ssh", "options": {"hosts": ["a", "b"], "local_directory": "/x"}}, {})


def test_machines_are_named_as_people_write_them() -> None:
    body = {"type": "ssh", "n_workers": 2, "threads_per_worker": 1, "options": {"hosts": "gate, node1 node2", "username": "me", "port": 2222}}
    assert forms.start(body, {}).wish["options"] == {
        "hosts": ["gate", "node1", "node2"],
        "connect_options": {"username": "me", "port": 2222},
        "worker_options": {"n_workers": 2, "nthreads": 1},
    }


@pytest.mark.parametrize("body", [{}, {"n_workers": 1, "adapt": None}, {"n_workers": None}, {"n_workers": 1.5}, {"n_workers": "3"}, [], {"adapt": 3}])
def test_a_size_is_a_number_or_bounds(body: Any) -> None:
    with pytest.raises(BadForm):
        forms.resize(body)


def test_bounds_may_have_no_maximum() -> None:
    assert forms.resize({"adapt": {"minimum": 2}}) == Bounds(2, None)
    assert forms.resize({"adapt": {}}) == Bounds(0, None)


def test_a_remote_cluster_has_an_address_and_a_token(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    found = forms.remote({"address": " TLS://Mill.example:8786/ ", "token": " t ", "tls_ca": str(ca)})
    assert (found.address, found.name, found.security.token, found.security.tls_ca) == ("tls://Mill.example:8786", "Mill.example:8786", "t", str(ca))
    assert "'t'" not in repr(found)
    with pytest.raises(BadForm, match="tls_ca"):
        forms.remote({"address": "tcp://h:1", "token": "t", "tls_ca": str(ca)})


@pytest.mark.parametrize("name", ["", " ", "-x", "a/b", "a\nb", "x" * 81, "tcp://h:1", "<b>"])
def test_names_are_such_as_can_be_typed_and_shown(name: str) -> None:
    if not name:
        assert forms.cluster_name(name) == ""
        return
    with pytest.raises(BadForm, match="name"):
        forms.cluster_name(name)


def spec(*argv: str, language: str = "python", **more: Any) -> dict[str, Any]:
    return {"spec": {"argv": list(argv), "display_name": argv[0] if argv else "none", "language": language, **more}}


def test_environments_are_the_pythons_of_kernels() -> None:
    own = sys.executable
    found = environments(
        {
            "python3": spec("python", "-m", "ipykernel_launcher"),
            "conda": spec("python", "-m", "nb_conda_kernels.runner", metadata={"conda_env_path": "/opt/conda/envs/x"}),
            "other": spec("/opt/other/bin/python3.12", env={"A": "${HOME}/x"}),
            "wrapped": spec("/opt/bin/start-kernel.sh"),
            "julia": spec("/opt/julia", language="julia"),
            "empty": spec(),
        },
        own,
    )
    assert [(each.name, each.python) for each in found] == [
        ("python3", own),
        ("other", "/opt/other/bin/python3.12"),
        ("conda", "/opt/conda/envs/x/bin/python"),
    ]
    assert found[1].variables["A"].endswith("/x") and "$" not in found[1].variables["A"]
