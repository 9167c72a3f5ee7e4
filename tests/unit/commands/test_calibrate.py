"""What a run has measured beside its plan, and what the cluster file should hold by it."""

import json

import pytest

from launcher.clusters.cluster_file import write_values
from launcher.errors import ConfigError

MEASURED = {
    "time": "2026-01-01T00:00:00.000+00:00", "event": "measured", "attempt": 1, "step": 20, "steps": 20, "peak_gib": 19.5,
    "peak_gib_by_rank": [19.5, 19.4, 19.4, 19.4], "reserved_gib": 21.0, "context_gib": 1.6, "host_gib_by_rank": [9.1] * 4,
    "link_gb_s": 155.0,
}  # fmt: skip


@pytest.fixture
def measured_run(cli, tmp_path):
    """A planned run on GPUs that has measured a step time."""

    def measured_run(step_s: float | None, *overrides: str):
        assert cli("+experiment=llama8b_lora", "cluster=slurm", "dry_run=true", *overrides).returncode == 0
        (plan,) = tmp_path.glob("runs/*/*/plan.json")
        if step_s is not None:
            with (plan.parent / "events.jsonl").open("a") as events:
                events.write(json.dumps({**MEASURED, "step_s": step_s}) + "\n")
            line = {"step": 20, "loss": 1.0, "tokens": 20 * 64 * 1000, "samples": 20 * 64, "total_steps": 40}
            (plan.parent / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        return json.loads(plan.read_text())

    return measured_run


def test_a_calibrated_place_plans_the_step_that_was_measured(cli, measured_run, tmp_path, plan):
    measured_run(4.0, "cluster.gpu_tflops=990")
    told = json.loads(cli("calibrate", "--json").stdout)
    keys = [f"cluster.{key}={value}" for key, value in told["cluster"].items()]
    again = plan("+experiment=llama8b_lora", "trainer.packing=false", *keys, rows=1000, mean_tokens=1000)
    assert again.time.step_s == pytest.approx(4.0, rel=1e-3)
    assert again.memory.parts["context"] == 1.6
    assert told["cluster"]["fragmentation"] == 0.07692  # 21.0 of 19.5 GiB
    assert told["cluster"]["link_gb_s"] == 155.0


def test_calibrate_prints_lines_for_the_cluster_file(cli, measured_run):
    measured_run(4.0, "cluster.gpu_tflops=990")
    told = cli("calibrate").stdout
    assert "achieved_share:" in told and "context_gib:" in told and "link_gb_s:" in told


def test_a_run_over_nodes_measures_the_network(cli, measured_run):
    measured_run(4.0, "resources.nodes=2")
    cluster = json.loads(cli("calibrate", "--json").stdout)["cluster"]
    assert cluster["network_gb_s"] == 155.0 and "link_gb_s" not in cluster


def test_a_run_that_measured_nothing_cannot_calibrate(cli, measured_run):
    measured_run(None)
    done = cli("calibrate")
    assert done.returncode == 1
    assert "has measured nothing yet" in done.stderr and len(done.stderr.splitlines()) == 1


def test_status_shows_planned_beside_measured(cli, measured_run):
    planned = measured_run(4.0)
    told = json.loads(cli("status", "--json").stdout)
    assert told["planned"] == {
        "step_s": planned["time"]["step_s"],
        "memory_gib": planned["memory"]["total"],
    }
    assert told["measured"]["step_s"] == 4.0
    text = cli("status").stdout
    assert f"planned {planned['time']['step_s']:.3g} s, measured 4 s" in text
    assert f"planned {planned['memory']['total']:.1f} GiB per GPU, measured 21.1 GiB" in text


SITE = """# our machine
defaults: [slurm, _self_]

gpu_tflops: 312  # by the data sheet
achieved_share: 0.4   # a guess
sbatch: {partition: gpu}
env: {link_gb_s: "1"}   # not the site's link
"""


def test_calibrate_writes_into_a_site_s_file_and_leaves_the_rest_as_it_was(cli, measured_run, tmp_path):
    measured_run(4.0, "cluster.gpu_tflops=990")
    file = tmp_path / "site" / "cluster" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(SITE)
    file.chmod(0o640)
    told = json.loads(cli("calibrate", "--write", str(file), "--json").stdout)
    kept = [line for line in file.read_text().splitlines() if not line.startswith(tuple(told["cluster"]))]
    assert kept == [line for line in SITE.splitlines() if not line.startswith(("gpu_tflops", "achieved"))]
    assert "gpu_tflops: 990  # by the data sheet\n" in file.read_text()
    assert "-gpu_tflops: 312  # by the data sheet" in told["difference"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]
    again = cli("calibrate", "--write", str(file))
    assert again.stdout == f"{file} already has all of these values\n"
    planned = cli(
        "plan", "+experiment=llama8b_lora", "--config-dir", str(tmp_path / "site"), "cluster=mine", "--json"
    )
    assert json.loads(planned.stdout)["time"]["step_s"] > 0


def test_calibrate_begins_a_file_that_a_run_can_use(cli, measured_run, tmp_path):
    measured_run(4.0)
    file = tmp_path / "new" / "cluster" / "fresh.yaml"
    assert "+context_gib: 1.6" in cli("calibrate", "--write", str(file)).stdout
    planned = cli(
        "plan", "+experiment=llama8b_lora", "--config-dir", str(tmp_path / "new"), "cluster=fresh", "--json"
    )
    assert json.loads(planned.stdout)["memory"]["per_gpu_gib"]["context"] == 1.6


ODDLY_WRITTEN = """# ours
defaults: [slurm, _self_]
env:
    HF_HOME: "/scratch/hf"   # shared
    NAME: 'quoted'
sbatch_options:
- a
- b
gpu_tflops:
    312
# not known yet
link_gb_s: null
# the end
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_comments_order_quotes_indentation_and_line_ends_stay(tmp_path, end):
    file = tmp_path / "odd.yaml"
    file.write_bytes(ODDLY_WRITTEN.replace("\n", end).encode())
    write_values(file, {"gpu_tflops": 990.0, "context_gib": 1.6}, "slurm")
    expected = ODDLY_WRITTEN.replace("gpu_tflops:\n    312", "gpu_tflops: 990") + "context_gib: 1.6\n"
    assert file.read_bytes() == expected.replace("\n", end).encode()


def test_a_mapping_in_braces_is_edited_in_its_braces(tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_text("{gpu_tflops: 312, achieved_share: 0.4}\n")
    write_values(file, {"gpu_tflops": 990.0, "context_gib": 1.6}, "slurm")
    assert file.read_text() == "{gpu_tflops: 990, achieved_share: 0.4, context_gib: 1.6}\n"


@pytest.mark.parametrize("text", ["- a list\n", "gpu_tflops: 1\ngpu_tflops: 2\n", "a: [\n"])
def test_a_file_that_is_no_mapping_is_left_alone(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml is not"):
        write_values(file, {"gpu_tflops": 990.0, "context_gib": 1.6}, "slurm")
    assert file.read_text() == text


def test_a_value_that_a_run_would_read_as_a_string_is_not_written(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("gpu_tflops: 312\n")
    with pytest.raises(ConfigError, match="edit the file by hand"):
        write_values(file, {"achieved_share": 1e-5}, "slurm")
    assert file.read_text() == "gpu_tflops: 312\n"


def test_what_ranks_on_a_cpu_measured_is_not_written(cli, measured_run, tmp_path):
    measured_run(4.0, "resources.device=cpu")
    done = cli("calibrate", "--write", str(tmp_path / "site.yaml"))
    assert done.returncode == 1 and "did not run on GPUs" in done.stderr
    assert not (tmp_path / "site.yaml").exists()
