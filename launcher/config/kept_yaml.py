"""The YAML files of a run dir, which anybody may have edited, read back: an invalid one is one sentence."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launcher.errors import RunError, nearest
from launcher.reading import read_text

if TYPE_CHECKING:
    from omegaconf.errors import OmegaConfBaseException

_FIX = "fix it, or use the version of the launcher that wrote it"


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of config.yaml, with interpolations as they are written; RunError for anything else."""
    found = _read(path)
    if not isinstance(found, dict):
        raise RunError(f"{path} is not a mapping of keys to values; was it edited? {_FIX}")
    return cast("dict[str, Any]", found)


def read_words(path: Path) -> list[str]:
    """The arguments in .hydra/overrides.yaml; RunError for anything else."""
    found = _read(path)
    if not isinstance(found, list) or not all(isinstance(word, str) for word in cast("list[Any]", found)):
        raise RunError(f"{path} is not a list of arguments; was it edited? {_FIX}")
    return cast("list[str]", found)


def _read(path: Path) -> Any:
    from omegaconf import OmegaConf

    with refused(path):
        return OmegaConf.to_container(OmegaConf.load(io.StringIO(read_text(path))), enum_to_str=True)


@contextmanager
def refused(path: Path | str) -> Generator[None]:
    """RunError for every error by which PyYAML and OmegaConf refuse the content of this file."""
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error}); is this a run dir?") from None
    except YAMLError as error:
        raise RunError(f"{path} is not YAML ({_cut(error)}); {_FIX}") from None
    except OmegaConfBaseException as error:
        raise RunError(f"{path}: {_fault(error)}; {_FIX}") from None
    # OmegaConf 2.3 and PyYAML 6 raise them for an integer of 5,000 digits, a list in a list in a list, `!!int ""`, ...
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        AssertionError,
        RecursionError,
    ) as error:
        raise RunError(f"{path} is not what a launch writes ({_cut(error)}); {_FIX}") from None


def _cut(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _fault(error: "OmegaConfBaseException") -> str:
    """The key and what is wrong with it, in one line."""
    from omegaconf.errors import ConfigKeyError

    key = str(error.full_key or error.key or "")
    if not isinstance(error, ConfigKeyError):
        return f"{key}: {str(error).partition(chr(10))[0]}"
    close = nearest(str(error.key), getattr(error.object_type, "__dataclass_fields__", ()))
    return f"{key} is not a key of this version" + (f"; the nearest key is {close}" if close else "")
