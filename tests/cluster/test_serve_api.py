"""Fine-tuning through the server of the API on the login node of a real cluster: trained by its jobs, and asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.resources import resource_dir
from tests.cluster.killing import jobs
from tests.support.api_server import wait_until
from tests.support.runs import command, environment

pytestmark = [pytest.mark.slurm, pytest.mark.long]

SITE = """
models: {tiny: {extends: tiny, trainer: {packing: false}}}
run: {cluster: slurm, resources: {device: cpu, time: "00:10:00"}}
"""
FLOW = """
import json, sys, time
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=5)
rows = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"What is {n}?"},
                             {"role": "assistant", "content": f"It is {n}."}]}) + "\\n"
    for n in range(12)
)
file = client.files.create(file=("train.jsonl", rows.encode()), purpose="fine-tune")
create = client.fine_tuning.jobs.create
made = [create(model="tiny", training_file=file.id, suffix=f"s{n}", hyperparameters={"n_epochs": 1}).id for n in range(3)]
paused = create(model="tiny", training_file=file.id, hyperparameters={"n_epochs": 50, "batch_size": 1}).id

def wait(job, *wanted):
    deadline = time.monotonic() + 300
    while (found := client.fine_tuning.jobs.retrieve(job)).status not in wanted:
        assert time.monotonic() < deadline, (found, client.fine_tuning.jobs.list_events(job).data[:5])
        time.sleep(1)
    return found

wait(paused, "running")
while not any(one.message.startswith("Step ") for one in client.fine_tuning.jobs.list_events(paused)):
    time.sleep(0.5)
client.fine_tuning.jobs.pause(paused)
done = [wait(job, "succeeded", "failed") for job in made]
while not any(one.message == "The job is paused" for one in client.fine_tuning.jobs.list_events(paused)):
    time.sleep(0.5)
client.fine_tuning.jobs.resume(paused)
done.append(wait(paused, "succeeded", "failed"))
answer = client.chat.completions.create(
    model=done[0].fine_tuned_model, messages=[{"role": "user", "content": "What is 3?"}], max_tokens=8
)
print(json.dumps([[one.id, one.status] for one in done] + [answer.usage.completion_tokens]))
"""


def test_jobs_of_the_api_are_jobs_of_the_cluster(lab, tmp_path: Path):
    (tmp_path / "site.yaml").write_text(SITE)
    key = json.loads(
        lab.run(*command("api-keys", "add", "anna", "--data-dir", "D", "--json"), cwd=tmp_path).stdout
    )["key"]
    process, line = None, ""

    def start() -> tuple[subprocess.Popen[str], str]:
        with (tmp_path / "server.log").open("a") as log:
            server = subprocess.Popen(
                [str(resource_dir("slurm") / "lab"), "exec", *command("serve-api", "--data-dir", "D", "--site", "site.yaml",
                 "--port", "8017", "--json")],
                cwd=tmp_path, env=environment(**lab.settings), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert server.stdout
        line = server.stdout.readline()
        assert line, (tmp_path / "server.log").read_text()
        return server, line

    try:
        process, line = start()
        told = json.loads(line)
        flow = subprocess.Popen(
            [str(resource_dir("slurm") / "lab"), "exec", sys.executable, "-c", FLOW, told["address"], key],
            cwd=tmp_path, env=environment(**lab.settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: list((tmp_path / "D" / "runs").glob("*/*/job.json")))
        lab.run("sh", "-c", f"kill -9 {told['pid']}", cwd=tmp_path, check=False)
        process.wait(30)
        process, line = start()
        out, err = flow.communicate(timeout=600)
        assert flow.returncode == 0, err + (tmp_path / "server.log").read_text()
        *ended, tokens = json.loads(out)
        assert [status for _, status in ended] == ["succeeded"] * 4 and 0 < tokens <= 8
        for job, _ in ended:
            assert jobs(lab, tmp_path, job) == []  # nothing is left in the queue
            (run,) = (tmp_path / "D" / "runs" / job).iterdir()
            events = [json.loads(text)["event"] for text in (run / "events.jsonl").read_text().splitlines()]
            assert events.count("submitted") == (2 if job == ended[-1][0] else 1)
    finally:
        if process:
            lab.run("sh", "-c", f"kill -9 {json.loads(line)['pid']}", cwd=tmp_path, check=False)
            process.kill()
            process.wait()
