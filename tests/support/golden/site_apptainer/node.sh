#!/bin/bash
# Runs once on each node, started by the job's step. To start it by hand on one machine: `bash node.sh`.
set -euo pipefail
cd -- /runs/NAME/DATE
export TOKENIZERS_PARALLELISM=false
export PYTHONUNBUFFERED=1
export PYTORCH_ALLOC_CONF=expandable_segments:True
export NCCL_SOCKET_IFNAME=ib0
export HF_HOME=/huggingface
# The same as in job.sbatch.
export PYTHONPATH=/work_dir"${PYTHONPATH:+:$PYTHONPATH}"

exec apptainer exec --nv --bind /runs/NAME/DATE:/runs/NAME/DATE --bind /cache:/cache --bind /huggingface:/huggingface --bind /data:/data --bind /work_dir:/work_dir --bind /scratch --pwd /runs/NAME/DATE /images/train.sif /usr/bin/python3 -m launcher.supervise.agent .
