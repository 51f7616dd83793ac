"""Measurements: `core` (the machines alone), `wire` (codec and pickling), `system` (side by side with other engines). See README.md."""
