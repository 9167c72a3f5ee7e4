"""The pages of exit codes and of rules."""

from launcher.config.keys import member_docs
from launcher.errors import Exit
from launcher.plan.rules import all_rules
from launcher.reference.markdown import code, page, table


def exit_codes_page() -> str:
    """docs/reference/exit_codes.md."""
    docs = member_docs(Exit)
    rows = [(str(int(code_)), code(code_.name), docs[code_.name]) for code_ in sorted(Exit)]
    intro = "What every process of this project says by its exit code. A shell shows 128 + N for a process that signal N ended."
    return page("Exit codes", intro, table(("code", "name", "meaning"), rows))


def rules_page() -> str:
    """docs/reference/rules.md."""
    rows = [(str(rule.number), rule.what, rule.reason, rule.way_out) for rule in all_rules()]
    intro = "Combinations that are known not to work: a plan that breaks one is refused. `launcher rules` prints them."
    return page("Rules", intro, table(("rule", "combination", "what happens", "way out"), rows))
