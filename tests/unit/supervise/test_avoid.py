"""The hosts that the next job of a run leaves out."""

import pytest

from launcher.run.totals import Faults
from launcher.supervise.avoid import Avoided, hosts_to_avoid

JOB = ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("here", "slow", "unfit", "known", "suspects"),
    [
        ({}, {}, (), (), ()),
        ({}, {}, (), ("n2",), ()),  # it was lost twice in other runs, and has carried this one
        ({"n2": 1}, {}, (), (), ()),
        ({"n2": 1}, {}, (), ("n2",), ("n2",)),
        ({"n2": 2}, {}, (), (), ("n2",)),
        ({}, {"n3": 1}, (), (), ("n3",)),
        ({}, {}, ("n3",), (), ()),
        ({}, {}, ("n3",), ("n3",), ("n3",)),
        (
            {"n4": 2},
            {},
            (),
            ("n4",),
            (),
        ),  # not of this job: the scheduler may not give it to the next one either
        ({"n1": 2, "n2": 2}, {}, (), ("n1",), ("n2",)),
    ],
)
def test_a_host_of_the_job_is_left_out_for_what_this_run_has_seen(here, slow, unfit, known, suspects):
    found = hosts_to_avoid(["n1"], JOB, unfit, Faults(blamed={"n1": 1, **here}, slow=slow), known)
    assert found == Avoided(lost=("n1",), suspects=suspects)


def test_a_lost_batch_host_is_left_out_though_its_agent_was_never_seen_by_the_new_supervisor():
    """The only host of the job that the supervisor of its second term knows is n2, which has failed in two other runs."""
    assert hosts_to_avoid(["n1"], ["n2"], (), Faults(blamed={"n1": 1}), ["n1", "n2"]).hosts == ("n1",)


def test_the_lost_hosts_alone_are_left_out_if_the_cluster_has_too_few_nodes_without_the_suspects():
    lost, both = Avoided(lost=("n1",)), Avoided(lost=("n1",), suspects=("n2", "n3"))
    assert both.choices() == [both, lost] and lost.choices() == [lost]
    assert Avoided(suspects=("n2",)).choices() == [Avoided(suspects=("n2",))]
    assert Avoided().choices() == []


def test_the_reason_is_named_for_each_host():
    assert (
        str(Avoided(lost=("n1", "n4"), suspects=("n2",))) == "n1, n4 (lost) and n2 (with faults in this run)"
    )
    assert str(Avoided(suspects=("n2",))) == "n2 (with faults in this run)"
