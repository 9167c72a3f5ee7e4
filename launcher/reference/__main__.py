"""python -m launcher.reference FOLDER: write the reference pages."""

import sys
from pathlib import Path

from launcher.errors import LauncherError, UsageError
from launcher.reference.pages import pages


def main(arguments: list[str]) -> int:
    """The exit code, which is 0."""
    if len(arguments) != 1:
        raise UsageError("python -m launcher.reference takes one folder, such as docs/reference")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text)
        print(folder / f"{name}.md")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LauncherError as error:
        sys.exit(f"launcher: {error}")
