"""What a chat template may cost: rounds of its loops and calls of its macros, processor time, and characters.

A template is a program of another person, and a loop over the characters of a long text, in another such loop, runs for days.
Every body of a loop and of a macro begins with a count, so that the template itself stops.
"""

import time
from collections.abc import Iterable
from typing import Any, NoReturn

_MOST_ROUNDS = 1_000_000
"""How many rounds of loops and calls of macros one chat may take."""
_LONGEST = 256 << 20
"""How many characters a text, or items a list, may have."""
_LARGEST_POWER = 10_000
_FIRST_S, _EACH_S = 20.0, 0.1
"""Seconds of processor time that all chats may take: so many at the start, and so many more for each chat. A usual chat takes
0.1 ms."""
_COUNT = "count of launcher.data.template_limit"
"""The name of the filter that counts; no template can write it."""


class Limit:
    """What one template may cost. A template that has cost too much once renders nothing more."""

    def __init__(self, first_s: float = _FIRST_S) -> None:
        self._first_s = first_s
        self._rounds = _MOST_ROUNDS
        self._seconds = first_s
        self._chats = 0
        self._since = 0.0
        self._failed = ""

    def begin(self) -> None:
        """Begins a chat."""
        if self._failed:
            raise OverflowError(self._failed)
        self._rounds, self._since = _MOST_ROUNDS, time.thread_time()
        self._seconds += _EACH_S
        self._chats += 1

    def end(self) -> None:
        """Ends a chat; OverflowError if all so far took too long."""
        now = time.thread_time()
        self._seconds -= now - self._since
        self._since = now
        if self._seconds < 0:
            spent = self._first_s + _EACH_S * self._chats - self._seconds
            self.fail(f"it takes {spent / self._chats:.1f} s for a chat")

    def fail(self, why: str) -> NoReturn:
        """Raises OverflowError, now and at every later rendering."""
        self._failed = why
        raise OverflowError(why)

    def count(self) -> bool:
        """Counts one round of a loop or one call of a macro, over all loops, since they can be nested. Returns True."""
        self._rounds -= 1
        if self._rounds < 0:
            self.fail(f"its loops have more than {_MOST_ROUNDS:,} rounds")
        if not self._rounds % 16:
            self.end()
        return True

    def range(self, *limits: int) -> range:
        """`range` for the template; a filter can go through it without a loop."""
        found = range(*limits)
        self._rounds -= len(found)
        if self._rounds < 0:
            self.fail(f"its loops have more than {_MOST_ROUNDS:,} rounds")
        return found

    def join(self, pieces: Iterable[Any]) -> str:
        """The text of the pieces."""
        found, length = list[str](), 0
        for piece in pieces:
            found.append(str(piece))
            length += len(found[-1])
            self._check(length)
        return "".join(found)

    def check_operation(self, operator: str, left: Any, right: Any) -> None:
        """OverflowError for an operation of two values whose result is too large."""
        if operator == "**" and isinstance(right, int) and right > _LARGEST_POWER:
            self.fail(f"it computes a number to the power of {str(right)[:40]}")
        one, other = _length(left), _length(right)
        if operator == "+" and one and other:
            self._check(one + other)
        for length, times in ((one, right), (other, left)):
            if operator == "*" and length and isinstance(times, int):
                self._check(length * times)

    def _check(self, length: int) -> None:
        if length > _LONGEST:
            self.fail(f"it makes a text of {length:,} characters of one chat")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0  # pyright: ignore[reportUnknownArgumentType]


def limited_environment(limit: Limit) -> Any:
    """The environment of transformers 5 for chat templates (utils/chat_template_utils.py, _compile_jinja_template), whose
    templates stop at the limit."""
    from jinja2 import nodes, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    @pass_context  # so that the compiler does not call it
    def count(context: object, value: object) -> bool:
        return limit.count()

    class Limited(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "+"))
        concat = staticmethod(limit.join)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            limit.check_operation(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
            tree = super()._parse(source, name, filename)
            for one in list(tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))):
                count = nodes.Filter(nodes.Const(True), _COUNT, [], [], None, None, lineno=one.lineno)
                if isinstance(one, nodes.For) and one.test is not None:  # counts what it leaves out, too
                    one.test = nodes.And(count, one.test, lineno=one.lineno)
                else:
                    one.body.insert(0, nodes.ExprStmt(count, lineno=one.lineno))
            return tree

    environment: Any = Limited(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["range"] = limit.range
    environment.filters[_COUNT] = count
    return environment
