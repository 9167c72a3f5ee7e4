"""The options of `data check` and `data convert` that set the keys of the data group."""

import argparse

from launcher.config.data import AUTO
from launcher.data.reading import Reading, make_reading
from launcher.errors import UsageError
from launcher.formats.registry import known_formats


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--format",
        choices=(AUTO, *known_formats().formats),
        default=AUTO,
        help=f"format of the rows (default: {AUTO})",
    )
    parser.add_argument(
        "--columns",
        metavar="OURS=THEIRS,...",
        default="",
        help="as data.columns: prompt=question,completion=answers.text.0",
    )
    parser.add_argument(
        "--roles", metavar="SPEAKER=ROLE,...", default="", help="as data.roles: customer=user,agent=assistant"
    )
    parser.add_argument(
        "--drop", metavar="KEY,...", default="", help="as data.drop: columns that are not read"
    )
    parser.add_argument(
        "--keep", metavar="KEY,...", default="", help="as data.keep: the only columns that are read"
    )
    parser.add_argument(
        "--on-bad-row", choices=("error", "skip"), default="error", help="as data.on_bad_row (default: error)"
    )
    parser.add_argument(
        "--max-bad-share", type=float, default=0.01, metavar="S", help="as data.max_bad_share (default: 0.01)"
    )


def reading_of_options(options: argparse.Namespace) -> Reading:
    """How the rows are read; UsageError for a value that cannot be read."""
    return make_reading(
        format=options.format,
        columns=_pairs(options.columns, "--columns", "OURS=THEIRS, such as prompt=question"),
        roles=_pairs(options.roles, "--roles", "SPEAKER=ROLE, such as agent=assistant"),
        drop=_names(options.drop),
        keep=_names(options.keep),
        skip=options.on_bad_row == "skip",
        max_bad_share=options.max_bad_share,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[] ").split(",") if name.strip()]


def _pairs(text: str, option: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in _names(text.strip("{}")):
        left, sign, right = pair.partition("=" if "=" in pair else ":")
        if not (left.strip() and sign and right.strip()):
            raise UsageError(f"{option} {pair}: write {form}")
        pairs[left.strip()] = right.strip()
    return pairs
