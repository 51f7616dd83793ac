"""The client's machine: what a client knows of its futures, as a conversation of events and effects without I/O."""
