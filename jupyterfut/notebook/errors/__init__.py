"""When a cell fails, or is stopped: tracebacks that begin with the notebook's own lines, the debugger, and taking back what was submitted."""
