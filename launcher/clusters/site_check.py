"""Values of a cluster file that no longer fit the site."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.clusters.base import Cluster
from launcher.clusters.job import Request
from launcher.clusters.site_facts import Partition
from launcher.config import ClusterConfig, ResourcesConfig
from launcher.config.spelling import is_limit, limit_s
from launcher.errors import nearest


def faults(cluster: ClusterConfig, known: Sequence[Partition], time: str | None = None) -> list[str]:
    """A sentence for each value of the file that the site contradicts; `time` is a time limit that runs there use."""
    sbatch: Mapping[str, Any] = cluster.sbatch
    named = [word for word in str(sbatch.get("partition") or "").split(",") if word]
    by_name = {one.name: one for one in known}
    found: list[str] = []
    for name in named:
        if name not in by_name:
            close = nearest(name, by_name)
            meant = f"; did you mean {close}?" if close else ""
            found.append(
                f"cluster.sbatch.partition={name} is not a partition of this site, which has {', '.join(by_name)}{meant}"
            )
        elif not by_name[name].available:
            found.append(f"cluster.sbatch.partition={name} is down")
    used = [by_name[name] for name in named if name in by_name] or (
        [] if named else [one for one in known if one.is_default]
    )
    for part in used:
        found += _of_partition(cluster, part, time)
    return found


def refusal(place: Cluster, cluster: ClusterConfig, time: str, folder: str) -> str | None:
    """What the scheduler says against a job of one node with these values: an account, a QoS, a reservation, a feature or a
    resource that it does not have, or no longer for this user. None if it would accept the job, and if it does not answer.

    Nothing is queued. `folder`: where the job's script would start.
    """
    request = Request(
        name="site_check", run_dir=folder, nodes=1, spares=0, gpus_per_node=cluster.gpus_per_node or 1,
        cuda=bool(cluster.gpus_per_node), resources=ResourcesConfig(time=time), site=cluster,
    )  # fmt: skip
    (start,) = place.when_starts([place.job_options(request)], folder)
    if start.refused is None:
        return None
    size = f"one node with {cluster.gpus_per_node} GPUs" if cluster.gpus_per_node else "one node"
    return f"{start.how} refuses a job of {size}: {start.refused}"


def _of_partition(cluster: ClusterConfig, part: Partition, time: str | None) -> list[str]:
    found: list[str] = []
    most = max(part.gpus.values(), default=0)
    kinds = ", ".join(kind or "of no type" for kind in part.gpus)
    if part.gpus and cluster.gpu_request == "none":
        found.append(
            f"cluster.gpu_request=none requests no GPUs, but partition {part.name} counts them: use gpus-per-node or gres"
        )
    if not part.gpus and cluster.gpu_request != "none" and cluster.gpus_per_node:
        found.append(
            f"cluster.gpu_request={cluster.gpu_request}: Slurm counts no GPUs in partition {part.name}, and would refuse every "
            "GPU job; use gpu_request=none there"
        )
    if most and cluster.gpus_per_node and cluster.gpus_per_node > most:
        found.append(
            f"cluster.gpus_per_node={cluster.gpus_per_node} is more than the {most} of a node in partition {part.name}"
        )
    if cluster.gpu_type and part.gpus and cluster.gpu_type not in part.gpus:
        found.append(
            f"cluster.gpu_type={cluster.gpu_type} is not a type of partition {part.name}, which has {kinds}"
        )
    memory = cluster.node_memory_gib
    if memory and part.memory_gib and memory >= part.memory_gib + 1:
        found.append(
            f"cluster.node_memory_gib={memory:g} is more than the {part.memory_gib} GiB of a node in partition {part.name}"
        )
    said = cluster.time_limits.get(part.name)
    known = is_limit(part.time_limit)
    if isinstance(said, str) and is_limit(said) and known and limit_s(said) != limit_s(part.time_limit):
        found.append(
            f"cluster.time_limits.{part.name}={said} is not the longest job of partition {part.name}, {part.time_limit}"
        )
    wanted = str(cluster.sbatch.get("constraint") or "")
    words = [word for word in _words(wanted) if word not in part.features]
    if wanted and part.features and words:
        found.append(
            f"cluster.sbatch.constraint={wanted}: no node of partition {part.name} has {', '.join(words)}; it has "
            f"{', '.join(part.features)}"
        )
    if (
        time is not None
        and part.time_limit not in ("infinite", "n/a")
        and limit_s(time) > limit_s(part.time_limit)
    ):
        found.append(
            f"resources.time={time} is more than the longest job of partition {part.name}, {part.time_limit}"
        )
    return found


def _words(constraint: str) -> list[str]:
    """The features in a constraint such as `[a100|h100]&nvlink*2`."""
    text = "".join(
        letter if letter.isalnum() or letter in "._-" else " " for letter in constraint.split("*")[0]
    )
    return text.split()
