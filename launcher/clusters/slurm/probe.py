"""What a login node can find out about a Slurm site from the answers of Slurm's commands. Nothing is queued."""

import getpass
import re
from collections.abc import Sequence

from launcher.clusters.site_facts import Partition, SiteFact
from launcher.clusters.slurm.client import ask, on, settings
from launcher.clusters.slurm.login_node import of_login_node
from launcher.config.spelling import is_limit
from launcher.errors import ClusterError, PlanError, nearest
from launcher.units import plural

_FIELDS = "%P|%a|%l|%D|%c|%m|%G|%f"
_GPU = re.compile(
    r"gpu(?::(?!no_consume)(\d*[A-Za-z_][^:()]*))?(?::no_consume)?(?::(\d+))?(?:\(.*\))?", re.IGNORECASE
)
"""A GRES of GPUs: `gpu`, then a type, `no_consume` and a number, each of which can be missing. Source: slurm.conf(5), Gres."""
_SETTINGS = {
    "MaxArraySize": "an array of a sweep has fewer tasks than this",
    "KillWait": "seconds between SIGTERM and SIGKILL; a pre-empted run saves within them",
    "JobRequeue": "0: the site does not queue jobs again by default; a run asks for it with --requeue",
    "PreemptMode": "",
    "MpiDefault": "srun loads this plugin for every step; if it fails, set cluster.srun.mpi=none",
    "TaskPlugin": "",
    "SelectTypeParameters": "",
    "EnforcePartLimits": "",
}


def partitions(timeout_s: float, clusters: str = "") -> list[Partition]:
    """All partitions that sinfo lists of these clusters, or of those to which a job of this shell goes; ClusterError if it does
    not answer."""
    done = ask(["sinfo", *on(clusters), "--noheader", f"--format={_FIELDS}"], timeout_s)
    if done is None or done.returncode:
        raise ClusterError("sinfo does not answer here; type this command on a login node of the cluster")
    found: dict[str, Partition] = {}
    for line in done.stdout.splitlines():
        parts = [one.strip() for one in line.split("|")]
        if len(parts) != 8:
            continue
        name, up, limit, nodes, cpus, memory, gres, features = parts
        if not nodes[:1].isdigit():
            continue  # the names of the columns, which a site's wrapper prints all the same
        key = name.rstrip("*")
        one = Partition(
            name=key, is_default=name.endswith("*"), available=up == "up", time_limit=limit, nodes=_number(nodes),
            cpus=_number(cpus), memory_gib=_number(memory) // 1024, gpus=_gpus(gres), gres=_other_gres(gres),
            features=tuple(word for word in features.split(",") if word not in ("(null)", "")),
        )  # fmt: skip
        found[key] = _joined(found[key], one) if key in found else one
    return list(found.values())


def choose(known: list[Partition], wanted: str | None) -> Partition:
    """The partition with that name, else the default one if it has GPUs, else the largest with GPUs, else the default.

    PlanError for an unknown name; ClusterError if there is no partition.
    """
    if not known:
        raise ClusterError("sinfo lists no partition; is this account allowed to use one?")
    if wanted is not None:
        by_name = {one.name: one for one in known}
        if wanted not in by_name:
            close = nearest(wanted, by_name)
            meant = f"; did you mean {close}?" if close else ""
            raise PlanError(
                f"--partition {wanted} is not a partition of this site, which has {', '.join(by_name)}{meant}"
            )
        return by_name[wanted]
    usable = [one for one in known if one.available] or known
    return max(usable, key=lambda one: (bool(one.gpus), one.is_default, one.nodes))


def findings(
    part: Partition, known: Sequence[Partition], timeout_s: float, clusters: str = ""
) -> list[SiteFact]:
    """Everything that is known about jobs in this partition, keys of the cluster file first, and a line for each other one."""
    where = on(clusters)
    others = [_in_short(one) for one in known if one.name != part.name]
    return [
        *_of_partition(part, where, timeout_s), *others, *_of_account(part, timeout_s), *_of_site(where, timeout_s),
        *of_login_node(timeout_s),
    ]  # fmt: skip


def _in_short(part: Partition) -> SiteFact:
    gpus = [f"{count} {kind or 'GPUs'}" for kind, count in part.gpus.items()]
    has = " or ".join(gpus) or "no GPUs"
    nodes = f"{plural(part.nodes, 'node')} of {plural(part.cpus, 'core')}, {part.memory_gib} GiB and {has}"
    down = "" if part.available else "; it is down"
    return SiteFact(
        what=f"partition {part.name}", value=f"{nodes}, jobs up to {part.time_limit}{down}", how="sinfo",
        note="" if down else f"--partition {part.name} describes it",
    )  # fmt: skip


def _of_partition(part: Partition, where: Sequence[str], timeout_s: float) -> list[SiteFact]:
    how = f"sinfo, partition {part.name}"
    found = [
        SiteFact(what="partition", key="sbatch.partition", value=part.name, how=how),
        _longest(part, how),
        SiteFact(what="nodes", value=part.nodes, how=how),
        SiteFact(what="cores of a node", value=part.cpus, how=how),
        SiteFact(what="memory of a node, GiB", key="node_memory_gib", value=part.memory_gib, how=how),
    ]
    if part.gpus:
        kinds = ", ".join(f"{count} {kind or 'of no type'}" for kind, count in part.gpus.items())
        found.append(
            SiteFact(
                what="GPUs of a node", key="gpus_per_node", value=max(part.gpus.values()), how=how,
                note=f"GRES gpu: {kinds}",
            )
        )  # fmt: skip
        note = f"the partition has several: {kinds}; name the one to use" if len(part.gpus) > 1 else ""
        if kind := max(part.gpus, key=lambda kind: part.gpus[kind]):
            found.append(SiteFact(what="type of GPU", key="gpu_type", value=kind, how=how, note=note))
    else:
        found.append(
            SiteFact(
                what="request for GPUs", key="gpu_request", value="none", how=how,
                note="Slurm counts no GPUs here: jobs get whole nodes, or there are no GPUs; set gpus_per_node by hand",
            )
        )  # fmt: skip
    if part.gres:
        found.append(
            SiteFact(what="other GRES", value=",".join(part.gres), how=how, note="for cluster.sbatch.gres")
        )
    if part.features:
        found.append(
            SiteFact(
                what="features", value=",".join(part.features), how=how, note="for cluster.sbatch.constraint"
            )
        )
    return [*found, *_limits(part.name, where, timeout_s)]


def _longest(part: Partition, how: str) -> SiteFact:
    key = f"time_limits.{part.name}" if is_limit(part.time_limit) else None
    return SiteFact(
        what="longest job",
        key=key,
        value=part.time_limit,
        how=how,
        note="resources.time must not exceed it" if key else "",
    )


def _limits(name: str, where: Sequence[str], timeout_s: float) -> list[SiteFact]:
    """The partition's own settings. Source: scontrol(1), show partition."""
    done = ask(["scontrol", *where, "show", "partition", "--oneliner", name], timeout_s)
    how = f"scontrol show partition {name}"
    if done is None or done.returncode:
        return [SiteFact(what="limits of the partition", value=None, how=f"{how} does not answer")]
    facts = dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)
    notes = {
        "GraceTime": "seconds that a pre-empted job gets",
        "PreemptMode": "what happens to jobs of lower priority",
        "MaxNodes": "resources.nodes must not exceed it",
        "DefMemPerCPU": "MiB per core unless resources.memory_gib is set",
        "DefMemPerNode": "MiB per node unless resources.memory_gib is set",
        "JobDefaults": "cores and memory of each GPU unless resources.cpus_per_gpu is set",
        "QoS": "",
        "AllowAccounts": "",
    }
    wanted = [
        (word, facts[word])
        for word in notes
        if facts.get(word) not in (None, "", "(null)", "N/A", "ALL", "UNLIMITED")
    ]
    return [SiteFact(what=word, value=value, how=how, note=notes[word]) for word, value in wanted]


def _of_account(part: Partition, timeout_s: float) -> list[SiteFact]:
    """The accounts of this user. Source: sacctmgr(1), show associations."""
    user = getpass.getuser()
    command = [
        "sacctmgr",
        "--noheader",
        "--parsable2",
        "show",
        "associations",
        f"user={user}",
        "format=account,partition,qos",
    ]
    done = ask(command, timeout_s)
    if done is None or done.returncode or not done.stdout.strip():
        return [
            SiteFact(
                what="account", value=None, how="sacctmgr does not say",
                note="if the site needs one, add sbatch.account; otherwise Slurm refuses a submission",
            )
        ]  # fmt: skip
    rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    names = list(dict.fromkeys(row[0] for row in rows if row[1] in ("", part.name)))
    how = "sacctmgr show associations"
    if not names:
        return [
            SiteFact(
                what="account",
                value=None,
                how=how,
                note=f"no account of {user} may use partition {part.name}",
            )
        ]
    others = f"others: {', '.join(names[1:])}" if names[1:] else ""
    found = [SiteFact(what="account", key="sbatch.account", value=names[0], how=how, note=others)]
    qualities = sorted({word for row in rows if row[0] == names[0] for word in row[2].split(",") if word})
    return [*found, SiteFact(what="QoS of the account", value=",".join(qualities) or None, how=how)]


def _of_site(where: Sequence[str], timeout_s: float) -> list[SiteFact]:
    version = ask(["sinfo", "--version"], timeout_s)
    number = re.search(r"\d+\.\d+(\.\d+)?", version.stdout) if version else None
    found = [SiteFact(what="Slurm", value=number[0] if number else None, how="sinfo --version")]
    known = settings(timeout_s, where)
    how = "scontrol show config"
    found.append(
        SiteFact(
            what="scontrol", value=bool(known), how=how,
            note="" if known else "what Slurm is configured for is taken as its default, and a requeue becomes a new job",
        )
    )  # fmt: skip
    found += [
        SiteFact(what=name, value=known[name], how=how, note=note)
        for name, note in _SETTINGS.items()
        if name in known
    ]
    accounting = ask(["sacct", "--noheader", "--jobs", "1"], timeout_s)
    works = accounting is not None and accounting.returncode == 0
    found.append(
        SiteFact(
            what="sacct", value=works, how="sacct --jobs 1",
            note="" if works else "only the run dir then says how a job ended",
        )
    )  # fmt: skip
    found.append(
        SiteFact(
            what="squeue --json", value=_answers_in_json(where, timeout_s), how="squeue --json",
            note="not needed: a run reads squeue's plain output",
        )
    )  # fmt: skip
    return found


def _answers_in_json(where: Sequence[str], timeout_s: float) -> bool:
    done = ask(["squeue", *where, "--me", "--json"], timeout_s)
    return done is not None and done.returncode == 0 and done.stdout.lstrip().startswith("{")


def _gpus(gres: str) -> dict[str, int]:
    """Type -> number, of a GRES text such as `gpu:a100:4(S:0-1),nvme:200`."""
    words = re.split(r",(?![^(]*\))", gres)
    found = (match for word in words if (match := _GPU.fullmatch(word.strip())))
    numbers = ((match[1] or "", int(match[2] or 1)) for match in found)  # without a number it is one
    return {kind: number for kind, number in numbers if number}


def _other_gres(gres: str) -> tuple[str, ...]:
    """The resources of a GRES text that are not GPUs, such as nvme:1600."""
    words = [re.sub(r"\(.*\)", "", word).strip() for word in re.split(r",(?![^(]*\))", gres)]
    return tuple(word for word in words if word and not _GPU.fullmatch(word) and not word.startswith("shard"))


def _joined(one: Partition, other: Partition) -> Partition:
    """The two lines of a partition whose nodes differ, joined: the smaller size of each kind, and all types of GPUs."""
    return Partition(
        name=one.name, is_default=one.is_default, available=one.available or other.available, time_limit=one.time_limit,
        nodes=one.nodes + other.nodes, cpus=min(one.cpus, other.cpus), memory_gib=min(one.memory_gib, other.memory_gib),
        gpus={**other.gpus, **one.gpus}, features=tuple(dict.fromkeys([*one.features, *other.features])),
        gres=tuple(dict.fromkeys([*one.gres, *other.gres])),
    )  # fmt: skip


def _number(text: str) -> int:
    """The number in `128+` or `512000`; 0 for none."""
    match = re.match(r"\d+", text)
    return int(match[0]) if match else 0
