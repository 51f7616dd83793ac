"""Which notebook is this? The identity of the Jupyter kernel that this process is, as connection files and schedulers are told.

A kernel has an id (in the name of its connection file), which a restart keeps. Its session is the notebook's path, as the Jupyter server tells it in
`JPY_SESSION_NAME` (VS Code: a variable of the notebook), which another kernel of the same file shares. Nothing is imported for this, neither in a
kernel nor elsewhere.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

VSCODE_NOTEBOOK = "__vsc_ipynb_file__"
"""The variable in which VS Code leaves the notebook's path."""

_process = (os.getpid(), uuid.uuid4().hex)


class KernelIdentity(NamedTuple):
    """One kernel, in one of its lives."""

    kernel: str  #: its id, or the path of its connection file if that is not named as Jupyter names them
    session: str  #: the notebook's path; "" where nobody tells it
    file: str  #: the kernel's connection file
    process: str  #: another one after each restart

    def is_mine(self, kernel_id: str | None, session: str, file: str = "") -> bool:
        """Whether something that was left for a kernel was left for this notebook.

        >>> me = KernelIdentity("1f", "/home/me/study.ipynb", "/run/kernel-1f.json", "p")
        >>> me.is_mine("1f", ""), me.is_mine("2e", "/home/me/study.ipynb"), me.is_mine("2e", ""), me.is_mine(None, "", "/run/kernel-1f.json")
        (True, True, False, True)
        """
        return self.kernel == kernel_id or (self.session != "" and self.session == session) or (self.file != "" and self.file == file)


def kernel_identity() -> KernelIdentity | None:
    """This kernel's; None outside of one."""
    application = _application()
    if application is None:
        return None
    file = str(application.abs_connection_file)
    return KernelIdentity(current_kernel_id() or file, _session(application), file, _this_process())


def current_kernel_id() -> str | None:
    """The id of the Jupyter kernel that this process is, from the name of its connection file; None outside of a kernel."""
    application = _application()
    if application is None:
        return None
    stem = Path(application.connection_file).stem
    return stem.removeprefix("kernel-") if stem.startswith("kernel-") else None


def _application() -> Any:
    application = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    if application is None or not application.initialized():
        return None
    return application.instance()


def _session(application: Any) -> str:
    if told := os.environ.get("JPY_SESSION_NAME"):
        return told
    shell = getattr(application, "shell", None)
    return str(getattr(shell, "user_ns", {}).get(VSCODE_NOTEBOOK, ""))


def _this_process() -> str:
    """A name of this process; a fork gets one of its own."""
    global _process
    if _process[0] != os.getpid():
        _process = (os.getpid(), uuid.uuid4().hex)
    return _process[1]
