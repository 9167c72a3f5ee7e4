"""Any string in any free place of a config is refused, or comes out of the scripts letter for letter and does nothing else.

The generated scripts really run, in one bash in which `cd`, `module`, `exec` and the setup command are functions that
print their words, and a DEBUG trap prints every command before it runs.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path, PurePath

import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from launcher.clusters.slurm.script import directive
from launcher.config import Config, ContainerRuntime
from launcher.errors import LauncherError, PlanError
from launcher.plan import Facts, LaunchPlan, make_plan
from launcher.plan.containers import TEMPLATES
from launcher.plan.place import simple_command
from launcher.render import command, render

NASTY = " \t\n\r\0'\"\\$`;&|<>(){}[]*?!#~%=-^:,@/aé\u00a0\u2028\u200b漢😀"
KNOWN_TRICKS = [
    "$(touch canary)",
    "`touch canary`",
    "; touch canary",
    "' ; touch canary ; '",
    '"; touch canary; "',
    "\ntouch canary\n",
    "\r\ntouch canary",
    "x\n#SBATCH --uid=0",
    "a --uid=0",
    "a\\ --uid=0",
    '" --uid=0 "',
    "#",
    "a #b",
    "-rf",
    "--",
    "${HOME}",
    "!!",
    "{a,b}",
    "> canary",
    "a\0b",
    "packjob",
    "",
]
TEXT = st.one_of(st.sampled_from(KNOWN_TRICKS), st.text(NASTY, max_size=12), st.text(max_size=12))
# The fixtures that these tests share are values and one bash: nothing that an example could leave behind.
PLAIN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXAMPLES = settings().max_examples
"""100, and 500 under --long."""
RUNNER = r"""
record() { printf '%s\0' "$#" "$@" >&3; }
cd() { record cd "$@"; }
module() { record module "$@"; }
probe() { record probe "$@"; }
exec() { record exec "$@"; for name in $names; do record variable "$name" "${!name}"; done; }
while IFS= read -r names; do
    ( set -T; trap '[ -n "${FUNCNAME[1]:-}" ] || record command "$BASH_COMMAND"' DEBUG; . ./case.sh )
    record end "$?"
done
"""


class Bash:
    """One bash for all cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [
                shutil.which("bash") or "bash",
                "--noprofile",
                "--norc",
                "-c",
                f"exec 3>&1 >/dev/null 2>&1\n{RUNNER}",
            ],
            cwd=folder,
            env={"PATH": "/nowhere", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.words = self._words()

    def run(self, script: str, *variables: str) -> list[tuple[str, ...]]:
        """What the script did, call by call; its last call is ("end", exit code)."""
        assert "\0" not in script
        assert self.process.stdin and self.process.stdout
        (self.folder / "case.sh").write_text(script, newline="")
        self.process.stdin.write(f"{' '.join(variables)}\n".encode())
        self.process.stdin.flush()
        calls: list[tuple[str, ...]] = []
        while not calls or calls[-1][0] != "end":
            calls.append(tuple(next(self.words) for _ in range(int(next(self.words)))))
        return calls

    def _words(self) -> Iterator[str]:
        """The words that bash prints, one after the other; each ends with a NUL."""
        assert self.process.stdout
        rest = b""
        while chunk := os.read(self.process.stdout.fileno(), 1 << 16):
            *words, rest = (rest + chunk).split(b"\0")
            yield from (word.decode() for word in words)
        raise AssertionError("bash ended")


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    bash = Bash(tmp_path_factory.mktemp("bash"))
    yield bash
    bash.process.communicate()
    assert [path.name for path in bash.folder.iterdir()] == ["case.sh"], "a script wrote a file"


@dataclass(frozen=True, kw_only=True)
class Strings:
    """Every free string of a config, and the folders that a plan is made in."""

    comment: str
    partition: str
    variable: str
    modules: list[str]
    words: list[str]
    line: str
    python: str
    runtime: ContainerRuntime
    image: str
    container_python: str
    mounts: list[str]
    model: str
    project: str
    run_dir: str
    work_dir: str
    cache_dir: str
    hub_home: str
    data_path: str


ORDINARY = Strings(
    comment="night",
    partition="gpu",
    variable="ib0",
    modules=["cuda/13.0"],
    words=["a", "b"],
    line="c d",
    python="/bin/python3",
    runtime=ContainerRuntime.none,
    image="train.sif",
    container_python="python3",
    mounts=["/scratch"],
    model="tiny",
    project="launcher",
    run_dir="run",
    work_dir="work",
    cache_dir="cache",
    hub_home="hub",
    data_path="data",
)
WAITING = ("handles USR2", 'kill -0 "$supervisor" 2> /dev/null', "sleep 0.2", "true", 'wait "$supervisor"')
"""Commands with which the job script waits for its supervisor: how often depends on the speed of the machine."""
KEEPING = 20
"""The other commands of the loop that keeps the supervisor."""
PLACES = [field.name for field in fields(Strings) if field.name != "runtime"]
PRINTABLE = st.text([character for character in NASTY if character.isprintable()], min_size=1, max_size=8)
FOLDER = PRINTABLE.map(lambda text: f"/{text.replace(':', '')}")
NAME = st.text("aZ9_.@+:=/é漢", min_size=1, max_size=8)
"""Characters of a partition's and a module's name: others are refused, see test_slurm_requests.py."""
PROGRAM = PRINTABLE.filter(lambda text: text.strip() and "-" not in text)
STRINGS = st.builds(
    Strings,
    partition=NAME,
    modules=st.lists(NAME, max_size=2),
    image=PRINTABLE.filter(lambda text: not text.startswith("-")),
    container_python=PROGRAM,
    words=st.lists(PRINTABLE, max_size=3),
    line=st.lists(PRINTABLE, max_size=3).map(shlex.join),
    mounts=st.lists(st.one_of(FOLDER, st.tuples(FOLDER, FOLDER).map(":".join)), max_size=2),
    work_dir=PRINTABLE.filter(lambda text: PurePath(f"/{text}").name != ""),
    runtime=st.sampled_from(ContainerRuntime),
    **{
        place: PRINTABLE
        for place in PLACES
        if place
        not in ("partition", "modules", "image", "container_python", "words", "line", "mounts", "work_dir")
    },
)


def planned(config: Config, facts: Facts, strings: Strings) -> LaunchPlan:
    container = replace(
        config.cluster.container,
        runtime=strings.runtime,
        image=strings.image,
        python=strings.container_python,
        mounts=strings.mounts,
    )
    cluster = replace(
        config.cluster,
        sbatch={"comment": strings.comment, "partition": strings.partition, "exclusive": True},
        env={"SITE": strings.variable},
        modules=strings.modules,
        setup=[shlex.join(["probe", *strings.words]), f"probe {strings.line}"],
        container=container,
    )
    changed = replace(
        config,
        cluster=cluster,
        model=replace(config.model, name_or_path=strings.model),
        tracker=replace(config.tracker, kind="wandb", project=strings.project),
    )
    bare = strings.runtime is ContainerRuntime.none
    found = replace(
        facts,
        python=strings.python,
        run_dir=f"/runs/{strings.run_dir}",
        work_dir=f"/{strings.work_dir}",
        cache_dir=f"/{strings.cache_dir}",
        hub_folders={} if bare else {"HF_HOME": f"/{strings.hub_home}"},
        data_path=f"/{strings.data_path}/train.jsonl",
    )
    return make_plan(changed, found)


@pytest.fixture
def tiny(compose: Callable[..., Config]) -> Config:
    return compose("+experiment=tiny", "cluster=slurm")


@settings(PLAIN, max_examples=6 * EXAMPLES)
@given(st.sampled_from(PLACES), st.sampled_from(ContainerRuntime), TEXT)
def test_any_string_in_any_place_is_refused_or_inert(
    bash, tiny, facts, place: str, runtime: ContainerRuntime, text: str
):
    assume(place != "work_dir" or "\0" not in text)  # the folder that one stands in has no NUL in its name
    value = [text] if isinstance(getattr(ORDINARY, place), list) else text
    strings = replace(ORDINARY, runtime=runtime, **{place: value})
    try:
        texts = render(planned(tiny, facts(tiny), strings))
    except LauncherError:
        event("refused")
        return
    event("rendered")
    assert_job_is_inert(bash, texts["job.sbatch"], strings)
    assert_node_is_inert(bash, texts["node.sh"], strings)


@settings(PLAIN, max_examples=2 * EXAMPLES)
@given(STRINGS)
@example(replace(ORDINARY, runtime=ContainerRuntime.charliecloud, mounts=["/"]))
def test_strings_in_all_places_at_once_are_inert(bash, tiny, facts, strings: Strings):
    try:
        texts = render(planned(tiny, facts(tiny), strings))
    except PlanError as refusal:  # of these strings only a folder's name that would split a mount is refused
        assert strings.runtime is not ContainerRuntime.none
        assert "separate two mounts" in str(refusal) or "pyxis reads a comma" in str(refusal)
        event("refused")
        return
    assert_job_is_inert(bash, texts["job.sbatch"], strings)
    assert_node_is_inert(bash, texts["node.sh"], strings)


@pytest.mark.parametrize(
    "mount", ["", ":", ";", "data", "data:/data", "/data:", "/data:inside", ":/data", "~/x:/x"]
)
def test_a_mount_that_is_not_of_absolute_paths_is_refused_in_one_line(tiny, facts, mount: str):
    strings = replace(ORDINARY, runtime=ContainerRuntime.apptainer, mounts=[mount])
    with pytest.raises(
        PlanError, match=r"cluster\.container\.mounts holds '.*'; write /folder, or /folder:/folder/inside"
    ):
        planned(tiny, facts(tiny), strings)


def test_a_launch_in_the_root_folder_does_not_mount_the_whole_host(tiny, facts):
    strings = replace(ORDINARY, runtime=ContainerRuntime.charliecloud, work_dir="")
    with pytest.raises(PlanError, match="typed in /, and the container mounts"):
        planned(tiny, facts(tiny), strings)
    planned(tiny, facts(tiny), replace(strings, runtime=ContainerRuntime.none))


def assert_job_is_inert(bash: Bash, script: str, strings: Strings) -> None:
    arguments = sbatch_arguments(script)
    assert f"--comment={strings.comment}" in arguments
    assert f"--partition={strings.partition}" in arguments
    assert arguments[-1] == f"--chdir=/runs/{strings.run_dir}"
    assert len(arguments) == 11
    calls = bash.run(script, "PYTHONPATH")
    assert [call for call in calls if call[0] != "command"] == [
        ("cd", "--", f"/runs/{strings.run_dir}"),
        *(("module", "load", module) for module in strings.modules),
        ("probe", *strings.words),
        ("probe", *shlex.split(strings.line)),
        ("exec", strings.python, "-m", "launcher.supervise", ".", "--kept"),
        ("variable", "PYTHONPATH", f"/{strings.work_dir}"),
        ("end", "0"),
    ]
    modules = 1 + len(strings.modules) if strings.modules else 0
    # `.` itself, set, cd, trap, set +u, two setup lines, set -u, trap -, export, and the loop that keeps the supervisor
    commands = [call[1] for call in calls if call[0] == "command" and call[1] not in WAITING]
    assert len(commands) == 10 + KEEPING + modules


def assert_node_is_inert(bash: Bash, script: str, strings: Strings) -> None:
    bare = strings.runtime is ContainerRuntime.none
    hub = [] if bare else [("variable", "HF_HOME", f"/{strings.hub_home}")]
    calls = bash.run(script, "SITE", "WANDB_PROJECT", *(name for _, name, _ in hub), "PYTHONPATH")
    (started,) = [call[1:] for call in calls if call[0] == "exec"]
    start = (strings.python if bare else strings.container_python, "-m", "launcher.supervise.agent", ".")
    assert started[-len(start) :] == start
    if (template := TEMPLATES.get(strings.runtime)) is not None:
        own, cache, data = (
            f"/runs/{strings.run_dir}",
            f"/{strings.cache_dir}",
            str(Path(f"/{strings.data_path}")),
        )
        end = (template.folder, own, strings.image, *template.end)
        assert started[: -len(start)][-len(end) :] == end
        caches = {path for path in (cache, f"/{strings.hub_home}") if not mounted(path, strings.mounts)}
        mounts = {f"{own}:{own}", *(f"{path}:{path}" for path in caches), *strings.mounts}
        if strings.runtime is ContainerRuntime.charliecloud:  # a folder's mount shows the folders below it
            mounts = {one for one in mounts if not below_another(one, started)}
        assert mounts <= set(started)
        shown = any(word.startswith(data.rstrip("/.")) for word in started)
        assert shown or (
            strings.runtime is ContainerRuntime.charliecloud and below_another(f"{data}:{data}", started)
        )
    else:
        assert started == start
    assert [call for call in calls if call[0] not in ("command", "exec")] == [
        ("cd", "--", f"/runs/{strings.run_dir}"),
        ("variable", "SITE", strings.variable),
        ("variable", "WANDB_PROJECT", strings.project),
        *hub,
        ("variable", "PYTHONPATH", f"/{strings.work_dir}"),
        ("end", "0"),
    ]
    # `.` itself, set, cd, exports (three fixed, SITE, WANDB_PROJECT, HF_HOME in a container, PYTHONPATH), exec
    assert sum(call[0] == "command" for call in calls) == 10 + len(hub)


def below_another(mount: str, words: Sequence[str]) -> bool:
    """Whether one of the words mounts a folder above it; both keep their paths."""
    host, _, inside = mount.partition(":")
    mounts = [second.partition(":")[::2] for first, second in pairwise(words) if first == "--bind"]
    whole = {above for above, under in mounts if under in ("", above)}
    return inside in ("", host) and any(PurePath(above) in PurePath(host).parents for above in whole if above)


def mounted(path: str, mounts: list[str]) -> bool:
    """Whether a mount of the site's own gives that path to a container."""
    own = {
        host
        for mount in mounts
        for host in [mount.split(":")[0]]
        if mount in (host, f"{host}:", f"{host}:{host}")
    }
    return any(PurePath(path).is_relative_to(host) for host in own)


@settings(PLAIN, max_examples=14 * EXAMPLES)
@given(TEXT)
def test_an_sbatch_value_comes_back_letter_for_letter_on_one_line(value: str):
    assume(value)
    try:
        written = directive(value)
    except LauncherError:
        assert not value.isprintable()
        return
    assert "\n" not in written
    assert sbatch_arguments(f"#!/bin/bash\n#SBATCH --comment={written}\n") == [f"--comment={value}"]


@pytest.mark.skipif(
    shutil.which("sbatch") is None and not os.environ.get("CI"),
    reason="needs Slurm's sbatch; no cluster is asked",
)
def test_sbatch_itself_reads_every_value_back(tmp_path: Path):
    tricks = [text for text in KNOWN_TRICKS if text and text.isprintable()]
    mixed = [
        "a b'c",
        'a"b c',
        "a\\b c\\",
        "é 漢 😀",
        "a # b",
        " a ",
        "''",
        '""',
        "\\",
        " ",
        ":",
        "packjob hetjob",
    ]
    values = [*tricks, *mixed]
    (tmp_path / "slurm.conf").write_text(
        "ClusterName=none\nSlurmctldHost=none(127.0.0.1)\nAuthType=auth/none\n"
    )
    script = "".join(f"#SBATCH --comment={directive(value)}\n" for value in values)
    # The last option is a wrong one, at which sbatch stops before it asks a controller.
    (tmp_path / "job.sbatch").write_text(f"#!/bin/bash\n{script}#SBATCH --uid=read\n")
    done = subprocess.run(
        ["sbatch", "-vvvv", "--test-only", "job.sbatch"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "SLURM_CONF": str(tmp_path / "slurm.conf")},
        capture_output=True,
        text=True,
    )
    found = re.findall(r'Found in script, argument "(.*)"\n', done.stderr)
    assert found == [*(f"--comment={value}" for value in values), "--uid=read"]


@settings(PLAIN, max_examples=2 * EXAMPLES)
@given(TEXT)
@example("if true")
@example("! true")
@example("{ true")
@example("[[ a")
@example("time true")
@example("coproc true")
@example("function f")
@example("A=1 probe")
@example("A=1")
def test_the_first_word_of_a_setup_line_is_a_command_and_nothing_else(bash: Bash, line: str):
    try:
        words = simple_command(line)
    except LauncherError:
        return
    ended = bash.run(f"{command(words)}\n")[-1]
    # A builtin does what it says, and a path is looked up as one; every other word is a command that is not there.
    assert ended == ("end", "127") or "/" in words[0] or is_builtin(words[0])


def is_builtin(word: str) -> bool:
    kind = subprocess.run(["bash", "-c", 'type -t -- "$1"', "-", word], capture_output=True, text=True)
    return kind.stdout == "builtin\n"


def sbatch_arguments(script: str) -> list[str]:
    """What sbatch reads in a script: the arguments of its #SBATCH lines up to the first command.

    Slurm's src/sbatch/opt.c, _opt_batch_script and _get_argument, as measured with 22.05: blanks end an argument
    unless quoted, even after a backslash; a backslash makes any other character plain, in quotes too; a bare # ends
    the line.
    """
    arguments: list[str] = []
    for line in script.split("\n"):
        if line.startswith("#SBATCH"):
            arguments += _line_arguments(line.removeprefix("#SBATCH"))
        elif line.strip(" \t\r\v\f") and not line.lstrip(" \t\r\v\f").startswith("#"):
            break
    return arguments


def _line_arguments(line: str) -> Iterator[str]:
    position = 0
    blanks = " \t\r\v\f"
    while True:
        while position < len(line) and line[position] in blanks:
            position += 1
        if position == len(line):
            return
        argument, quote, escaped = "", "", False
        while position < len(line) and (quote or line[position] not in blanks):
            character = line[position]
            position += 1
            if escaped:
                argument, escaped = argument + character, False
            elif character == "\\":
                escaped = True
            elif quote:
                quote, argument = ("", argument) if character == quote else (quote, argument + character)
            elif character in "'\"":
                quote = character
            elif character == "#":
                position = len(line)
            else:
                argument += character
        assert not quote, "sbatch refuses an unmatched quote"
        yield argument
