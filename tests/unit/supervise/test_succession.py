"""Who leads a job whose supervisor is lost: the rules, and 200 random schedules of faults over real lease files."""

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from launcher.run import RunDir
from launcher.run.nonce import newest_term
from launcher.supervise.lease import Lease, holder_of, newest_heartbeat
from launcher.supervise.succession import LeaderState, Signs, has_gathered, has_quorum, turn_s
from launcher.timeouts import (
    ADOPT_S,
    AGENT_LOST_S,
    HEARTBEAT_STILL_S,
    LEADER_SILENT_S,
    MINORITY_S,
    STAND_BY_S,
    SUPERVISOR_LOST_S,
    TURN_S,
)

TICK_S = 0.5
FIRST_S, AFTERWARDS_S = 90.0, 150.0
"""Seconds of faults, and then without any."""


def who(host: str) -> dict[str, Any]:
    return {"job_id": "1", "restart": 0, "host": host, "pid": 1, "started": 1}


def test_a_supervisor_is_dead_only_if_messages_and_heartbeat_both_stop():
    signs = Signs(heard=0.0)
    assert signs.state(1.0) is LeaderState.LIVES
    assert signs.state(3.0) is LeaderState.SUSPECT
    for moment in (3.0, 4.0, 5.0, 6.0):
        signs.look(moment, 7)
    assert signs.state(LEADER_SILENT_S + 1) is LeaderState.DEAD
    signs.message(6.5)
    assert signs.state(7.0) is LeaderState.LIVES


def test_an_agent_whose_supervisor_still_beats_is_cut_off_itself():
    signs = Signs(heard=0.0)
    for moment in range(2, int(SUPERVISOR_LOST_S)):
        signs.look(moment, moment)
        assert signs.state(moment) is LeaderState.SUSPECT
    assert signs.state(SUPERVISOR_LOST_S) is LeaderState.CUT_OFF
    assert not signs.silent(SUPERVISOR_LOST_S)


def test_a_heartbeat_that_cannot_be_read_says_nothing():
    signs = Signs(heard=0.0)
    signs.look(2.0, 7)
    signs.look(4.0, None)
    signs.look(6.0, 7)
    assert signs.state(8.0) is LeaderState.SUSPECT


def test_the_time_for_which_an_agent_was_stopped_itself_does_not_count():
    signs = Signs(heard=0.0)
    signs.awake(0.5, 1.0)
    signs.awake(3600.0, 1.0)
    assert signs.state(3600.0) is LeaderState.LIVES


def test_the_lowest_living_index_comes_first_and_the_next_one_waits():
    turns = [0.0, TURN_S, 2 * TURN_S]
    assert [turn_s(index, 0, closed=False) for index in (1, 2, 3)] == turns
    assert [turn_s(index, 2, closed=False) for index in (0, 1, 3)] == turns
    assert [turn_s(index, 0, closed=True) for index in (0, 1, 2)] == turns
    assert turn_s(0, 0, closed=False) > 0  # its own host is silent: it may be the one that is cut off


@pytest.mark.parametrize(
    ("agents", "all_agents", "may"), [(0, 1, False), (1, 1, True), (1, 2, True), (1, 3, False), (2, 4, True)]
)
def test_a_supervisor_leads_with_at_least_half_of_the_agents(agents: int, all_agents: int, may: bool):
    assert has_quorum(agents, all_agents) is may


def test_a_new_supervisor_waits_a_moment_for_the_last_agents_but_not_for_dead_ones():
    assert has_gathered(3, 3, 2, 0.0)
    assert not has_gathered(2, 3, 2, 0.5)
    assert has_gathered(2, 3, 2, 1.0)
    assert not has_gathered(1, 3, 2, 60.0)


@dataclass
class Supervisor:
    node: int
    lease: Lease
    term: int
    claimed: bool = False
    since: float = 0.0
    heartbeat: int | None = None
    alive: bool = True
    stopped_until: float = 0.0
    heard: dict[int, float] = field(default_factory=dict[int, float])
    """Agent -> when its newest message came."""
    minority_since: float | None = None


@dataclass
class Agent:
    index: int
    leader: Supervisor | None
    signs: Signs
    lost_at: float | None = None
    closed: bool = False
    retry_at: float = 0.0
    old: int = 0


class World:
    """A job whose network, hosts and processes fail as the dice say. Decisions are those of the real functions; the lease is
    real."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir()
        self.run, self.dice, self.now, self.beats = RunDir(folder), random.Random(seed), 0.0, 1
        self.nodes = self.dice.randint(2, 6)
        lease = Lease(self.run, who("n0"))
        lease.take(lambda holder: True)
        self.first = lease.nonce
        self.supervisors = [Supervisor(0, lease, 1, claimed=True)]
        self.agents = [Agent(index, self.supervisors[0], Signs(heard=0.0)) for index in range(self.nodes)]
        self.dead: set[int] = set()
        self.cut: set[int] = set()
        self.writes: list[tuple[int, Supervisor]] = []
        self.stand_by: Signs | None = None

    def reach(self, one: int, other: int) -> bool:
        return one == other or not ({one, other} & self.cut)

    def running(self, supervisor: Supervisor) -> bool:
        return supervisor.alive and supervisor.node not in self.dead and self.now >= supervisor.stopped_until

    def fault(self) -> None:
        kind = self.dice.choice(("crash", "cut", "heal", "kill", "stop", "stop"))
        node = self.dice.randrange(self.nodes)
        leading = [one for one in self.supervisors if one.alive]
        if kind == "crash" and 2 * (len(self.dead | {node})) < self.nodes:
            self.dead.add(node)
        elif kind == "cut":
            self.cut.add(node)
        elif kind == "heal":
            self.cut.clear()
        elif kind == "kill" and leading:
            self.dice.choice(leading).alive = False
        elif kind == "stop" and leading:
            self.dice.choice(leading).stopped_until = self.now + self.dice.uniform(1, 40)

    def tick(self) -> None:
        self.now += TICK_S
        parts: list[Any] = [*self.supervisors, *self.agents]
        self.dice.shuffle(parts)
        for part in parts:
            if isinstance(part, Agent):
                if part.index not in self.dead:
                    self.agent(part)
            elif self.running(part):
                self.supervise(part)
        self.batch_script()

    def supervise(self, one: Supervisor) -> None:
        for agent in self.agents:
            if agent.leader is one and agent.index not in self.dead and self.reach(one.node, agent.index):
                one.heard[agent.index] = self.now
                agent.signs.message(self.now)
        there = [index for index, heard in one.heard.items() if self.now - heard < AGENT_LOST_S]
        if not one.claimed:
            if has_quorum(len(there), self.nodes):
                if newest_heartbeat(self.run) == one.heartbeat and one.lease.succeed(self.first, one.term):
                    one.claimed = True
                else:
                    one.alive = False
            elif self.now - one.since > ADOPT_S:
                one.alive = False
            return
        if not one.lease.held():
            one.alive = False
            return
        if has_quorum(len(there), len(one.heard)) or not one.heard:
            one.minority_since = None
        elif one.minority_since is None:
            one.minority_since = self.now
        if one.minority_since is None or self.now - one.minority_since > MINORITY_S:
            self.beats += 1
            os.utime(self.run.lease, ns=(self.beats, self.beats))
        if self.dice.random() < 0.5 and one.lease.may_write():
            self.writes.append((one.term, one))

    def agent(self, agent: Agent) -> None:
        leader = agent.leader
        if leader is not None:
            ended = not leader.alive and leader.node not in self.dead and self.reach(agent.index, leader.node)
            if agent.signs.state(self.now) is not LeaderState.LIVES:
                agent.signs.look(self.now, newest_heartbeat(self.run))
            silent = agent.signs.state(self.now) in (LeaderState.DEAD, LeaderState.CUT_OFF)
            if ended or silent:
                agent.leader, agent.lost_at, agent.closed, agent.old = None, self.now, ended, leader.node
            return
        assert agent.lost_at is not None
        before = agent.signs.heartbeat
        agent.signs.look(self.now, newest_heartbeat(self.run))
        term = newest_term(self.run, self.first)
        lives = before is not None and before != agent.signs.heartbeat
        for one in reversed(self.supervisors):
            known = one.term > term or (one.claimed and one.term == term and (lives or one.node != agent.old))
            if self.running(one) and known and self.reach(agent.index, one.node):
                agent.leader, agent.signs = one, Signs(heard=self.now)
                one.heard[agent.index] = self.now
                return
        turn = max(agent.lost_at + turn_s(agent.index, agent.old, closed=agent.closed), agent.retry_at)
        if self.now > turn and agent.signs.silent(self.now, live_s=HEARTBEAT_STILL_S):
            agent.retry_at = self.now + ADOPT_S + 3
            lease = Lease(self.run, who(f"n{agent.index}"))
            self.supervisors.append(
                Supervisor(agent.index, lease, term + 1, since=self.now, heartbeat=agent.signs.heartbeat)
            )

    def batch_script(self) -> None:
        """Starts a supervisor again on the batch host, or takes over if none leads."""
        own = [one for one in self.supervisors if one.node == 0]
        if 0 in self.dead or any(one.alive for one in own):
            self.stand_by = None
            return
        self.stand_by = self.stand_by or Signs(heard=self.now)
        self.stand_by.look(self.now, newest_heartbeat(self.run))
        term = newest_term(self.run, self.first)
        newest = max((one for one in self.supervisors if one.claimed), key=lambda one: one.term)
        if (newest.node == 0 and not newest.alive) or self.stand_by.silent(self.now, live_s=STAND_BY_S):
            lease = Lease(self.run, who("n0"))
            if lease.succeed(self.first, term + 1):
                self.supervisors.append(Supervisor(0, lease, term + 1, claimed=True, since=self.now))


@pytest.mark.parametrize(
    "group", [pytest.param(one, marks=[pytest.mark.long] * (one >= 4)) for one in range(10)]
)
def test_over_random_faults_there_are_never_two_writers_and_in_the_end_there_is_one(
    tmp_path: Path, group: int
):
    several = 0
    for seed in range(20 * group, 20 * group + 20):
        world = World(tmp_path / str(seed), seed)
        while world.now < FIRST_S:
            if world.dice.random() < 0.04:
                world.fault()
            world.tick()
        world.cut.clear()
        healed = len(world.writes)
        while world.now < FIRST_S + AFTERWARDS_S:
            world.tick()
        terms = [term for term, _ in world.writes]
        assert terms == sorted(terms), f"seed {seed}: an older supervisor has written after a newer one"
        owners = {term: {id(one) for written, one in world.writes if written == term} for term in terms}
        assert all(len(own) == 1 for own in owners.values()), f"seed {seed}: two supervisors of one term"
        last = [one for _, one in world.writes[healed:]][-20:]
        assert last and len({id(one) for one in last}) == 1, f"seed {seed}: nobody leads in the end"
        assert holder_of(world.run) == world.first
        several += len(owners) > 1
    assert several > 5  # else the schedules try nothing
