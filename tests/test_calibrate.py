"""What a run has measured beside its plan, and what the cluster file should hold by it."""

import json

import pytest

MEASURED = {
    "time": "2026-01-01T00:00:00.000+00:00", "event": "measured", "attempt": 1, "step": 20, "steps": 20, "peak_gib": 19.5,
    "peak_gib_by_rank": [19.5, 19.4, 19.4, 19.4], "reserved_gib": 21.0, "context_gib": 1.6, "host_gib_by_rank": [9.1] * 4,
    "link_gb_s": 155.0,
}  # fmt: skip


@pytest.fixture
def measured_run(cli, tmp_path):
    """A planned run on GPUs that has told a step time."""

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
    again = plan("+experiment=llama8b_lora", *keys, rows=1000, mean_tokens=1000)
    assert again.time.step_s == pytest.approx(4.0, rel=1e-3)
    assert again.memory.context == 1.6
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
    assert f"planned {planned['memory']['total']:.1f} GiB a GPU, measured 21.1 GiB" in text
