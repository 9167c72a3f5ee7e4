"""Where the project's folders are, for tests in any of its own."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parent.parent
GOLDEN, RECORDED, SITE = SUPPORT / "golden", SUPPORT / "recorded", SUPPORT / "site"
