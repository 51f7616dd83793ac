"""Options that several commands share: TLS files, tokens, resources, numbers; and what they mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jupyterfut import config
from jupyterfut.errors import ConfigError

if TYPE_CHECKING:
    from jupyterfut.comm import Security


def add_tls(parser: argparse.ArgumentParser) -> None:
    """`--tls-cert --tls-key --tls-ca`."""
    comm = config.settings().comm
    group = parser.add_argument_group("TLS (PEM files; defaults come from the settings comm.tls_*)")
    group.add_argument("--tls-cert", metavar="FILE", default=comm.tls_cert or None, help="certificate shown to the other side")
    group.add_argument("--tls-key", metavar="FILE", default=comm.tls_key or None, help="its private key")
    group.add_argument("--tls-ca", metavar="FILE", default=comm.tls_ca or None, help="certificates that the other side's must be signed by")


def add_token(parser: argparse.ArgumentParser) -> None:
    """`--token-file`. Never a token itself: command lines can be read by every user of the machine."""
    parser.add_argument("--token-file", metavar="FILE", help="file that holds the cluster's token (else JUPYTERFUT_TOKEN, else a connection file)")


def read_token(path: str | None) -> str | None:
    """The token in the file, or None when no file was named. Raises ConfigError for a file that is missing, empty, or readable by others."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise ConfigError(f"--token-file: cannot read {path}: {error.strerror or error}") from error
    if not text:
        raise ConfigError(f"--token-file: {path} is empty")
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigError(f"--token-file: {path} can be read by others; run: chmod 600 {path}")
    return text


def security(args: argparse.Namespace, token: str | None, *, ca: str | None = None) -> Security:
    """What the options say about tokens and TLS. Raises ConfigError for a file that does not exist."""
    from jupyterfut.comm import Security

    for option in ("tls_cert", "tls_key", "tls_ca"):
        path = getattr(args, option)
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"--{option.replace('_', '-')}: there is no file {path}")
    return Security(token=token, tls_cert=args.tls_cert, tls_key=args.tls_key, tls_ca=args.tls_ca or ca)


def parse_resources(text: str) -> dict[str, float]:
    """`GPU=1,MEM=2.5` (commas or spaces between).

    >>> parse_resources("GPU=1, MEM=2.5")
    {'GPU': 1.0, 'MEM': 2.5}
    """
    resources: dict[str, float] = {}
    for part in text.replace(",", " ").split():
        name, equals, amount = part.partition("=")
        try:
            resources[name] = float(amount)
        except ValueError:
            equals = ""
        if not name or not equals or not resources[name] >= 0:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=AMOUNT, such as GPU=1")
    return resources


def whole(minimum: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `minimum`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        return int(text)

    return parse
