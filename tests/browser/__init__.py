"""Tests of what users look at: a real JupyterLab, a real Notebook 7, a real browser. A package, so that its fixtures end with its last test.

Playwright's sync API leaves its event loop running in the main thread between calls, where no other test could then run a loop of its own.
"""
