"""The probe of a rank's speed, on a processor that it must share."""

import os

import torch

from launcher.train.heartbeat import Heartbeat
from launcher.train.probe import Probe


def test_the_time_of_a_probe_is_its_own_where_another_process_has_the_processor():
    first = min(os.sched_getaffinity(0))
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {first})
    torch.set_num_threads(1)
    others: list[int] = []
    try:
        probe = Probe(Heartbeat(), torch.device("cpu"))
        for _ in range(3):
            if not (pid := os.fork()):
                while os.getppid() != 1:
                    pass
                os._exit(0)
            others.append(pid)
        taken = [probe.take() for _ in range(20)]
    finally:
        for pid in others:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)
    own, waited = (sum(values) for values in zip(*taken, strict=True))
    assert waited > own  # of four processes it gets a quarter of the time
    assert own < 0.6 * (own + waited)
    assert own > 0 and min(seconds for seconds, _ in taken) >= 0
