"""The #SBATCH lines of a job script."""

from collections.abc import Mapping

from launcher.errors import PlanError


def header(options: Mapping[str, str], folder: str) -> str:
    """One line per option, and one for the folder in which the script starts."""
    lines = [
        f"#SBATCH --{flag}={directive(value)}" if value else f"#SBATCH --{flag}"
        for flag, value in options.items()
    ]
    return "\n".join([*lines, f"#SBATCH --chdir={directive(folder)}"])


def directive(value: str) -> str:
    r"""The value for `#SBATCH --flag=`, escaped so that sbatch reads back exactly the same characters.

    sbatch ends an argument at a blank outside quotes, even an escaped one, and the line at an unescaped #; a backslash escapes
    the next character. Source: Slurm's src/sbatch/opt.c, _get_argument, and the tests on a real cluster.
    PlanError for a character that could end the line.
    """
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{value!r} holds a newline or control character, which an sbatch option cannot hold")
    escaped = "".join(f"\\{character}" if character in "\"'\\#" else character for character in value)
    return f'"{escaped}"' if " " in value else escaped
