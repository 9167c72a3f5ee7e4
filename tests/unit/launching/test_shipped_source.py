import pytest
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigLoadError, ConfigResult

from launcher.launching.shipped_source import ShippedSource
from launcher.resources import resource_dir

CONF = resource_dir("conf")
FILES = sorted(str(file.relative_to(CONF).with_suffix("")) for file in CONF.rglob("*.yaml"))
OURS, HYDRA = ShippedSource("main", f"shipped://{CONF}"), FileConfigSource("main", f"file://{CONF}")


def told(result: ConfigResult) -> tuple[object, object, str]:
    return result.config, result.header, result.provider


def test_every_shipped_file_is_read_as_hydra_reads_it() -> None:
    assert FILES
    for name in FILES:
        assert OURS.is_config(name)
        assert told(OURS.load_config(name)) == told(HYDRA.load_config(name))


def test_groups_and_their_files_are_listed_as_hydra_lists_them() -> None:
    for group in ("", "cluster", "experiment", "absent"):
        assert OURS.is_group(group) == HYDRA.is_group(group)
    assert OURS.list("cluster", None) == HYDRA.list("cluster", None)


def test_a_name_without_a_file_is_refused_as_hydra_refuses_it() -> None:
    assert not OURS.is_config("cluster/absent")
    with pytest.raises(ConfigLoadError, match=r"Config not found : .*/cluster/absent\.yaml"):
        OURS.load_config("cluster/absent")
