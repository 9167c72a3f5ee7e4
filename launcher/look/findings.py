"""Findings for the cluster file, from what the nodes have found. Values of keys must not depend on how busy the nodes were, so
a speed is not the value of a key but a separate, rounded fact."""

from collections.abc import Sequence

from launcher.clusters.site_facts import SiteFact
from launcher.look.record import Disk, Link, NodeRecord

_CLOCK_S = 1.0
"""Seconds. Clocks that differ by more than this mix up the order of log lines and of file times."""


def findings_of(records: Sequence[NodeRecord], architecture: str) -> list[SiteFact]:
    """Everything that a job on these nodes has shown; `architecture` is the login node's."""
    first = records[0]
    how = f"a job on {', '.join(one.host for one in records)}"
    found = [
        *_gpus(records, how),
        *_networks(records, how),
        SiteFact(what="cores of the job", value=first.cores, how=how),
        SiteFact(
            what="Python of the nodes", value=first.python, how=how,
            note=f"torch {first.torch}" if first.torch else "torch is not installed for it",
        ),
    ]  # fmt: skip
    if first.architecture != architecture:
        found.append(
            SiteFact(
                what="architecture of the nodes", value=first.architecture, how=how,
                note=f"the login node is {architecture}: install the Python environment on a node",
            )
        )  # fmt: skip
    found += [_disk(records, place, how) for place in range(len(first.disks))]
    limits = sorted({text for one in records for text in one.limits})
    return [*found, *(SiteFact(what="limit", value=text, how=how) for text in limits)]


def _gpus(records: Sequence[NodeRecord], how: str) -> list[SiteFact]:
    seen = [one.gpus for one in records]
    known = [one for one in seen if one is not None]
    if not known:
        return [
            SiteFact(what="GPUs", value=None, how=f"{how}: neither nvidia-smi nor rocm-smi answers there")
        ]
    smallest = min(known, key=lambda one: one.memory_gib)
    counts = sorted({len(one.names) for one in known})
    names = sorted({name for one in known for name in one.names})
    found = [
        SiteFact(
            what="memory of a GPU", key="gpu_memory_gib", value=smallest.memory_gib, how=how,
            note=f"{'/'.join(map(str, counts))} x {', '.join(names)}",
        )
    ]  # fmt: skip
    if smallest.vendor != "nvidia":
        found.append(SiteFact(what="vendor", key="gpu_vendor", value=smallest.vendor, how=how))
    contexts = [one.context_gib for one in known if one.context_gib is not None]
    if contexts:
        found.append(
            SiteFact(
                what="context of an empty process, GiB", value=max(contexts), how=how,
                note="cluster.context_gib has to hold communicators too; `calibrate` measures it",
            )
        )  # fmt: skip
    links = [one.link_gb_s for one in known if one.link_gb_s is not None]
    if links:
        found.append(
            SiteFact(
                what="copy from GPU 0 to GPU 1, GB/s", value=_to_one_digit(min(links)), how=how,
                note="cluster.link_gb_s; `calibrate` measures what a run reaches",
            )
        )  # fmt: skip
    return found


def _networks(records: Sequence[NodeRecord], how: str) -> list[SiteFact]:
    rate = min(one.ib_gb_s for one in records)
    found = (
        [SiteFact(what="InfiniBand of a node, GB/s", value=rate, how=f"{how}, by the rates of its ports")]
        if rate
        else []
    )
    others = [one for one in records[1:] if one.links or one.name_of_first]
    if not others:
        return found
    found.append(_name(records, others, how))
    common = [link.interface for link in others[0].links]
    for name in common:
        links = [link for one in others for link in one.links if link.interface == name]
        found.append(_link(name, links, how))
    working = [
        name
        for name in common
        if all(not link.problem for one in others for link in one.links if link.interface == name)
    ]
    fast = [one.name for one in records[0].interfaces if one.fast and one.name in working]
    if fast and len(common) > 1:
        found.append(
            SiteFact(
                what="network", key="interface", value=fast[0], how=how,
                note=f"the fast network of {', '.join(common)}",
            )
        )  # fmt: skip
    clocks = [abs(link.clock_s) for one in others for link in one.links if link.clock_s is not None]
    if clocks:
        apart = max(clocks)
        note = "the clocks differ too much: ask for NTP" if apart > _CLOCK_S else ""
        value = f"{_to_one_digit(apart)} s" if apart > _CLOCK_S else "less than a second"
        found.append(SiteFact(what="clocks of the nodes differ by", value=value, how=how, note=note))
    return found


def _name(records: Sequence[NodeRecord], others: Sequence[NodeRecord], how: str) -> SiteFact:
    answers = sorted({one.name_of_first for one in others})
    known = {
        address: one.name for one in records[0].interfaces for address in one.addresses
    }  # the interface to which the name resolves
    note = (
        f"on {known[answers[0]]}"
        if answers[0] in known
        else "not an address of that node; a run finds its nodes by their addresses"
    )
    return SiteFact(
        what=f"name {records[0].host} on other nodes", value=", ".join(answers), how=how, note=note
    )


def _link(name: str, links: Sequence[Link], how: str) -> SiteFact:
    problems = sorted({link.problem for link in links if link.problem})
    if problems:
        return SiteFact(
            what=f"between nodes over {name}", value=f"no connection: {', '.join(problems)}", how=how
        )
    speed = min(link.gb_s or 0.0 for link in links)
    return SiteFact(
        what=f"between nodes over {name}, GB/s", value=_to_one_digit(speed), how=f"{how}, one TCP connection"
    )


def _disk(records: Sequence[NodeRecord], place: int, how: str) -> SiteFact:
    disks: list[Disk] = [one.disks[place] for one in records if place < len(one.disks)]
    free = min(one.free_gb for one in disks)
    writes = [one.write_gb_s for one in disks if one.write_gb_s is not None]
    reads = [one.read_gb_s for one in disks if one.read_gb_s is not None]
    speed = (
        f"{_to_one_digit(min(writes))} GB/s written, {_to_one_digit(min(reads))} GB/s read"
        if writes and reads
        else "it cannot be written"
    )
    memory = "; it is in the node's memory" if disks[0].kind in ("tmpfs", "ramfs") else ""
    return SiteFact(
        what=f"{disks[0].path} ({disks[0].kind})",
        value=speed,
        how=how,
        note=f"{_to_one_digit(free)} GB free{memory}",
    )


def _to_one_digit(value: float) -> float | int:
    """The value with one significant digit."""
    rounded = float(f"{value:.1g}")
    return int(rounded) if rounded.is_integer() else rounded
