"""How the processes of a job find each other, by the cluster's keys."""

import pytest

from launcher.errors import PlanError


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("host_suffix='a b'", "end of a host name"),
        ("interface='ib0;rm'", "network interface"),
        ("ports=20000", "FIRST-LAST"),
        ("ports=20000-20003", "at least 16 ports"),
        ("ports=80-2000", "from 1024"),
        ("ports=65000-70000", "65535"),
        ("start_timeout_s=0", "above 0, or null"),
        ("start_timeout_s=inf", "above 0, or null"),
        ("start_timeout_s=nan", "above 0, or null"),
        ("env.MASTER_PORT=29500", r"would be overwritten on the ranks; set cluster\.ports instead"),
        ("env.MASTER_ADDR=n1", r"set cluster\.interface or cluster\.host_suffix instead"),
        ("env.WORLD_SIZE=2", r"set resources\.nodes and resources\.gpus_per_node instead"),
        ("env.LAUNCHER_JOB=2", "belongs to the launcher itself"),
        ("env.TORCHELASTIC_USE_AGENT_STORE=False", "would be overwritten; take it out"),
    ],
)
def test_an_invalid_value_is_refused_with_its_key(plan, override: str, says: str):
    with pytest.raises(PlanError, match=rf"cluster\.{override.split('=')[0]}.*{says}"):
        plan("+experiment=tiny", f"++cluster.{override}")


def test_a_container_gives_the_nodes_time_to_import_its_image(plan):
    assert plan("+experiment=tiny").rendezvous.start_timeout_s == 300
    container = ("cluster.container.runtime=pyxis", "cluster.container.image='nvcr.io#nvidia/x:1'")
    assert plan("+experiment=tiny", *container).rendezvous.start_timeout_s == 3600
    assert plan("+experiment=tiny", *container, "cluster.start_timeout_s=20").rendezvous.start_timeout_s == 20


def test_a_named_interface_is_that_of_nccl_and_gloo_unless_the_site_sets_them(plan):
    env = plan("+experiment=tiny", "cluster.interface=ib0", "++cluster.env.NCCL_SOCKET_IFNAME=ib").env
    assert (env["GLOO_SOCKET_IFNAME"], env["NCCL_SOCKET_IFNAME"]) == ("ib0", "ib")
    for none in ((), ("cluster.interface=auto",)):
        made = plan("+experiment=tiny", *none)
        assert "GLOO_SOCKET_IFNAME" not in made.env and made.rendezvous.interface is None
