"""The value of a key that a person has to set."""

from typing import Any

MISSING: Any = "???"
"""omegaconf.MISSING, without the import of omegaconf, which whoever only starts ranks does without.

Source: omegaconf/omegaconf.py, MISSING.
"""
