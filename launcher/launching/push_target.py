"""The repository on a model hub that a run is pushed to: the checks before its launch, as far as this machine can tell, whether
this user may write there, and what it holds.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from launcher.config import Config
from launcher.errors import ConfigError, Exit, LauncherError, PackageError
from launcher.hub import endpoint, is_open, offline_variable
from launcher.output import warn
from launcher.plan import LaunchPlan

_NAME = re.compile(
    r"(?!.*(--|\.\.))(?!.*\.git$)[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}(?<![.-])", re.ASCII
)
"""OWNER/NAME. Source: huggingface_hub/utils/_validators.py, validate_repo_id."""
_GIT = ".gitattributes"
"""The hub writes it into every new repository."""


def check_push(config: Config, *, trial: bool) -> None:
    """ConfigError for a hub.push that cannot work."""
    name = config.hub.push
    if name is None:
        return
    check_name("hub.push", name)
    if trial:
        raise ConfigError(
            f"hub.push={name} would be the repository of every trial; leave it out, and push the best one: python -m "
            f"launcher push RUN --to {name}"
        )


def check_repository(config: Config) -> None:
    """ConfigError if the hub would refuse a push of this user now; a warning if this machine cannot ask it."""
    name = config.hub.push
    if name is None or config.dry_run:
        return

    environ = {**os.environ, **config.cluster.env}
    if offline := offline_variable(environ):
        warn(
            f"hub.push={name}: {offline} is set, so the run pushes nothing; push it later without {offline}: python -m "
            "launcher push RUN"
        )
        return
    try:
        held = look(api(environ), name).files
    except PushFailed as error:
        warn(f"hub.push={name} could not be checked: {error}")
        return
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise ConfigError(
            f"hub.push={name} exists and holds {next(iter(held))}{more}; a run overwrites nothing: name another repository, or "
            "leave hub.push out and push later with python -m launcher push RUN --to NAME --force"
        )


def push_note(config: Config, plan: LaunchPlan) -> list[str]:
    """A sentence about where and when the result is pushed."""
    name = config.hub.push
    if name is None:
        return []
    what = "merged model" if config.hub.merged else "adapter" if plan.adapter else "model"
    how = "private if it is new" if config.hub.private else "public if it is new"
    return [
        f"the {what} is pushed to {name} ({how}) when the run has finished, if the machine of its job script reaches the hub; "
        "else with python -m launcher push RUN"
    ]


class PushFailed(LauncherError):
    """The hub cannot be reached, or an upload ended early."""

    exit_code = Exit.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A repository as the hub has it now."""

    exists: bool
    private: bool | None = None
    """None if it does not exist."""
    head: str | None = None
    """The newest commit."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> digest: SHA-256 of a large file, git's object id of another."""


def check_name(key: str, name: str) -> None:
    """ConfigError for a name that is not OWNER/NAME."""
    if _NAME.fullmatch(name):
        return
    if "/" not in name and _NAME.fullmatch(f"me/{name}"):
        raise ConfigError(
            f"{key}={name} has no owner; write OWNER/{name}, with your name or organisation on the hub"
        )
    raise ConfigError(
        f"{key}={name!r} is not the name of a repository; write OWNER/NAME with letters, digits, - _ and ."
    )


def api(environ: Mapping[str, str]) -> Any:
    """The hub's client with this user's token; ConfigError without one, or if the hub is switched off."""
    if offline := offline_variable(environ):
        raise PushFailed(
            f"{offline} is set, so nothing can be pushed; unset it, or push from another machine"
        )
    from launcher.launching.hub_ask import token_of  # most runs push nothing

    address = endpoint(environ)
    if not re.match(r"https?://[^/\s]", address):
        raise ConfigError(
            f"HF_ENDPOINT={address} is not the address of a hub; write https://HOST, or unset it for huggingface.co"
        )
    token = token_of(environ)
    if is_open(endpoint(environ)):
        raise ConfigError(
            "HF_ENDPOINT is plain http, over which no token is sent, and a push needs one; use https"
        )
    if not token:
        raise ConfigError(
            "a push needs a token with write permission: export HF_TOKEN (it is written to no file), or type `hf auth login`"
        )
    try:
        library: Any = import_module("huggingface_hub")
    except ImportError:
        raise PackageError("a push needs huggingface_hub; pip install huggingface_hub") from None
    return library.HfApi(endpoint=address, token=token)


def look(client: Any, name: str) -> HubRepository:
    """The repository; ConfigError if this user may not write there, PushFailed if the hub does not answer."""
    errors: Any = import_module("huggingface_hub.errors")
    owner = name.partition("/")[0]
    try:
        user: dict[str, Any] = client.whoami()
        _check_owner(user, owner, name)
        info = client.repo_info(name, files_metadata=True)
    except errors.RepositoryNotFoundError:
        return HubRepository(exists=False)
    except (errors.HfHubHTTPError, errors.HTTPError, OSError, ValueError) as error:
        raise refusal(error, name) from None
    files = {one.rfilename: one.lfs.sha256 if one.lfs else str(one.blob_id) for one in info.siblings or ()}
    files.pop(_GIT, None)
    return HubRepository(exists=True, private=info.private, head=info.sha, files=files)


def refusal(error: Exception, name: str) -> LauncherError:
    """What the hub's error means, in words that hold no token."""
    from launcher.launching.hub_ask import why

    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status == 401:
        return ConfigError(
            "the hub does not accept the token; export a valid HF_TOKEN, or type `hf auth login`"
        )
    if status == 403:
        return ConfigError(
            f"this token may not write to {name}; use one with write permission for it, or another owner"
        )
    if status:
        said = response.headers.get("X-Error-Message") or f"HTTP {status}"
        return PushFailed(f"the hub refused {name}: {said}")
    return PushFailed(f"the hub does not answer here ({why(error)}); push from a machine that reaches it")


def _check_owner(user: Mapping[str, Any], owner: str, name: str) -> None:
    """ConfigError if the token can only read, or the owner is neither this user nor one of its organisations."""
    auth: Any = user.get("auth") or {}
    token: Any = auth.get("accessToken") or {}
    if token.get("role") == "read":
        raise ConfigError(f"this token can only read; a push to {name} needs one with write permission")
    owners = [str(user["name"]), *(str(one["name"]) for one in user.get("orgs") or ())]
    if owner.lower() not in (one.lower() for one in owners):
        raise ConfigError(f"{name} is not yours: this token writes for {', '.join(owners)}")
