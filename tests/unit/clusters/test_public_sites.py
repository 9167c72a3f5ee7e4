"""The shipped cluster files of public sites, and the limits that a site's file knows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import ConfigError, PlanError
from launcher.launching.compose import compose
from launcher.plan import LaunchPlan
from launcher.resources import resource_dir
from tests.support.paths import ROOT

FILES = {
    path.stem: path.read_text()
    for path in sorted((resource_dir("conf") / "cluster").glob("*.yaml"))
    if "Not run there." in path.read_text()
}
ASKS = sorted(name for name, text in FILES.items() if "SBATCH_ACCOUNT" in text)


@pytest.fixture
def at(plan: Callable[..., LaunchPlan]) -> Callable[..., dict[str, str]]:
    """The options of a job at a site."""

    def at(site: str, *overrides: str) -> dict[str, str]:
        account = ["cluster.sbatch.account=abc"] if site in ASKS else []
        return dict(plan("+experiment=tiny", f"cluster={site}", *account, *overrides).job_options)

    return at


def test_each_site_has_its_pages_a_date_what_was_not_found_and_a_line_in_the_documentation():
    page = (ROOT / "docs/howto/sites.md").read_text()
    assert len(FILES) == 10
    for name, text in FILES.items():
        assert "# Page" in text and "looked up on 2026-" in text and "# Not found:" in text
        assert f"| `{name}` |" in page


def test_the_sites_that_need_an_account_ask_for_it_in_the_same_words():
    assert ASKS == [
        "jean_zay", "juwels_booster", "leonardo", "lumi", "marenostrum5", "narval", "perlmutter",
    ]  # fmt: skip
    assert all('  account: "${oc.env:SBATCH_ACCOUNT,???}"' in FILES[site] for site in ASKS)


@pytest.mark.parametrize("site", ["perlmutter"])
def test_a_site_that_needs_an_account_asks_for_it_in_one_line(monkeypatch: pytest.MonkeyPatch, site: str):
    with pytest.raises(ConfigError, match=r"^cluster\.sbatch\.account has no value; .*SBATCH_ACCOUNT"):
        compose(["+experiment=tiny", f"cluster={site}"])
    monkeypatch.setenv("SBATCH_ACCOUNT", "0123")
    (composed,) = compose(["+experiment=tiny", f"cluster={site}"])
    assert composed.config.cluster.sbatch["account"] == "0123"
    assert composed.note.startswith(f"cluster={site} is written from the site's manual and was not run there")


@pytest.mark.parametrize(
    ("site", "override", "time", "says"),
    [
        ("leonardo", "", "24:00:00", None),
        ("leonardo", "", "24:00:01", "longest job of partition boost_usr_prod, 24:00:00"),
        ("leonardo", "cluster.sbatch.qos=boost_qos_lprod", "4-00:00:00", None),
        ("leonardo", "cluster.sbatch.qos=boost_qos_dbg", "01:00:00", "qos boost_qos_dbg, 00:30:00"),
        ("lumi", "cluster.sbatch.partition='small-g,standard-g'", "3-00:00:00", None),
        ("lumi", "cluster.sbatch.partition=dev-g", "04:00:00", "small-g allow it"),
        ("narval", "", "8-00:00:00", "longest job of this site, 168:00:00"),
        ("perlmutter", "cluster.sbatch.qos=overrun", "9-00:00:00", None),
        ("perlmutter", "cluster.time_limits.regular=null", "9-00:00:00", None),
    ],
)
def test_a_time_above_the_sites_limit_is_refused_before_the_queue(at, site, override, time, says):
    words = [f"++{override}"] if override else []
    if says is None:
        assert at(site, *words, f"resources.time='{time}'")["time"] == time
        return
    with pytest.raises(PlanError) as refusal:
        at(site, *words, f"resources.time='{time}'")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("value", ["86400", "24", "'soon'", "[1]", "'1:99:00'"])
def test_a_limit_that_is_not_a_time_is_refused(at, value: str):
    with pytest.raises(PlanError, match=r"cluster\.time_limits\.gh=.*in quotes"):
        at("vista", f"++cluster.time_limits.gh={value}")


def test_a_file_of_ones_own_starts_from_a_shipped_one(tmp_path: Path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/mine.yaml").write_text("defaults: [leonardo, _self_]\nsbatch: {account: '0123'}\n")
    (composed,) = compose(["+experiment=tiny", "--config-dir", str(tmp_path), "cluster=mine"])
    site = composed.config.cluster
    assert (site.sbatch["account"], site.sbatch["partition"], site.gpus_per_node) == (
        "0123",
        "boost_usr_prod",
        4,
    )


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ("apptainer", ("--rocm",)),
        ("singularity", ("--rocm",)),
        ("charliecloud", ()),
        ("podman_hpc", ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=keep-groups")),
    ],
)
def test_a_container_on_amd_gpus_gets_their_devices(plan, runtime: str, words: tuple[str, ...]):
    made = plan(
        "+experiment=tiny", "cluster=lumi", "cluster.sbatch.account=a", f"cluster.container.runtime={runtime}",
        "cluster.container.image=/images/rocm",
    )  # fmt: skip
    assert set(words) <= set(made.container_command)
    assert not {"--nv", "--gpu"} & set(made.container_command)
