"""Values of a converted recipe that every launch refuses, such as a negative learning rate: they are left out and listed."""

import re

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from launcher.config import Config
from launcher.config.schema import GROUPS
from launcher.errors import LauncherError
from launcher.launching.data_gate import data_paths
from launcher.plan import Facts, make_plan
from launcher.recipes.base import Draft
from launcher.resources import resource_dir

_KEY = re.compile(r"([\w.]+?)(\[\d+\])?(\.\w+)?=")
"""How a refusal begins: with the key, and for an element of a list its number."""
_UNCHECKED = ("plugins", "resume")
"""Groups of keys that are left out here: the options of a plugin are checked when they are carried over."""


def leave_out_invalid(draft: Draft) -> None:
    """Removes each entry that the configuration's own rules refuse; the recipe's key is then lost, for that reason."""
    while True:
        try:
            config = _config_of(draft)
            data_paths(config)
            make_plan(config, _facts(config))
        except (LauncherError, OmegaConfBaseException) as error:
            key = _named(str(error), draft)
            if key is None:
                # a rule about several keys: `plan` tells it, with a way out
                return
            reason = str(error).partition("\n")[0]
            draft.refuse(key, reason)
            if key in ("data.path", "data.sources"):
                draft.entries.pop("data.path", None)
                draft.stand_in("data.path", "train.jsonl", f"{reason}; give a file, or hub:NAME")
        else:
            return


def _config_of(draft: Draft) -> Config:
    conf = resource_dir("conf")
    tree = OmegaConf.structured(Config(name="converted", cache_dir="/cache"))
    for group, kind in GROUPS.items():
        tree[group] = OmegaConf.structured(kind)
    tree.trainer = OmegaConf.merge(tree.trainer, OmegaConf.load(conf / "trainer" / f"{draft.method}.yaml"))
    tree.data.path = None
    for key, entry in draft.entries.items():
        if key.partition(".")[0] not in _UNCHECKED:
            OmegaConf.update(tree, key, entry.value)
    config = OmegaConf.to_object(tree)
    assert isinstance(config, Config)
    return config


def _named(message: str, draft: Draft) -> str | None:
    """The entry whose value a refusal is about."""
    found = _KEY.match(message)
    for key in (found[1] + (found[3] or ""), found[1]) if found else ():
        if key in draft.entries:
            return key
    return None


def _facts(config: Config) -> Facts:
    """Facts of a GPU cluster without any site's values, for a model whose shape is not known."""
    return Facts(
        experiment=None, cluster="slurm", device="cuda", run_dir="/runs/converted/now", work_dir="/work", cache_dir="/cache",
        hub_folders={}, data_path="/data", eval_path="/data" if config.data.eval_path else None,
        holds_out=config.data.eval_fraction is not None, python="python", architecture=None, resume="never", save_s=5.0,
        restart_s=120.0, version="",
    )  # fmt: skip
