"""What a run requests from a cluster: the job, its environment, setup commands, and the container."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from launcher.clusters.base import Cluster
from launcher.clusters.job import Request
from launcher.config import ClusterConfig, Config, ContainerRuntime, GpuVendor
from launcher.config.spelling import one_line
from launcher.environment import GLOO_INTERFACE, NCCL_INTERFACE
from launcher.errors import PlanError
from launcher.plan.allocator import allocator_variables
from launcher.plan.facts import Facts
from launcher.plan.generation import Generation, generation_nodes, gpus_of_a_node
from launcher.plan.mounts import mounts_of
from launcher.plan.rendezvous import check_decided, named_interface
from launcher.plan.topology import Topology
from launcher.trackers.registry import TRACKERS

SECRET_NAME = re.compile(
    r"(TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|PASSPHRASE|(?<![A-Z])PASS(?![A-Z])|(API|ACCESS|PRIVATE)_?KEY|CREDENTIAL)",
    re.IGNORECASE,
)
"""Matches the names of variables that hold secrets."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_MODULE = re.compile(r"[\s;&|<>()$`\"'\\*?!#{}\[\]]")
"""Characters that the name of an environment module cannot have: `module` itself is a shell function."""


def check_facts(facts: Facts) -> None:
    """PlanError for a path with a newline or control character, since the paths are written into the scripts."""
    one_line("runs_dir", facts.run_dir)
    one_line("the current folder", facts.work_dir)
    one_line("cluster.python", facts.python)
    one_line("cache_dir", facts.cache_dir)
    for name, path in facts.hub_folders.items():
        one_line(name, path)
    for path in facts.data_dirs:
        one_line("data.path", path)


def check_environment(config: Config) -> None:
    """PlanError for a variable with an invalid name, with a name that looks like a secret, or with a newline, and for a secret
    in the command of a server."""
    for key, env in (("cluster.env", config.cluster.env), ("generation.env", config.generation.env)):
        for name, value in env.items():
            if not _VARIABLE.fullmatch(name):
                raise PlanError(
                    f"{key}.{name} is not a valid variable name; use only letters, digits and _, not a digit first"
                )
            if SECRET_NAME.search(name):
                raise PlanError(
                    f"{key}.{name} looks like a secret, which must not be written to a file; export {name} "
                    "in your shell instead: jobs inherit it"
                )
            one_line(f"{key}.{name}", value)
    for key in ("command", "args"):
        words = getattr(config.generation, key)
        if words and (name := _secret_in(words)):
            raise PlanError(
                f"generation.{key} gives {name} a value, which looks like a secret and must not be written to a file; export "
                "it in your shell as the variable that the server reads: jobs inherit it"
            )


def check_node_cache(cluster: ClusterConfig) -> None:
    """PlanError for a folder that the nodes cannot find by that name, or that a container would not have."""
    named = cluster.node_cache
    if named is None:
        return
    one_line("cluster.node_cache", named)
    if not named.startswith(("/", "$")):
        raise PlanError(
            f"cluster.node_cache={named!r} must be an absolute path on the nodes, or begin with a variable of theirs such as "
            "$SLURM_TMPDIR; use null for none"
        )
    if not {*PurePath(named).parts} - {"/", "//", ".", ".."}:
        raise PlanError(
            f"cluster.node_cache={named} is the root of the nodes' file system; name a folder on their own disk, such as /tmp"
        )
    if "$" in named and cluster.container.runtime is not ContainerRuntime.none:
        raise PlanError(
            f"cluster.node_cache={named} is known only on the nodes, and cluster.container has to mount it: "
            "name the folder itself"
        )


def environment(config: Config, facts: Facts) -> dict[str, str]:
    """The environment of every rank; values of the site's file win. In a container the folders of the hub's cache are set too,
    because its image may set others."""
    check_decided(config.cluster.env)
    quiet = {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    hidden = ["CUDA_VISIBLE_DEVICES"]
    if config.cluster.gpu_vendor is GpuVendor.amd:
        hidden += ["HIP_VISIBLE_DEVICES"]
    devices = {} if facts.device == "cuda" else dict.fromkeys(hidden, "")
    tracking = TRACKERS.find(config.tracker.kind).variables(
        one_line("tracker.project", config.tracker.project)
    )
    interface = named_interface(config.cluster)
    network = dict.fromkeys((GLOO_INTERFACE, NCCL_INTERFACE), interface) if interface else {}
    allocator = allocator_variables(config, facts.device)
    return quiet | devices | allocator | tracking | network | config.cluster.env | dict(facts.hub_folders)


def simple_command(line: str) -> tuple[str, ...]:
    """The words of a setup line, a command and its arguments. The script quotes each, so that the shell expands nothing."""
    try:
        words = shlex.split(one_line("cluster.setup", line))
    except ValueError as error:
        raise PlanError(f"cluster.setup={line!r} is not one command ({error}); close its quotes") from None
    if not words:
        raise PlanError("cluster.setup holds an empty line; take it out")
    if name := _secret_in(words):
        raise PlanError(
            f"cluster.setup gives {name} a value, which looks like a secret and must not be written to a file; export it "
            "in your shell: jobs inherit it, or source a file that only you can read (chmod 600)"
        )
    if words[0].startswith("%"):
        raise PlanError(
            f"cluster.setup={line!r} starts with %, which in bash refers to a job; start it with a command"
        )
    return tuple(words)


def _secret_in(words: Sequence[str]) -> str | None:
    """The variable or option with a secret's name that a setup line gives a value; None for none."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        option = name.startswith("-")
        if not SECRET_NAME.search(name.replace("-", "_")) or not (option or _VARIABLE.fullmatch(name)):
            continue
        given = value if equals else following if option else ""
        if given.isdigit():  # a number of tokens
            continue
        if given and not given.startswith(
            ("-", "/", "~", "./")
        ):  # the path of a file that holds the secret is not a secret
            return name
    return None


def module_name(module: str) -> str:
    """An environment module's name; PlanError for one that `module load` would read as an option or as several names."""
    one_line("cluster.modules", module)
    if module.startswith("-") or not module or _NOT_IN_MODULE.search(module):
        raise PlanError(
            f"cluster.modules holds {module!r}, which is not one module's name; use a name such as cuda/13.0, each its own "
            "item: [gcc/13, cuda/13.0]; commands belong into cluster.setup"
        )
    return module


def make_request(
    config: Config, topology: Topology, facts: Facts, cluster: Cluster, generation: Generation | None = None
) -> Request:
    """The request for a job, whose nodes are all alike; PlanError for a container that the cluster's job step cannot open."""
    container, run_dir = config.cluster.container, facts.run_dir
    opened = container.runtime is ContainerRuntime.pyxis
    if opened and not cluster.opens_images:
        raise PlanError(
            f"cluster.container.runtime={container.runtime.name} is an option of Slurm's srun, and cluster.kind={cluster.name} "
            "has no such option; use apptainer, singularity, charliecloud, podman_hpc or none"
        )
    return Request(
        name=config.name,
        run_dir=run_dir,
        nodes=topology.nodes + generation_nodes(generation),
        spares=config.resources.spares,
        gpus_per_node=gpus_of_a_node(topology, generation),
        cuda=facts.device == "cuda",
        resources=config.resources,
        site=config.cluster,
        image=_image(config) if opened else None,
        mounts=tuple(mounts_of(config, facts)) if opened else (),
    )


def container_command(config: Config, facts: Facts) -> tuple[str, ...]:
    """The words before the ranks' command that run it in a container; empty for bare nodes and pyxis."""
    container = config.cluster.container
    if container.runtime is ContainerRuntime.none:
        return ()
    from launcher.plan.containers import TEMPLATES, command_in  # imported here: most runs start on bare nodes

    if container.runtime not in TEMPLATES:
        return ()
    gpus = config.cluster.gpu_vendor if facts.device == "cuda" else None
    return command_in(container, _image(config), mounts_of(config, facts), facts.run_dir, gpus=gpus)


def check_programs(cluster: ClusterConfig) -> None:
    """PlanError for a Python interpreter with arguments, and for an image or interpreter that the program which starts it would
    read as an option: each is one word of a command."""
    container = cluster.container
    for key, value in (("cluster.python", cluster.python), ("cluster.container.python", container.python)):
        if value is None:
            continue
        if value.startswith("-") or not value.strip():
            raise PlanError(
                f"{key}={value!r} is not a program; name the interpreter, such as /opt/env/bin/python"
            )
        name, *arguments = value.split()
        if arguments and arguments[0].startswith("-"):
            raise PlanError(
                f"{key}={value!r} is one program's name and cannot hold arguments; use {key}={name}, and cluster.env for what "
                "an argument would set (PYTHONOPTIMIZE, PYTHONWARNINGS)"
            )
    if container.image and container.image.startswith("-"):
        raise PlanError(
            f"cluster.container.image={container.image!r} begins with a dash, as an option does; name the image, and write "
            "options into cluster.container.options"
        )


def node_python(config: Config, facts: Facts) -> str:
    """The Python that starts the ranks: the image's, or on bare nodes the one that made the plan."""
    container = config.cluster.container
    bare = container.runtime is ContainerRuntime.none
    return one_line("cluster.python", facts.python if bare else container.python)


def _image(config: Config) -> str:
    container = config.cluster.container
    if not container.image:
        raise PlanError(
            f"cluster.container.runtime={container.runtime.name} needs cluster.container.image; set it, "
            "or cluster.container.runtime=none"
        )
    return container.image
