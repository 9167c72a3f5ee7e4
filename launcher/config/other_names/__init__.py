"""The names that other tools give to settings, and the key of this launcher that does the same.

The tables are in learning, inputs and running. Sources: the argument classes and documentation of transformers, trl, peft,
accelerate, DeepSpeed, axolotl, LLaMA-Factory, torchtune, unsloth and torchrun; sbatch(1).
"""

import functools
import re
from collections.abc import Mapping

from launcher.config.other_names.counterpart import Counterpart
from launcher.config.other_names.inputs import adapters, data, model
from launcher.config.other_names.learning import batch, optimization
from launcher.config.other_names.running import placing, saving, sharding

_SHORT = {
    "-p": "cluster.sbatch.partition", "-N": "resources.nodes", "-t": "resources.time", "-A": "cluster.sbatch.account",
    "-q": "cluster.sbatch.qos", "-G": "resources.gpus_per_node", "-n": "resources.gpus_per_node", "-J": "name",
    "-C": "cluster.sbatch.constraint", "-w": "cluster.sbatch.nodelist", "-x": "cluster.sbatch.exclude",
    "-M": "cluster.sbatch.clusters", "-d": "cluster.sbatch.dependency", "-L": "cluster.sbatch.licenses",
}  # fmt: skip
"""sbatch's short options. Source: sbatch(1)."""
_KEY = re.compile(r"--[a-z_]+(\.[a-z_]+)+")
"""A key of a group, typed as an option."""
_COUNTERPARTS: tuple[Counterpart, ...] = (
    *optimization(),
    *batch(),
    *data(),
    *model(),
    *adapters(),
    *saving(),
    *placing(),
    *sharding(),
)


def counterpart(name: str) -> Counterpart | None:
    """What another tool's setting is here, by its whole dotted name or else by its last part; None if it is not listed."""
    plain = name.lstrip("-+~").lower().replace("-", "_")
    return _by_name().get(plain) or _by_name().get(plain.rpartition(".")[2])


def answer_option(word: str) -> str | None:
    """One sentence for an option such as `--lr=1e-4` that another tool has; None for another word."""
    if word[:2] in _SHORT and word[:2] != "--":
        return f"{word[:2]}: here {_SHORT[word[:2]]}; keys are written without -, as KEY=VALUE"
    name = word.split()[0].partition("=")[0] if word.startswith("--") else ""
    found = counterpart(name) if name else None
    if found is None and _KEY.fullmatch(name):
        return f"{name}: keys are written without --, as {name[2:]}=VALUE"
    return f"{found.answer(name)}; keys are written without --, as KEY=VALUE" if found else None


def counterparts() -> tuple[Counterpart, ...]:
    """All of them, in the order in which the reference page shows them."""
    return _COUNTERPARTS


@functools.cache
def _by_name() -> Mapping[str, Counterpart]:
    return {name: one for one in _COUNTERPARTS for name in one.names}
