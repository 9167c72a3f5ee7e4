"""Variables of the shell in paths, and what of a configuration looks like a secret."""

from pathlib import Path

import pytest

from launcher.errors import LauncherError
from launcher.launching.compose import compose
from launcher.launching.secrets import refuse_secrets
from launcher.plan.place import simple_command

TINY = "+experiment=tiny"


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": "/home/me",
        "SCRATCH": "/scratch/me",
        "MYSITE_PASS": "abcdefghij",
        "SITE_KEY": "k",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SCRATHC", raising=False)


def of(*words: str):
    (one,) = compose([TINY, *words])
    return one.config


@pytest.mark.parametrize(
    ("typed", "read", "found"),
    [
        ("data.path='${SCRATCH}x/a.jsonl'", lambda c: c.data.path, "/scratch/mex/a.jsonl"),
        ("cache_dir=${HOME}/c", lambda c: c.cache_dir, "/home/me/c"),
        ("cluster.env.HF_HOME=${SCRATCH}/hf", lambda c: c.cluster.env["HF_HOME"], "/scratch/me/hf"),
        ("model.chat_template=$SCRATCH/t.jinja", lambda c: c.model.chat_template, "/scratch/me/t.jinja"),
        (
            "data.sources=[{path: '${SCRATCH}/a.jsonl'}]",
            lambda c: c.data.sources[0].path,
            "/scratch/me/a.jsonl",
        ),
        (
            "cluster.container.mounts=['${SCRATCH}/a:/a']",
            lambda c: c.cluster.container.mounts,
            ["/scratch/me/a:/a"],
        ),
        ("cache_dir=${runs_dir}/c", lambda c: c.cache_dir, "runs/c"),
    ],
)
def test_a_variable_in_braces_is_expanded_too(typed: str, read, found):
    assert read(of(typed)) == found


def test_a_file_has_them_too(tmp_path: Path):
    site = tmp_path / "cluster" / "mine.yaml"
    site.parent.mkdir()
    site.write_text(
        "defaults: [schema, _self_]\nkind: slurm\nenv: {HF_HOME: '${SCRATCH}/hf'}\npython: ~/v/bin/python\n"
    )
    cluster = of(f"--config-dir={tmp_path}", "cluster=mine").cluster
    assert (cluster.env, cluster.python) == ({"HF_HOME": "/scratch/me/hf"}, "/home/me/v/bin/python")
    own = tmp_path / "run.yaml"
    own.write_text("extends: tiny\ndata:\n  path: ${SCRATCH}/a.jsonl\n")
    (one,) = compose([f"--config={own}"])
    assert one.config.data.path == "/scratch/me/a.jsonl"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "data.path=$SCRATHC/a",
            "data.path=$SCRATHC/a: $SCRATHC is not set in this shell; did you mean $SCRATCH?",
        ),
        ("data.path=${NOWHERE_XY}/a", "$NOWHERE_XY is not set in this shell; set it, or write its value"),
        ("cluster.env.X=$MYSITE_PASS", "$MYSITE_PASS looks like a secret"),
        ("data.path=$SITE_KEY/a", "$SITE_KEY looks like a secret"),
        ("cluster.env.X=${oc.env:MYSITE_PASS}", "refers to MYSITE_PASS by ${oc.env:MYSITE_PASS}"),
    ],
)
def test_a_variable_that_is_not_set_or_holds_a_secret_is_refused(typed: str, said: str):
    with pytest.raises(LauncherError) as refused:
        of(typed)
    assert said in str(refused.value)
    assert "abcdefghij" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("export HF_TOKEN=hf_abc", "HF_TOKEN"),
        ("env WANDB_API_KEY=abc true", "WANDB_API_KEY"),
        ("hf auth login --token abc", "--token"),
        ("tool --password=abc", "--password"),
        ("export HF_TOKEN_PATH=/home/me/token", None),
        ("source /home/me/.secrets", None),
        ("export TOKENIZERS_PARALLELISM=false", None),
        ("module load cuda", None),
    ],
)
def test_a_setup_line_gives_no_secret_a_value(line: str, name: str | None):
    if name is None:
        assert simple_command(line)
        return
    with pytest.raises(LauncherError) as refused:
        simple_command(line)
    assert f"cluster.setup gives {name} a value" in str(refused.value)
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize("address", ["http://u:pw1@proxy.site:80", "https://tok:x1@host/v1", "s3://a:b1@c/d"])
def test_an_address_with_a_password_is_refused_without_the_password(address: str):
    with pytest.raises(LauncherError) as refused:
        refuse_secrets(repr({"HTTPS_PROXY": address}), {})
    assert "an address with a user's password" in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("pw1", "x1", "b1"))


@pytest.mark.parametrize("text", ["http://proxy:80", "hub:org/name@main", "http://me@host/", "a:b@c"])
def test_an_address_without_one_is_not(text: str):
    refuse_secrets(repr({"x": text}), {})
