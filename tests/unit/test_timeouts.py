"""Time-outs that depend on each other."""

from launcher import timeouts
from launcher.config.resources import ResourcesConfig


def test_a_node_is_given_up_after_many_missed_heartbeats_and_an_agent_gives_up_after_many_missed_pings():
    assert timeouts.AGENT_LOST_S >= 4 * timeouts.MOST_HEARTBEAT_S
    assert timeouts.SUPERVISOR_LOST_S >= 5 * timeouts.PING_S
    assert timeouts.MOST_HEARTBEAT_S < timeouts.AGENT_QUIET_S < timeouts.AGENT_LOST_S


def test_an_agent_gives_the_supervisor_up_later_than_the_supervisor_gives_up_the_agent():
    assert timeouts.SUPERVISOR_LOST_S > timeouts.AGENT_LOST_S + timeouts.PING_S


def test_a_supervisor_counts_as_dead_after_many_missed_pings_and_heartbeats():
    assert timeouts.LEADER_SILENT_S >= 5 * timeouts.PING_S
    assert timeouts.HEARTBEAT_STILL_S >= 3 * timeouts.LEASE_HEARTBEAT_S
    assert timeouts.LEADER_SUSPECT_S + timeouts.HEARTBEAT_STILL_S <= timeouts.LEADER_SILENT_S
    assert timeouts.LEADER_SILENT_S < timeouts.SUPERVISOR_LOST_S


def test_a_supervisor_in_the_minority_waits_until_the_others_have_chosen():
    cut_off = timeouts.SUPERVISOR_LOST_S - timeouts.AGENT_LOST_S
    assert cut_off + timeouts.HEARTBEAT_STILL_S + timeouts.ADOPT_S < timeouts.MINORITY_S


def test_one_that_stands_by_lets_the_agents_choose_first():
    choose_s = timeouts.HEARTBEAT_STILL_S + 3 * timeouts.TURN_S + timeouts.JOIN_S
    assert choose_s < timeouts.STAND_BY_S
    assert timeouts.SUCCESSION_S > timeouts.STAND_BY_S + timeouts.ADOPT_S


def test_an_agent_that_waits_for_a_fork_is_not_taken_for_lost():
    assert timeouts.FORK_S < timeouts.AGENT_LOST_S - timeouts.MOST_HEARTBEAT_S


def test_heartbeats_of_many_nodes_are_rarer_but_never_as_rare_as_a_loss():
    assert [timeouts.heartbeat_s(nodes) for nodes in (1, 1024, 4096, 100_000)] == [0.5, 0.5, 2.0, 2.5]


def test_an_agent_says_that_it_cannot_connect_before_the_supervisor_stops_waiting():
    assert timeouts.CONNECT_S < timeouts.GATHER_S


def test_a_rank_that_never_speaks_is_started_again_before_it_counts_as_hung():
    assert timeouts.HANG_FLOORS_S["start"] > timeouts.FIRST_WORD_S


def test_a_saver_gives_up_before_its_rank_counts_as_hung():
    assert timeouts.SAVER_GIVES_UP < timeouts.SAVE_HANGS


def test_a_collective_around_an_export_waits_as_long_as_the_supervisor():
    assert timeouts.HANG_FLOORS_S["export"] == timeouts.EXPORT_S


def test_hang_timeout_s_is_a_tighter_limit_than_what_holds_before_steps_are_known():
    assert ResourcesConfig().hang_timeout_s < timeouts.HANG_FLOORS_S["step"] <= timeouts.HANG_FLOORS_S["eval"]


def test_ranks_are_gone_and_stacks_are_written_before_the_supervisor_stops_waiting_for_the_answer():
    assert timeouts.END_RANKS_S < timeouts.ANSWER_S
    assert timeouts.DUMP_S < timeouts.ANSWER_S / 2


def test_a_server_that_hangs_is_killed_before_the_ranks_that_wait_for_it_count_as_hung():
    slack = timeouts.SERVER_CHECK_S + timeouts.SERVER_ANSWER_S
    assert timeouts.SERVER_SILENT_S + 2 * slack < ResourcesConfig().hang_timeout_s
