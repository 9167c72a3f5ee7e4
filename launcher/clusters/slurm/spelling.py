"""The spelling of values that Slurm reads as names or lists of names: partition, account, constraint, nodelist and their kind.

The job script quotes every value, so none becomes shell or a second option. A value with other characters than these names can
have would still be queued or refused only by Slurm, long after a dry run. Source: sbatch(1) and srun(1), each option.
"""

import re
from dataclasses import dataclass

from launcher.errors import PlanError

_NAME = r"\w.@+:=/\-"
"""Characters of a name: letters of any language, digits, and those that sites use between them."""


@dataclass(frozen=True, slots=True)
class _Kind:
    what: str
    """What the value is, with its article."""
    characters: str
    """The characters that it may have, as a class of a regular expression."""
    way_out: str
    """What to write."""


_PARTITION = _Kind(
    "a partition", f"{_NAME},", "its name as `sinfo -o %R` shows it, such as gpu, or gpu,long for several"
)
_HOSTS = _Kind(
    "a list of hosts", f"{_NAME},\\[\\]", "hosts as n[01-04],n7, or the absolute path of a file of them"
)
_FEATURES = _Kind(
    "a constraint",
    f"{_NAME},&|*\\[\\]()!",
    "features as `sinfo -o %f` shows them, joined without blanks, such as 'a100&ib' or 'a100|h100'",
)
_RESOURCES = _Kind("a list of resources", f"{_NAME},*()|", "NAME:COUNT, joined by commas, such as nvme:200")
_ADDRESS = _Kind("an address", r"\w.@+%=,-", "one address, such as me@example.org")
_OF_OPTION = {
    "partition": _PARTITION,
    "account": _Kind(
        "an account", f"{_NAME},", "its name as `sacctmgr show associations user=$USER` shows it, such as abc"
    ),
    "qos": _Kind("a QoS", f"{_NAME},", "its name as `sacctmgr show qos` shows it, such as normal"),
    "reservation": _Kind(
        "a reservation", f"{_NAME},", "its name as `scontrol show reservation` shows it, such as course_1"
    ),
    "clusters": _Kind(
        "a cluster", f"{_NAME},", "its name as `sacctmgr show clusters` shows it, or several joined by commas"
    ),
    "wckey": _Kind("a wckey", f"{_NAME}*", "its name as `sacctmgr show wckey` shows it"),
    "mcs-label": _Kind("an MCS label", _NAME, "one name"),
    "constraint": _FEATURES,
    "prefer": _FEATURES,
    "cluster-constraint": _FEATURES,
    "nodelist": _HOSTS,
    "exclude": _HOSTS,
    "licenses": _RESOURCES,
    "gres": _RESOURCES,
    "tres-per-task": _RESOURCES,
    "mail-user": _ADDRESS,
    "mail-type": _Kind("a list of kinds of mail", r"\w,", "kinds such as END,FAIL"),
    "dependency": _Kind("a dependency", r"\w:+,?*()-", "jobs such as afterok:1234"),
    "mpi": _Kind("a kind of MPI", r"\w.,/-", "its name as `srun --mpi=list` shows it, such as pmix"),
    "signal": _Kind("a signal", r"\w:@+", "a signal such as B:USR1@300"),
}
"""Option -> the spelling of its value. Options that can hold any text, such as comment, are not here."""


def check_spelling(key: str, flag: str, value: str) -> str:
    """`value` itself; PlanError for a character that no such name has, and for a value that begins with a dash."""
    kind = _OF_OPTION.get(flag)
    if kind is None or not value:
        return value
    wrong = dict.fromkeys(re.findall(f"[^{kind.characters}]", value))
    if value.startswith("-"):
        fault = "begins with a dash, as an option does"
    elif wrong:
        named = " and ".join("a blank" if one.isspace() else f"{one!r}" for one in wrong)
        fault = f"holds {named}, which {kind.what} cannot have"
    else:
        return value
    several = "; give each option a key of its own" if re.search(r"(^|\s)--?\w", value) else ""
    raise PlanError(f"{key}={value!r} {fault}; write {kind.way_out}{several}")
