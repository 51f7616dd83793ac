"""The version: written here, read by the build, by `jupyterfut.__version__` and by the handshake."""

__version__ = "0.1.0"
