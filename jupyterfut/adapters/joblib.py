"""joblib's `Parallel` loops on a cluster, also inside tasks, and so scikit-learn's `n_jobs`:

    with joblib.parallel_config("jupyterfut"):
        GridSearchCV(...).fit(X, y)

joblib knows the name once there has been a client in the process, whichever was imported first (`plugins` calls `offer`). What stands behind it is in
`joblib_backend`, which is imported with the first loop.
"""

from __future__ import annotations

import sys
from typing import Any


def offer() -> None:
    """joblib is imported, and there is a client: be one of its backends. Idempotent. (The module is taken as it stands: this may run while another
    thread is inside `import joblib`, and must not wait for it.)"""
    sys.modules["joblib.parallel"].register_parallel_backend("jupyterfut", backend)


def withdraw() -> None:
    """There is no client any more. joblib forgets no name; who uses it is told that there is no client."""


def backend(**options: Any) -> Any:
    """What joblib makes of the name."""
    from jupyterfut.adapters.joblib_backend import JupyterfutBackend

    return JupyterfutBackend(**options)
