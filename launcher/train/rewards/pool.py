"""The reward processes of one rank: all functions judge a batch of answers at once, each failure has one outcome, and all
ranks agree on it."""

import math
import pickle
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from launcher.errors import ConfigError, RewardError
from launcher.output import say
from launcher.plugins.on_rank.agree import of_all_ranks
from launcher.train.rewards.process import START_S, Failure, RewardProcess

_SHOWN = 80
"""Most characters of an answer in an error."""
_LEAST_GRACE_S, _GRACE = 2.0, 2.0
"""A process that is started again may import for _GRACE times as long as at its first start, at most for half of the time
limit, but always for _LEAST_GRACE_S."""

Values = list[float | None]


class Rewards:
    """The functions of trainer.reward_functions, each in a process of its own."""

    def __init__(
        self,
        functions: Sequence[dict[str, Any]],
        timeout_s: float,
        if_failed: float | None,
        seed: int,
        rank: int,
    ) -> None:
        """ConfigError if a function cannot be imported. `if_failed`: the value of an answer that a function could not judge;
        None: an error."""
        self.timeout_s, self.if_failed, self._seed, self._rank = timeout_s, if_failed, seed, rank
        self.note: Callable[..., None] = lambda *_, **__: None
        """Writes an event, on rank 0."""
        self._processes = [_process(number, one) for number, one in enumerate(functions)]
        self.functions = [
            RewardFunction(self, number, name) for number, name in enumerate(_names(self._processes))
        ]
        for process in self._processes:
            process.start()
        for process in self._processes:
            if failure := process.wait_until_ready(time.monotonic() + START_S):
                raise ConfigError(f"{process.key}._target_={process.target} {failure.why}")
        self._call: _Call | None = None
        self._failures: list[Failure | None] = []
        self._errors: list[tuple[str, str]] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._told: set[tuple[str, str]] = set()
        self._logged: Counter[str] = Counter()
        self._waited_s = 0.0

    def judge(self, number: int, call: "_Call") -> Values:
        """The values of a function for the answers of this rank. RewardError or ConfigError, on all ranks.

        trl calls the functions one after the other. The first call starts all of them, and after the last one the ranks
        exchange what has failed.
        """
        if number == 0:
            self._begin(call)
        values = self._collect(number, call)
        if number == len(self._processes) - 1:
            self._agree(call)
        return values

    def figures(self) -> dict[str, float]:
        """What has failed since the figures before, over all ranks, and the seconds for which this rank has waited, for a log
        line."""
        found: dict[str, float] = {
            "rewards_failed": sum(self._logged.values()) - self._logged["alone"],
            "reward_wait_s": round(self._waited_s, 4),
            **{f"rewards_failed/{kind}": count for kind, count in self._logged.items() if kind != "alone"},
            **({"rewards_judged_alone": self._logged["alone"]} if self._logged["alone"] else {}),
        }
        self._logged, self._waited_s = Counter(), 0.0
        return found

    def _begin(self, call: "_Call") -> None:
        self._call, self._begun = call, time.monotonic()
        self._errors, self._counts = [], Counter()
        for process in self._processes:
            process.start_again()
        grace = max(map(self._grace, self._processes))
        self._failures = [process.wait_until_ready(self._begun + grace) for process in self._processes]
        self._deadline = time.monotonic() + self.timeout_s
        self._until = self._deadline + self.timeout_s + grace
        """When the calls for single answers must have ended, for all functions. All calls together take at most three times the
        time limit."""
        for number, process in enumerate(self._processes):
            if self._failures[number] is None:
                self._failures[number] = process.ask(self._request(number, call), self._deadline)

    def _collect(self, number: int, call: "_Call") -> Values:
        process = self._processes[number]
        failure = self._failures[number]
        reply = failure or process.answer(self._deadline, self.timeout_s)
        if not isinstance(reply, Failure):
            return self._accept(number, call, reply, 0)
        if reply.kind == "wrong":
            self._errors.append(("wrong", f"{process.key} ({process.target}) {reply.why}"))
            return [0.0] * call.answers
        if call.answers == 1:
            return [self._fail(number, call, 0, reply)]
        say(f"{process.key} ({process.target}) {reply.why}; its answers are judged one at a time")
        return self._one_by_one(number, call)

    def _one_by_one(self, number: int, call: "_Call") -> Values:
        """The values of calls for single answers, so that the answer to blame is found. Each has its share of the time-out."""
        process, values = self._processes[number], Values()
        share = self.timeout_s / call.answers
        for row in range(call.answers):
            if self._errors:
                return [0.0] * call.answers
            one = call.only(row)
            reply = process.wait_until_ready(self._until)
            if reply is None:
                limit = min(time.monotonic() + share, self._until)
                reply = process.ask(self._request(number, one, row), limit) or process.answer(limit, share)
            if isinstance(reply, Failure):
                values.append(self._fail(number, call, row, reply))
            else:
                values += self._accept(number, call, reply, row)
                self._counts[process.target, "alone"] += 1
        return values

    def _accept(self, number: int, call: "_Call", reply: dict[str, Any], first: int) -> Values:
        """The values of a reply. The first one belongs to the answer with the number `first`."""
        for name, value in reply["metrics"]:
            call.log_metric(name, value)
        return [
            value
            if value is None or math.isfinite(value)
            else self._fail(number, call, first + row, Failure(kind="nan", why=f"returned {value}"))
            for row, value in enumerate(reply["values"])
        ]

    def _fail(self, number: int, call: "_Call", row: int, failure: Failure) -> float:
        """The value of an answer that could not be judged; without one, the error is kept for `_agree`."""
        process = self._processes[number]
        self._counts[process.target, failure.kind] += 1
        if self.if_failed is not None:
            return self.if_failed
        more = ", or give it more time with trainer.reward_timeout_s" if failure.kind == "timeout" else ""
        self._errors.append(
            (
                failure.kind,
                f"{process.key} ({process.target}) {failure.why} for answer {row + 1} of {call.answers} on rank {self._rank} "
                f"after step {call.state['global_step']}: {call.shown(row)}; set trainer.reward_if_failed=0 to give such "
                f"answers that reward{more}",
            )
        )
        return 0.0

    def _agree(self, call: "_Call") -> None:
        """Adds up what has failed on all ranks. Collective: with an error on one rank, all raise it."""
        found = of_all_ranks((self._errors[:1], dict(self._counts)))
        self._waited_s += time.monotonic() - self._begun
        total: Counter[tuple[str, str]] = sum((Counter(counts) for _, counts in found), Counter())
        for (target, kind), count in total.items():
            self._logged[kind] += count
            if (target, kind) not in self._told:
                self._told.add((target, kind))
                step = call.state["global_step"]
                self.note("reward_failed", step=step, function=target, why=kind, answers=count)
        errors = [error for errors, _ in found for error in errors]
        if errors:
            kind, message = errors[0]
            raise ConfigError(message) if kind == "wrong" else RewardError(message)

    def _grace(self, process: RewardProcess) -> float:
        return max(_LEAST_GRACE_S, min(_GRACE * process.start_s, self.timeout_s / 2))

    def _request(self, number: int, call: "_Call", row: int = 0) -> bytes:
        text = f"{self._seed} {call.state['global_step']} {self._rank} {number} {row}"
        seed = zlib.crc32(text.encode())
        return pickle.dumps(
            {"arguments": call.arguments, "answers": call.answers, "state": call.state, "seed": seed}
        )


class _Call:
    """The answers of one rank that are judged."""

    def __init__(
        self, arguments: dict[str, Any], state: dict[str, Any], log_metric: Callable[..., None]
    ) -> None:
        self.arguments, self.state, self.log_metric = arguments, state, log_metric
        self.answers = len(arguments["completions"])

    def only(self, row: int) -> "_Call":
        """The same for one answer."""
        one = {name: values[row : row + 1] for name, values in self.arguments.items()}
        return _Call(one, self.state, self.log_metric)

    def shown(self, row: int) -> str:
        """The beginning of an answer."""
        said = self.arguments["completions"][row]
        text = said if isinstance(said, str) else " ".join(str(turn.get("content")) for turn in said)
        return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


class RewardFunction:
    """One function, as trl calls it."""

    def __init__(self, rewards: Rewards, number: int, name: str) -> None:
        self._rewards, self._number, self.__name__ = rewards, number, name

    def __call__(self, *, trainer_state: Any, log_metric: Any, log_extra: Any, **arguments: Any) -> Values:
        """A number for each answer; None where the function does not apply."""
        state = {name: getattr(trainer_state, name) for name in ("global_step", "max_steps", "epoch")}
        return self._rewards.judge(self._number, _Call(arguments, state, log_metric))


def _process(number: int, config: dict[str, Any]) -> RewardProcess:
    options = dict(config)
    target = str(options.pop("_target_"))
    return RewardProcess(f"trainer.reward_functions[{number}]", target, options)


def _names(processes: Sequence[RewardProcess]) -> list[str]:
    """Names for the logs; a name that several functions have gets the number of each."""
    names = [process.target.rpartition(".")[2] for process in processes]
    return [name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names)]
