"""The words that run the ranks' command in a container, one template for each program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from launcher.config import ContainerConfig, ContainerRuntime, GpuVendor
from launcher.config.spelling import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerTemplate:
    """How a program is told what a run needs."""

    words: tuple[str, ...]
    """The program and its verb."""
    gpu: tuple[str, ...]
    """Options that make an NVIDIA GPU visible in the image."""
    amd: tuple[str, ...]
    """Options that make an AMD GPU visible in the image."""
    mount: Callable[[str], tuple[str, ...]]
    """Options of one mount, HOST:INSIDE."""
    folder: str
    """Option for the folder in which the command starts."""
    end: tuple[str, ...] = ()
    """Words between the image and the command."""
    makes_mount_points: frozenset[str] | None = None
    """Options with which the program makes missing mount points in the image itself; None if it always does."""


def _apptainer(program: str) -> ContainerTemplate:
    """Source: the manual pages of apptainer exec and singularity exec (--nv, --rocm, --bind, --pwd)."""
    return ContainerTemplate(
        words=(program, "exec"),
        gpu=("--nv",),
        amd=("--rocm",),
        mount=lambda mount: ("--bind", mount),
        folder="--pwd",
    )


TEMPLATES = {
    ContainerRuntime.apptainer: _apptainer("apptainer"),
    ContainerRuntime.singularity: _apptainer("singularity"),
    # Source: ch-run(1), --bind, --cd, and --write-fake, which versions before 0.34 do not have; it passes the environment on
    ContainerRuntime.charliecloud: ContainerTemplate(
        words=("ch-run",),
        gpu=(),
        amd=(),  # the host's /dev is in the image already
        mount=lambda mount: ("--bind", mount),
        folder="--cd",
        end=("--",),
        makes_mount_points=frozenset(["-w", "--write", "-W", "--write-fake"]),
    ),
    # Source: podman-run(1), --env-host, --volume, --workdir, --device, --group-add; NERSC's manual of podman-hpc, --gpu;
    # AMD's ROCm manual, running ROCm containers, for the devices
    ContainerRuntime.podman_hpc: ContainerTemplate(
        words=("podman-hpc", "run", "--rm", "--env-host", "--network=host", "--ipc=host"),
        gpu=("--gpu",),
        amd=("--device=/dev/kfd", "--device=/dev/dri", "--group-add=keep-groups"),
        mount=lambda mount: ("--volume", mount),
        folder="--workdir",
    ),
}
"""Runtime -> template. pyxis has none, because with it Slurm's job step opens the image."""


def missing_mount_points(container: ContainerConfig, mounts: Sequence[str]) -> list[str]:
    """Folders in the image that must be made before the program can mount on them; empty if the program makes them itself."""
    template = TEMPLATES.get(container.runtime)
    if template is None or template.makes_mount_points is None:
        return []
    if not template.makes_mount_points.isdisjoint(container.options):
        return []
    return [inside or host for host, _, inside in (mount.partition(":") for mount in outermost(mounts))]


def outermost(mounts: Sequence[str]) -> list[str]:
    """The mounts without those that another one includes: a folder below another folder, if both keep their own path."""
    parts = [(mount, *mount.partition(":")[::2]) for mount in mounts]
    whole = [PurePath(host) for _, host, inside in parts if host and inside in ("", host)]
    return [
        mount
        for mount, host, inside in parts
        if inside not in ("", host) or not any(above in PurePath(host).parents for above in whole)
    ]


def command_in(
    container: ContainerConfig, image: str, mounts: Sequence[str], folder: str, *, gpus: GpuVendor | None
) -> tuple[str, ...]:
    """The words before the command, for a run on GPUs of that vendor or on none; empty for bare nodes and for an image that the
    step opens."""
    template = TEMPLATES.get(container.runtime)
    if template is None:
        return ()
    words = [
        *template.words,
        *(template.gpu if gpus is GpuVendor.nvidia else ()),
        *(template.amd if gpus is GpuVendor.amd else ()),
        *(
            word
            for mount in (mounts if template.makes_mount_points is None else outermost(mounts))
            for word in template.mount(mount)
        ),
        template.folder,
        folder,
        *container.options,
        image,
        *template.end,
    ]
    return tuple(one_line("cluster.container", word) for word in words)
