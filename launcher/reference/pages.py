"""All reference pages by name."""

from launcher.reference.environment import environment_page
from launcher.reference.json import json_page
from launcher.reference.keys import keys_page, plugins_page
from launcher.reference.methods import methods_page
from launcher.reference.other_names import other_names_page
from launcher.reference.record import events_page, metrics_page
from launcher.reference.tables import exit_codes_page, rules_page
from launcher.reference.verbs import verbs_page


def pages() -> dict[str, str]:
    """The text of each page by the name of its file, without `.md`."""
    return {
        "keys": keys_page(),
        "verbs": verbs_page(),
        "json": json_page(),
        "plugins": plugins_page(),
        "methods": methods_page(),
        "other_names": other_names_page(),
        "events": events_page(),
        "metrics": metrics_page(),
        "exit_codes": exit_codes_page(),
        "rules": rules_page(),
        "environment": environment_page(),
    }
