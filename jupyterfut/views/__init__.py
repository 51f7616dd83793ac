"""Snapshot in, `str` out: every repr in the project ends here. Pure: nothing is asked, looked up or timed."""
