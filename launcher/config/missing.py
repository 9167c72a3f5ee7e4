"""The value of a key that a person has to set."""

from typing import Any

MISSING: Any = "???"
"""omegaconf.MISSING, without an import of omegaconf, which a process that only starts ranks does not need.

Source: omegaconf/omegaconf.py, MISSING.
"""
