#!/bin/bash
# Runs once on each node, started by the job's step. To start it by hand on one machine: `bash node.sh`.
set -euo pipefail
cd -- /runs/NAME/DATE
export TOKENIZERS_PARALLELISM=false
export PYTHONUNBUFFERED=1
export PYTORCH_ALLOC_CONF=expandable_segments:True
export NCCL_SOCKET_IFNAME=ib0
# The same as in job.sbatch.
export PYTHONPATH=/work_dir"${PYTHONPATH:+:$PYTHONPATH}"

exec /opt/python/bin/python3 -m accelerate.commands.launch \
    --config_file accelerate.yaml \
    --machine_rank "${SLURM_NODEID:-0}" \
    --main_process_ip "${MASTER_ADDR:-127.0.0.1}" \
    --main_process_port "${MASTER_PORT:-29500}" \
    -m launcher.train .
