"""The request for GPUs in the dialects of sites. Source: sbatch(1), --gpus-per-node, --gpus-per-task, --gres."""

import re

from launcher.clusters.job import Request
from launcher.errors import PlanError, nearest

_WAYS = ("gpus-per-node", "gpus-per-task", "gres", "none")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def gpu_options(request: Request) -> dict[str, str]:
    """The option that requests the GPUs of a node; empty for `none`, where only the partition decides. PlanError for an
    unknown value or a type that is not one word."""
    way, kind = request.site.gpu_request, request.site.gpu_type
    if way not in _WAYS:
        close = nearest(way, _WAYS)
        meant = f"; did you mean {close}?" if close else ""
        raise PlanError(f"cluster.gpu_request={way!r} must be one of {', '.join(_WAYS)}{meant}")
    if kind is not None and way == "none":
        raise PlanError(
            f"cluster.gpu_type={kind} has no effect with cluster.gpu_request=none; "
            "set cluster.gpu_request=gpus-per-node, or select the nodes by cluster.sbatch.constraint"
        )
    if kind is not None and not _TYPE.fullmatch(kind):
        raise PlanError(
            f"cluster.gpu_type={kind!r} must be one word as `sinfo -o %G` shows it, such as a100 or 3g.40gb"
        )
    if way == "none":
        return {}
    count = str(request.gpus_per_node)
    words = [*(["gpu"] if way == "gres" else []), *([kind] if kind else []), count]
    return {way: ":".join(words)}


def join_gres(options: dict[str, str], site: str) -> str:
    """The value of --gres with the site's other resources behind the GPUs, if those are requested by --gres.

    PlanError if the site's value names GPUs, which would count them twice.
    """
    if any(one.strip().split(":")[0] == "gpu" for one in site.split(",")):
        raise PlanError(
            f"cluster.sbatch.gres={site} requests GPUs a second time; set resources.gpus_per_node, cluster.gpu_request=gres "
            "and cluster.gpu_type for their type, and keep only other resources in cluster.sbatch.gres"
        )
    return ",".join([*filter(None, [options.get("gres")]), site])
