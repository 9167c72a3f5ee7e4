"""The address of the managed API and its key, from the environment. Neither is ever written to a file."""

import os
from urllib.parse import urlsplit

from launcher.errors import ConfigError

_EXAMPLE = "https://provider.example/v1"


def base_url() -> str:
    """OPENAI_BASE_URL without a slash at its end; ConfigError if it is not set, or if the key would be sent unencrypted."""
    found = os.environ.get("OPENAI_BASE_URL", "").strip().rstrip("/")
    if not found:
        raise ConfigError(
            "OPENAI_BASE_URL is not set, and there is no default: export the address of your provider's fine-tuning API, "
            f"such as OPENAI_BASE_URL={_EXAMPLE}"
        )
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigError(
            "OPENAI_BASE_URL must be an http(s) address without a name or password in it, such as " + _EXAMPLE
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"OPENAI_BASE_URL={found} would send the key unencrypted to {parts.hostname}; use https"
        )
    return found


def api_key() -> str:
    """OPENAI_API_KEY; ConfigError if it is not set, or if it is not allowed in a header."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise ConfigError(
            "OPENAI_API_KEY is not set; export it in your shell (it is never written to a file)"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            "OPENAI_API_KEY holds a character that is not allowed in an HTTP header; was a line end copied with it?"
        )
    return key
