#!/bin/bash
# Runs once on each node, under srun; on one machine by hand: `bash node.sh`.
set -euo pipefail
cd -- /runs/NAME/DATE
export TOKENIZERS_PARALLELISM=false
export PYTHONUNBUFFERED=1
export NCCL_SOCKET_IFNAME=ib0
export HF_HOME=/huggingface
# As in job.sbatch.
export PYTHONPATH=/work_dir"${PYTHONPATH:+:$PYTHONPATH}"

exec /usr/bin/python3 -m launcher.supervise.agent .
