"""The jq programs that mend the order of the turns in a file, with the names that its own rows have."""

from dataclasses import dataclass
from typing import Any, cast

from launcher.data.speakers import SPEAKERS, keys_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """How the rows name their turns."""

    key: str = "messages"
    by: str = "role"
    said: str = "content"
    roles: tuple[str, ...] = ()
    """The names of speakers in the row, as they are written."""

    def join(self, role: str) -> str:
        """The command that joins turns of this role that follow each other."""
        same = f"($t.{self.by} | {self._is(role)}) and (.[-1].{self.by} | {self._is(role)})"
        return _jq(
            f".{self.key} |= reduce .[] as $t ([]; if length > 0 and {same} "
            f'then .[-1].{self.said} += "\\n\\n" + $t.{self.said} else . + [$t] end)'
        )

    def end(self) -> str:
        """The command that leaves out what follows the last answer."""
        return _jq(
            f".{self.key} |= (until(length == 0 or (.[-1].{self.by} | {self._is('assistant')}); .[:-1]))"
        )

    def without_later(self, role: str) -> str:
        """The command that leaves out the turns of this role, except for a first one."""
        return _jq(f".{self.key} |= .[:1] + (.[1:] | map(select(.{self.by} | {self._is(role)} | not)))")

    def _is(self, role: str) -> str:
        names = [name for name in self.roles if SPEAKERS.get(name.strip().lower()) == role] or [role]
        return f"IN({', '.join(_quoted(name) for name in dict.fromkeys(names))})"


def naming(key: str, turns: Any) -> Named:
    """How a list of turns as it is in the file names them."""
    given = cast("list[Any]", turns) if isinstance(turns, list) else []
    found = [cast("dict[str, Any]", turn) for turn in given if isinstance(turn, dict)]
    keys = next((keys for turn in found if (keys := keys_of(turn))), None)
    if keys is None:
        return Named(key=key)
    speakers = (turn.get(keys[0]) for turn in found)
    return Named(
        key=key, by=keys[0], said=keys[1], roles=tuple(name for name in speakers if isinstance(name, str))
    )


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _jq(program: str) -> str:
    return f"jq -c '{program}' OLD.jsonl > NEW.jsonl"
