"""Typed arguments and paths, as the programs that read them need them.

Values of options that are texts for another program reach it as they were typed: Hydra would read `partition=short,long` as a
sweep and `account=12e4` as the number 120000.0. Paths get the home folder for ~ and values of the shell's variables for $NAME
and ${NAME} where the command is typed, so that config.yaml, plan.json and every node have the same path.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from launcher.errors import ConfigError, UsageError, nearest
from launcher.plan.place import SECRET_NAME

OWN_FILE = "--config"
"""The option that names a file of one's own with the keys of a run."""
_TEXT = re.compile(r"(\++)?(cluster\.(sbatch|srun|env)\.[\w.-]+|model\.(?:eos|pad)_token)=(.+)", re.DOTALL)
_SPECIAL = re.compile(r"(?i)true|false|null|['\"].*|.*\$\{.*", re.DOTALL)
"""Values that keep Hydra's meaning: switches, quoted texts and interpolations."""
_QUOTED = re.compile(r"(?i)null|['\"].*|.*\$\{.*", re.DOTALL)
"""The same for a variable of the environment, which is a text also if it is `true`."""
_NUMBER = re.compile(
    r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d[\d_]*)?|[-+]?(?:inf|nan)", re.IGNORECASE
)
"""What Hydra reads as a number."""
_TOKENS = re.compile(r"(\+*model\.added_tokens=)\[(.*)\]", re.DOTALL)
_SWEEPS = frozenset(["-m", "--multirun"])
_PATHS = (
    "runs_dir", "cache_dir", "resume", "data.path", "data.eval_path", "model.name_or_path", "model.adapter",
    "model.chat_template", "trainer.teacher", "trainer.teacher_logits", "cluster.python", "cluster.container.image",
)  # fmt: skip
_GROUPS = ("data.sources", "cluster.env", "cluster.container.mounts")
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_BRACES = re.compile(r"\\?(\$\{[A-Z_][A-Z0-9_]*\})")
"""A variable of the shell: keys, to which an interpolation of the configuration refers, have lower-case letters."""
_TYPED = re.compile(rf"\+*({'|'.join(map(re.escape, (*_PATHS, *_GROUPS)))})[.=\[]")
_KEY = re.compile(r"(?<![A-Za-z])KEYS?(?![A-Za-z])", re.IGNORECASE)
_HOME_IN_LINE = re.compile(r"(?<!\S)~(?=/)")


def check_words(arguments: Sequence[str]) -> None:
    """UsageError for an argument without a key, such as `=`, `=3` or an empty one."""
    for word in arguments:
        if re.match(r"[+~]*(=|$)", word):
            raise UsageError(f"{word or 'an empty argument'!s} has no key; write KEY=VALUE, or take it out")


def as_typed(arguments: list[str]) -> list[str]:
    """The arguments, with the values of these options quoted. In a multirun a comma in cluster.env stays a sweep."""
    swept = not _SWEEPS.isdisjoint(arguments)
    return [_quoted(argument, swept) for argument in arguments]


def with_home(argument: str) -> str:
    """The argument with the home folder for a ~ at the start of its value, which Hydra cannot read and no shell expands."""
    key, equals, value = argument.partition("=")
    if not value.startswith("~") or key.startswith("-"):
        return argument
    with contextlib.suppress(RuntimeError):  # no such user
        value = str(Path(value).expanduser())
    return f"{key}{equals}{value}" if value[0] == "/" else f"{key}{equals}'{value}'"


def _quoted(argument: str, swept: bool) -> str:
    if tokens := _TOKENS.fullmatch(argument):
        listed = [one.strip() for one in tokens[2].split(",")] if tokens[2].strip() else []
        plain = all(one[:1] not in ("'", '"') for one in listed)
        return f"{tokens[1]}[{','.join(map(_text, listed))}]" if plain else argument
    match = _TEXT.fullmatch(argument)
    if match is None:
        return _with_texts(argument, swept)
    env = match[3] == "env"
    special = _QUOTED if env else _SPECIAL
    if special.fullmatch(match[4]) or (swept and env):
        return argument
    return f"{match[1] or ''}{match[2]}={_text(match[4])}"


def _with_texts(argument: str, swept: bool) -> str:
    """The argument with quotes around a value that looks like a number, where the key holds a text: `name=007` would be 7, and
    `model.revision=12e4567` infinite. In a multirun this holds for each of several values."""
    key, _, value = argument.partition("=")
    values = value.split(",") if swept else [value]
    if not any(map(_NUMBER.fullmatch, values)):
        return argument
    from launcher.config.texts import declares_text  # imported here: few arguments look like this

    if not declares_text(key.lstrip("+")):
        return argument
    return f"{key}={','.join(_text(one) if _NUMBER.fullmatch(one) else one for one in values)}"


def _text(value: str) -> str:
    """The value as Hydra reads a text: in single quotes."""
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"


def expand_paths(cfg: DictConfig, environ: Mapping[str, str]) -> None:
    """Expands the paths of a composed configuration in place; ConfigError for a variable that is not set, or holds a secret.

    cluster.env has the values of variables too. Lines of cluster.setup and cluster.node_cache get the home folder alone: what
    else they name is the node's.
    """
    with read_write(cfg), open_dict(cfg):
        for key in _PATHS:
            _change(cfg, key, lambda text, key=key: expand(key, text, environ))
        for source in _at(cfg, "data.sources") or ():
            _change(source, "path", lambda text: expand("data.sources", text, environ))
        _change(cfg, "cluster.node_cache", lambda text: _home("cluster.node_cache", text))
        site = _at(cfg, "cluster")
        for name in list(site.env):
            _change(site.env, name, lambda text, name=name: expand(f"cluster.env.{name}", text, environ))
        _each(site.container.mounts, lambda text: expand("cluster.container.mounts", text, environ))
        _each(site.setup, lambda text: _HOME_IN_LINE.sub(str(Path.home()), text))


def keep_braces(argument: str) -> str:
    """The argument, changed so that Hydra does not take ${HOME} in a path for an interpolation."""
    return _BRACES.sub(r"\\\1", argument) if _TYPED.match(argument) else argument


def expand_braces(cfg: DictConfig, environ: Mapping[str, str]) -> None:
    """Expands ${NAME} in the paths of a composed configuration whose interpolations are not yet resolved."""
    with read_write(cfg), open_dict(cfg):
        for key in (*_PATHS, *_GROUPS):
            holder, _, name = key.rpartition(".")
            parent = _at(cfg, holder) if holder else cfg
            if isinstance(parent, DictConfig):
                _braces_below(key, parent, name, environ)


def _braces_below(key: str, parent: Any, name: Any, environ: Mapping[str, str]) -> None:
    node: Any = parent._get_node(name)  # the raw value: reading it would resolve an interpolation
    if isinstance(node, DictConfig | ListConfig):
        if not (
            OmegaConf.is_missing(parent, name)
            or OmegaConf.is_interpolation(parent, name)
            or parent[name] is None
        ):
            for inner in [*node] if isinstance(node, DictConfig) else range(len(node)):
                _braces_below(f"{key}.{inner}" if isinstance(inner, str) else key, node, inner, environ)
        return
    text = None if node is None else node._value()
    if isinstance(text, str) and _BRACES.search(text):
        bare = _BRACES.sub(r"\1", text)
        if "${" not in _BRACES.sub("", text):  # else the rest is an interpolation
            parent[name] = expand(key, bare, environ)


def expand(key: str, text: str, environ: Mapping[str, str]) -> str:
    """The text with the home folder for a ~ at its start, and the values of its variables."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if SECRET_NAME.search(name) or _KEY.search(name):
            raise ConfigError(
                f"{key}={text}: ${name} looks like a secret, which must not be written to a file; "
                "jobs inherit it from your shell"
            )
        if name not in environ:
            script = ", or export it in a script of yours that cluster.setup sources on the nodes"
            close = nearest(name, environ)
            meant = f"did you mean ${close}? Else " if close else ""
            raise ConfigError(
                f"{key}={text}: ${name} is not set in this shell; {meant}set it, or write its value"
                f"{script if key.startswith('cluster.env') else ''}"
            )
        return environ[name]

    return VARIABLE.sub(value, _home(key, text))


def _home(key: str, text: str) -> str:
    """The text with the home folder for a ~ at its start; ConfigError for that of an unknown user."""
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        user = text[1:].partition("/")[0]
        raise ConfigError(
            f"{key}={text}: no user {user} is known here; write the whole path, or ./{text} for a folder of that name"
        ) from None


def _at(node: Any, key: str) -> Any:
    select: Any = OmegaConf.select  # its types are partly unknown
    return select(node, key, default=None)


def _change(node: Any, key: str, change: Callable[[str], str]) -> None:
    text = _at(node, key)
    if isinstance(text, str) and (changed := change(text)) != text:
        OmegaConf.update(node, key, changed)


def _each(node: Any, change: Callable[[str], str]) -> None:
    for at, text in enumerate(node):
        if isinstance(text, str):
            node[at] = change(text)
