"""Where the managed API is and the key for it, from the environment: neither is ever written anywhere."""

import os
from urllib.parse import urlsplit

from launcher.errors import ConfigError

DEFAULT = "https://api.openai.com/v1"


def base_url() -> str:
    """OPENAI_BASE_URL without a slash at its end; ConfigError where it would carry the key in the open."""
    found = (os.environ.get("OPENAI_BASE_URL") or DEFAULT).rstrip("/")
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigError(
            "OPENAI_BASE_URL must be an http(s) address without a name or password in it, such as " + DEFAULT
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"OPENAI_BASE_URL={found} would send the key unencrypted to {parts.hostname}; use https"
        )
    return found


def api_key() -> str:
    """OPENAI_API_KEY; ConfigError where there is none, or where no header can carry it."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise ConfigError("there is no OPENAI_API_KEY; set it in your shell, it is written nowhere")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            "OPENAI_API_KEY holds a character that no header can carry; was a line end copied with it?"
        )
    return key
