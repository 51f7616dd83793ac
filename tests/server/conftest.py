"""A Jupyter server in this process, with the extension, for each test that asks for one. Its base URL has a space in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403  # fixtures for this directory only: some are for every test

BASE_URL = "/user/a%20b/"


@pytest.fixture
def jp_base_url() -> str:
    return BASE_URL


@pytest.fixture
def jp_runtime_dir(runtime_directory: Path) -> Path:
    return runtime_directory


@pytest.fixture
def extension_settings() -> dict[str, Any]:
    """Of `c.JupyterfutExtension`. Tests that want others have a fixture of this name."""
    return {"answer_timeout_s": 20.0, "start_timeout_s": 30.0}


@pytest.fixture
def jp_server_config(extension_settings: dict[str, Any]) -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyterfut": True}}, "JupyterfutExtension": extension_settings}
