"""Whether a configuration is for a cluster that is reached by ssh: then it is neither resolved nor planned on this machine."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from launcher.errors import ConfigError, Elsewhere


class ConfigElsewhere(Elsewhere):
    """A configuration with cluster.ssh, as Hydra composed it; nothing in it is resolved."""

    def __init__(self, cfg: DictConfig, ssh: str, config_dir: str | None) -> None:
        super().__init__(
            f"cluster.ssh={ssh}: this command runs only where it is typed; log in there, or set cluster.ssh=null"
        )
        self.cfg, self.ssh = cfg, ssh
        self.config_dir = config_dir
        """Absolute path given with --config-dir."""


def refuse_elsewhere(cfg: DictConfig, settings: Any) -> None:
    """Raises ConfigElsewhere for a configuration with cluster.ssh; `settings` are Hydra's own. ConfigError for an
    invalid destination."""
    ssh = OmegaConf.select(cfg, "cluster.ssh", default=None)
    if ssh is None:
        return
    sources = settings.runtime.config_sources
    config_dir = next((str(one.path) for one in sources if one.provider == "command-line"), None)
    raise ConfigElsewhere(cfg, check_destination(str(ssh)), config_dir)


def check_destination(ssh: str) -> str:
    """`ssh` itself if it is a destination; ConfigError otherwise."""
    from launcher.run.remote import DESTINATION  # imported here: most runs are launched where they run

    if not DESTINATION.fullmatch(ssh):
        raise ConfigError(
            f"cluster.ssh={ssh} is not a destination of ssh; write NAME, USER@HOST or ssh://USER@HOST:PORT, and keep "
            "options such as a key or a proxy in ~/.ssh/config"
        )
    return ssh
