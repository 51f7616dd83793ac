"""`python -m jupyterfut` is the command `jupyterfut`."""

from __future__ import annotations

import sys

from jupyterfut.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
