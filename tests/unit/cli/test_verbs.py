"""Every verb is found in its folder, has help with an example, takes --json, and refuses in one line and in JSON."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import __version__
from launcher.__main__ import main
from launcher.cli.parser import make_parser, parse
from launcher.cli.verb import GROUPS, Verb, all_verbs, find_verb, verb_names
from launcher.errors import UsageError

VERBS = all_verbs()


def test_every_module_in_the_folder_is_a_verb_and_every_folder_a_group():
    folder = Path(sys.modules["launcher.commands"].__file__ or "").parent
    found = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*")}
    assert found == set(verb_names())
    assert {"plan", "data check", "sweep status", "managed create", "help"} <= set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_one_line_and_an_example_that_parses(name, capsys):
    verb = VERBS[name]
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert f"usage: python -m launcher {name}" in said and "--json" in said
    assert " ".join(verb.line[1:].split()) in " ".join(said.split())
    assert f"example: python -m launcher {verb.example.splitlines()[0]}" in said
    words = shlex.split(verb.example.splitlines()[0])
    assert words[: len(name.split())] == name.split()
    assert not parse(name, verb, words[len(name.split()) :]).json or "--json" in words


@pytest.mark.parametrize("name", VERBS)
def test_a_line_of_help_is_short_and_starts_with_a_small_letter(name):
    line = VERBS[name].line
    assert len(line) <= 110 and line[0].islower() and not line.endswith(".")


def test_help_lists_every_verb_once_under_a_heading(capsys):
    assert main(["help"]) == main(["--help"]) == 0
    first, second = capsys.readouterr().out.split("usage:")[1:]
    assert first == second
    listed = [line.split("  ")[1] for line in first.splitlines() if line.startswith("  ") and line[2] != " "]
    assert sorted(listed) == sorted(VERBS)
    assert all(heading in first for heading in GROUPS.values())


@pytest.mark.parametrize("group", [name for name in verb_names() if not isinstance(find_verb(name), Verb)])
def test_a_group_lists_its_verbs(group, capsys):
    assert main([group, "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {one}" in said for one in verb_names(group))
    assert "example: python -m launcher" in said


@pytest.mark.parametrize(
    ("words", "kind", "code", "why"),
    [
        (["statsu", "--json"], "UsageError", 2, "did you mean status?"),
        (["sweep", "stauts", "--json"], "UsageError", 2, "unknown sweep command 'stauts'"),
        (["status", "--foo", "--json"], "UsageError", 2, "unrecognized arguments: --foo"),
        (["status", "nobody", "--json"], "RunError", 1, "no runs under"),
        (["plan", "--foo", "--json"], "UsageError", 2, "unrecognized option --foo"),
        (["plan", "+experiment=tny", "--json"], "ConfigError", 1, "did you mean tiny?"),
        (["+experiment=tiny", "trainer.max_stepz=1", "--json"], "ConfigError", 1, "unknown key trainer.max_stepz"),
        (["data", "check", "nowhere.jsonl", "--json"], "DataError", 1, "nowhere.jsonl"),
        (["--config-dir", ".", "plan", "+experiment=tiny", "--json"], "UsageError", 2, "a verb is the first word"),
        (["plan", "+experiment=tiny", "--json", "--config-dir"], "UsageError", 2, "expected one argument"),
        (["managed", "status", "--json"], "ConfigError", 1, "OPENAI_BASE_URL"),
        (["managed", "list", "--limit", "-1", "--json"], "UsageError", 2, "--limit: -1 must be a whole number of at least 1"),
        (["managed", "poll", "--every-s", "nan", "--json"], "UsageError", 2, "--every-s: nan must be a number of seconds"),
        (["serve", "--waiting", "many", "--json"], "UsageError", 2, "--waiting: many must be a whole number of at least 0"),
    ],
)  # fmt: skip
def test_an_error_under_json_is_json_on_stdout_and_one_line_on_stderr(
    words, kind, code, why, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(words) == code
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)
    assert why in error["message"]
    assert said.err == f"launcher: {error['message']}\n"


def test_without_json_stdout_stays_empty_at_an_error(capsys):
    assert main(["statsu"]) == 2
    assert capsys.readouterr().out == ""


def test_a_closed_stdout_is_not_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["help"]) == 0


def test_options_and_overrides_may_stand_in_any_order():
    options = parse(
        "plan", VERBS["plan"], ["--explain", "+experiment=tiny", "--config-dir", "site", "--json", "seed=1"]
    )
    assert options.overrides == ["+experiment=tiny", "--config-dir", "site", "seed=1"]
    assert options.explain and options.json


def test_an_option_that_neither_the_verb_nor_hydra_has_is_refused():
    with pytest.raises(UsageError, match="--jsn; see python -m launcher plan --help"):
        parse("plan", VERBS["plan"], ["+experiment=tiny", "--jsn"])


def test_a_parser_is_made_for_every_verb():
    assert all(make_parser(name, verb).prog.endswith(name) for name, verb in VERBS.items())


def complete(line: str, tmp_path: Path, *program: str) -> list[str]:
    """What the shell's function is answered for a command line."""
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(
        [*(program or (sys.executable, "-m", "launcher")), "-sc", "query=bash"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_completion_knows_experiments_keys_values_and_verbs(tmp_path):
    assert "+experiment=quickstart" in complete("launcher +experiment=qui", tmp_path)
    assert "strategy=fsdp2" in complete("launcher +experiment=tiny strategy=f", tmp_path)
    assert "trainer.max_steps=" in complete("launcher plan trainer.max_st", tmp_path)
    assert complete("launcher stat", tmp_path) == ["status"]
    assert complete("launcher sweep st", tmp_path) == ["status"]


def test_bash_completes_both_ways_to_call_the_program(tmp_path):
    """Bash itself is asked, with the functions that the install prints."""
    (tmp_path / "launcher").write_text(
        f"#!{sys.executable}\nimport sys\nfrom launcher.__main__ import script\nsys.exit(script())\n"
    )
    (tmp_path / "launcher").chmod(0o755)
    shell = """
eval "$(launcher --shell-completion install=bash)"
COMP_LINE="launcher +experiment=quick"; COMP_WORDS=(launcher +experiment=quick); COMP_CWORD=1
hydra_bash_completion; echo "${COMPREPLY[@]}"
COMP_LINE="python -m launcher +experiment=quick"; COMP_WORDS=(python -m launcher +experiment=quick); COMP_CWORD=3
launcher_python_completion; echo "${COMPREPLY[@]}"
complete -p launcher python
"""
    path = f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    first, second, *installed = done.stdout.splitlines()
    assert first == second == "+experiment=quickstart +experiment=quickstart_classify", done.stderr
    assert len(installed) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["sweep", "work", "nope"],
            "nope is not the folder of a sweep: it has no sweep.json; give one such as",
        ),
        (["sweep", "extend", "nope", "seed=1"], " for nope: start one with -m"),
    ],
)
def test_a_sweep_that_is_not_there_is_named(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_reported(word, capsys):
    assert main([word]) == 0
    assert capsys.readouterr().out == f"launcher {__version__}\n"


def test_a_full_disk_behind_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "launcher", "rules"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "launcher: the output cannot be written: No space left on device; free some space\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "convert", "a", "b", "--to", "mesages"], "--to: unknown value 'mesages'; did you mean messages?"),
        (["data", "check", "a.csv", "--format", "sharegtp"], "unknown value 'sharegtp'; did you mean sharegpt?"),
        (["plan", "+experiment=tiny", "--data.path=a.csv"], "--data.path: keys are written without --, as data.path=VALUE"),
        (["plan", "+experiment=tiny", "data.path=", "a.csv"], "write data.path=a.csv, without a blank after the ="),
    ],
)  # fmt: skip
def test_a_slip_in_an_option_or_a_key_is_answered_with_what_was_meant(words: list[str], said: str, capsys):
    assert main(words) in (1, 2)
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
