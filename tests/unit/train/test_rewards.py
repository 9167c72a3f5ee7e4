"""Reward functions in processes of their own: each way to fail has one outcome, and a process that ended is replaced."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher.errors import ConfigError, RewardError
from launcher.train.rewards.pool import Rewards

FUNCTIONS = """
import os, random, subprocess, time

def length(completions, plus=0, **_):
    return [len(one[0]["content"]) + plus for one in completions]

def none_for_short(completions, **_):
    return [None if len(one[0]["content"]) < 2 else 1.0 for one in completions]

def columns(answer, trainer_state, **_):
    return [float(one) + trainer_state.global_step for one in answer]

def drawn(completions, **_):
    return [random.random() for _ in completions]

async def waited(completions, **_):
    import asyncio
    await asyncio.sleep(0)
    return [7 for _ in completions]

def logged(completions, log_metric, log_extra, **_):
    log_metric("seen", len(completions))
    log_extra("text", completions)
    return [0 for _ in completions]

def few(completions, **_):
    return [1.0]

def words(completions, **_):
    return ["good" for _ in completions]

def pid(completions, **_):
    return [os.getpid() for _ in completions]

def _by_word(completions, act):
    for one in completions:
        if one[0]["content"] == "bad":
            return act(completions)
    return [1.0 for _ in completions]

def hangs(completions, **_):
    return _by_word(completions, lambda _: time.sleep(60))

def leaves_a_child(completions, file, **_):
    def act(_):
        child = subprocess.Popen(["sleep", "60"])
        open(file, "w").write(str(child.pid))
        child.wait()
    return _by_word(completions, act)

def raises(completions, **_):
    return _by_word(completions, lambda _: 1 / 0)

def leaves(completions, **_):
    return _by_word(completions, lambda _: os._exit(3))

def killed(completions, **_):
    return _by_word(completions, lambda _: os.kill(os.getpid(), 9))

def nan(completions, **_):
    return [float("nan") if one[0]["content"] == "bad" else 1.0 for one in completions]

def alone_only(completions, **_):
    return [2.0] if len(completions) == 1 else 1 / 0
"""
ANSWERS = ("good", "bad", "g")


@pytest.fixture
def noted() -> list[tuple[str, dict]]:
    """The events that were noted."""
    return []


@pytest.fixture
def judged(tmp_path: Path, monkeypatch, noted):
    """The rewards of functions for ANSWERS, and what judged them."""
    (tmp_path / "own_rewards.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[Rewards] = []

    def judged(*names: str, if_failed: float | None = None, timeout_s: float = 60, **options):
        configs = [{"_target_": f"own_rewards.{name}", **options} for name in names]
        rewards = Rewards(configs, timeout_s, if_failed, 5, 0)
        made.append(rewards)
        rewards.note = lambda event, **facts: noted.append((event, facts))
        return judge(rewards), rewards

    yield judged
    for one in made:
        for process in one._processes:
            process.end()


def judge(rewards: Rewards, step: int = 4, log_metric=None) -> list[list[float | None]]:
    return [
        function(
            prompts=["p"] * len(ANSWERS), completions=[[{"role": "assistant", "content": text}] for text in ANSWERS],
            completion_ids=[[1]] * len(ANSWERS), answer=["1", "2", "3"], log_extra=None,
            log_metric=log_metric or (lambda *_: None),
            trainer_state=SimpleNamespace(global_step=step, max_steps=9, epoch=0.5),
        )
        for function in rewards.functions
    ]  # fmt: skip


def test_several_functions_judge_the_answers_with_their_arguments_columns_and_the_step(judged, noted):
    values, rewards = judged("length", "none_for_short", "waited", plus=0)
    assert values == [[4.0, 3.0, 1.0], [1.0, 1.0, None], [7.0, 7.0, 7.0]]
    assert judged("length", plus=10)[0] == [[14.0, 13.0, 11.0]]
    assert judged("columns")[0] == [[5.0, 6.0, 7.0]]
    assert rewards.figures()["rewards_failed"] == 0 and noted == []


def test_functions_of_one_name_have_names_of_their_own_in_the_logs(judged):
    _, rewards = judged("length", "waited", "length")
    assert [one.__name__ for one in rewards.functions] == ["length_0", "waited", "length_2"]


def test_random_rewards_of_a_step_are_the_same_after_a_restart(judged):
    (first,), rewards = judged("drawn")
    (other,) = judge(rewards, step=5)
    (again,), _ = judged("drawn")
    assert first == again != other


def test_a_metric_that_a_function_logs_reaches_the_trainer(judged):
    _, rewards = judged("logged")
    found: list[tuple[str, float]] = []
    judge(rewards, log_metric=lambda *one: found.append(one))
    assert found == [("seen", 3.0)]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("hangs", "timeout", "ran longer than 0.8 s"),
        ("raises", "raised", "raised ZeroDivisionError: division by zero"),
        ("leaves", "died", "ended its process with exit code 3"),
        ("killed", "died", "ended its process with exit code 137"),
        ("nan", "nan", "returned nan"),
    ],
)
def test_a_failure_names_function_and_answer_or_counts_with_the_chosen_value(judged, noted, name, kind, said):
    timeout_s = 2.4 if kind == "timeout" else 60
    with pytest.raises(RewardError) as failed:
        judged(name, timeout_s=timeout_s)
    assert str(failed.value).startswith(
        f"trainer.reward_functions[0] (own_rewards.{name}) {said} for answer 2 of 3"
    )
    assert "on rank 0 after step 4: 'bad'; set trainer.reward_if_failed=0" in str(failed.value)
    values, rewards = judged(name, if_failed=-2.0, timeout_s=timeout_s)
    assert values == [[1.0, -2.0, 1.0]]
    figures = rewards.figures()
    assert figures["rewards_failed"] == figures[f"rewards_failed/{kind}"] == 1
    facts = {"step": 4, "function": f"own_rewards.{name}", "why": kind, "answers": 1}
    assert ("reward_failed", facts) in noted
    assert judge(rewards)[0] == [1.0, -2.0, 1.0], "its process was replaced"
    assert rewards.figures()["rewards_failed"] == 1


def test_a_time_out_ends_what_the_function_has_started(judged, tmp_path: Path):
    values, _ = judged("leaves_a_child", if_failed=0.0, timeout_s=2.4, file=str(tmp_path / "pid"))
    assert values == [[1.0, 0.0, 1.0]]
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "it lives"
        time.sleep(0.05)


def test_a_process_that_ended_between_two_steps_is_replaced(judged):
    (first,), rewards = judged("pid")
    os.kill(int(first[0]), signal.SIGKILL)
    (second,) = judge(rewards)
    assert second[0] != first[0] and judge(rewards)[0] == second
    assert rewards.figures()["rewards_failed"] == 0


def test_one_failing_function_leaves_the_values_of_the_others(judged):
    values, _ = judged("length", "hangs", "waited", if_failed=0.0, timeout_s=2.4)
    assert values == [[4.0, 3.0, 1.0], [1.0, 0.0, 1.0], [7.0, 7.0, 7.0]]


def test_values_of_answers_that_only_alone_could_be_judged_are_counted(judged):
    values, rewards = judged("alone_only")
    assert values == [[2.0, 2.0, 2.0]]
    assert rewards.figures()["rewards_judged_alone"] == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few", "(own_rewards.few) returned 1 values for 3 answers; it must return one for each answer"),
        ("words", "(own_rewards.words) must return a number or None for each answer: ValueError"),
    ],
)
def test_what_is_no_list_of_a_value_per_answer_is_an_error_whatever_was_chosen(judged, name, said):
    with pytest.raises(ConfigError) as refused:
        judged(name, if_failed=0.0)
    assert said in str(refused.value)


def test_a_function_that_cannot_be_imported_is_an_error_before_the_first_step(judged):
    with pytest.raises(ConfigError, match=r"_target_=own_rewards\.lost cannot be imported: AttributeError"):
        judged("lost")


def test_a_process_ends_with_its_rank_even_if_the_function_never_returns(tmp_path: Path):
    """A rank that is killed cannot end anything itself."""
    (tmp_path / "own_rewards.py").write_text(
        "import os, time\n"
        "def stuck(completions, file, **_):\n    open(file, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    file = tmp_path / "pid"
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from types import SimpleNamespace as S\n"
        "from launcher.train.rewards.pool import Rewards\n"
        "one = Rewards([{'_target_': 'own_rewards.stuck', 'file': sys.argv[2]}], 60, None, 0, 0).functions[0]\n"
        "one(completions=['a'], log_metric=None, log_extra=None, trainer_state=S(global_step=0, max_steps=1, epoch=0))\n"
    )
    import subprocess

    rank = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(file)])
    deadline = time.monotonic() + 120  # the rank imports torch, which takes long on a busy machine
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline and rank.poll() is None
        time.sleep(0.05)
    rank.kill()
    rank.wait()
    pid = int(file.read_text())
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "it lives"
        time.sleep(0.05)


def test_a_request_has_plain_values_so_that_the_process_needs_no_training_stack(judged, tmp_path: Path):
    (tmp_path / "light.py").write_text(
        "import sys\ndef light(completions, **_):\n    return [float('torch' in sys.modules) for _ in completions]\n"
    )
    rewards = Rewards([{"_target_": "light.light"}], 5, None, 0, 0)
    try:
        assert judge(rewards) == [[0.0, 0.0, 0.0]] and json.dumps(rewards.figures())
    finally:
        rewards._processes[0].end()


def test_a_process_that_imports_slowly_after_a_kill_is_waited_for_in_later_steps(tmp_path: Path, monkeypatch):
    """The ranks must not count as hung meanwhile, so that a step does not wait for it to the end."""
    (tmp_path / "slow_rewards.py").write_text(
        "import os, time\nfrom pathlib import Path\nseen = Path(__file__).with_name('seen')\n"
        "if seen.exists():\n    time.sleep(8)\nseen.touch()\n"
        "def once(completions, trainer_state, **_):\n"
        "    return time.sleep(60) if trainer_state.global_step == 1 else [1.0 for _ in completions]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rewards = Rewards([{"_target_": "slow_rewards.once"}], 2.4, 0.0, 0, 0)
    try:
        begun = time.monotonic()
        assert judge(rewards, step=1) == [[0.0, 0.0, 0.0]]
        assert time.monotonic() - begun < 12
        time.sleep(10)
        assert judge(rewards, step=2) == [[1.0, 1.0, 1.0]]
        assert rewards._processes[0].starts == 2
    finally:
        rewards._processes[0].end()
