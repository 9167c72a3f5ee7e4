"""The part of the user's shell that Slurm's commands must not see: variables that override planned options, that filter the
answers to our questions, or that belong to the job in which the command is typed.

Source: sbatch(1), squeue(1), sacct(1), scancel(1) and srun(1), input environment variables; they win over the options in a job
script.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from launcher import environment

_SPECIAL = {
    "SBATCH_TIMELIMIT": "time", "SBATCH_MEM_PER_NODE": "mem", "SBATCH_ARRAY_INX": "array", "SBATCH_REQ_SWITCH": "switches",
    "SBATCH_WAIT4SWITCH": "switches", "SBATCH_DEBUG": "verbose",
}  # fmt: skip
"""Variables of sbatch whose option does not follow from their name."""
_ALIKE = (
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"},
    {"cpus-per-task", "cpus-per-gpu"},
    {"requeue", "no-requeue"},
)
"""Groups of options of which sbatch accepts only one."""
_OURS = frozenset(
    """array chdir error export gpus gpus-per-node gpus-per-task gpus-per-socket input job-name nodes no-kill ntasks
    ntasks-per-node open-mode output signal time wait requeue no-requeue""".split()  # noqa: SIM905
)
"""Options that a plan decides, also by leaving them out."""
_QUESTIONS = re.compile(
    r"(SQUEUE|SACCT|SCONTROL|SINFO|SCANCEL)_\w+|SLURM_(TIME_FORMAT|BITSTR_LEN|CLUSTERS)|SBATCH_CLUSTERS"
)
"""Variables that filter what is listed or cancelled, make scancel ask first, or choose another cluster."""
_CONNECTION = frozenset(["SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS", "SLURM_SACK_JWKS"])
"""Variables by which Slurm's commands find their cluster."""
_JOBS_OWN = re.compile(
    r"SLURMD?_\w+|SRUN_\w+|PMIX?_\w+|PALS_\w+|(CUDA|ROCR|HIP)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
)
_STEPS = frozenset(
    f"SLURM_{name}"
    for name in """ACCTG_FREQ BCAST BCAST_EXCLUDE COMPRESS CONSTRAINT CORE_SPEC CPU_BIND CPU_BIND_LIST CPU_BIND_TYPE
    CPU_FREQ_REQ CPUS_PER_GPU CPUS_PER_TASK DEBUG DELAY_BOOT DISABLE_STATUS DISTRIBUTION DIST_PLANESIZE EPILOG EXACT
    EXCLUSIVE EXPORT_ENV GPUS GPUS_PER_NODE GPUS_PER_TASK GPU_BIND GPU_FREQ GRES GRES_FLAGS HINT HOSTFILE IMMEDIATE
    KILL_BAD_EXIT LABELIO MEM_BIND MEM_BIND_LIST MEM_BIND_TYPE MEM_PER_CPU MEM_PER_GPU MEM_PER_NODE MPI_TYPE NETWORK
    NNODES NO_KILL NPROCS NTASKS NTASKS_PER_CORE NTASKS_PER_GPU NTASKS_PER_NODE NTASKS_PER_SOCKET NTASKS_PER_TRES
    OPEN_MODE OVERCOMMIT OVERLAP PARTITION POWER PROFILE PROLOG QOS REMOTE_CWD RESERVATION RESV_PORTS SEND_LIBS SIGNAL
    SPREAD_JOB STDERRMODE STDINMODE STDOUTMODE TASK_EPILOG TASK_PROLOG TEST_EXEC THREADS THREADS_PER_CORE THREAD_SPEC
    TIMELIMIT TRES_BIND TRES_PER_TASK UNBUFFEREDIO USE_MIN_NODES WAIT WCKEY WHOLE WORKING_DIR""".split()  # noqa: SIM905
)
"""Variables that are options of srun. sbatch sets only some of them anew: the others of a shell would reach the job's step."""
_BINDING = re.compile(r"OMP_(NUM_THREADS|PLACES|PROC_BIND)|(GOMP_CPU|KMP|MKL)_AFFINITY|MKL_NUM_THREADS")
_DIRECTIVE = re.compile(r"#SBATCH --([a-z][a-z0-9-]*)(?:=(\S+))?")


def for_questions(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of squeue, sacct and scontrol: without filters, formats and another default cluster."""
    return {name: value for name, value in environ.items() if not _QUESTIONS.fullmatch(name)}


def for_sbatch(environ: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """The environment of sbatch for a job with these options; it becomes the environment of the job."""
    left_out = {*overriding(environ, options), *of_another_job(environ), *of_steps(environ)}
    return {name: value for name, value in environ.items() if name not in left_out}


def overriding(environ: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """sbatch's variables that would win over an option of the plan or of the site."""
    decided = {*options, *_OURS}
    for alike in _ALIKE:
        if alike & options.keys():
            decided |= alike
    found = {name: option_of(name) for name in environ if name.startswith("SBATCH_")}
    wins = [name for name, option in found.items() if option in decided]
    return [*wins, *(["SLURM_CLUSTERS"] if "SLURM_CLUSTERS" in environ and "clusters" in options else [])]


def applied(environ: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """sbatch's variables that take effect, because neither the plan nor the site decides their option."""
    left_out = overriding(environ, options)
    return [name for name in environ if name.startswith("SBATCH_") and name not in left_out]


def of_another_job(environ: Mapping[str, str]) -> list[str]:
    """Variables of the job in which the command is typed: its resources, devices, binding and temporary folder.

    Numbers of threads and bindings count only in a step, where srun sets them; in a batch script the user can have set them. In
    the step of a run, those that its script had are the user's.
    """
    job, step = environ.get("SLURM_JOB_ID"), environ.get("SLURM_STEP_ID")
    if not job:
        return []
    users = environ.get(environment.SCRIPT_THREADS, "").split(",")
    return [
        name
        for name, value in environ.items()
        if (_JOBS_OWN.fullmatch(name) and name not in _CONNECTION)
        or (step and _BINDING.fullmatch(name) and name not in users)
        or (name == "TMPDIR" and re.search(rf"(?<!\d){re.escape(job)}(?!\d)", value))
    ]


def of_steps(environ: Mapping[str, str]) -> list[str]:
    """Options of srun in a shell that is in no job: with them the step would not be the one that the run dir shows."""
    if environ.get("SLURM_JOB_ID"):
        return []
    return [name for name in environ if name in _STEPS or name.startswith("SRUN_")]


def threads_of_script(environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that tells a step of the job which variables for threads and binding its script had."""
    names = [name for name in environ if _BINDING.fullmatch(name)]
    return {environment.SCRIPT_THREADS: ",".join(sorted(names))}


def option_of(variable: str) -> str:
    """The long option of sbatch that the variable sets."""
    return _SPECIAL.get(variable) or variable.removeprefix("SBATCH_").lower().replace("_", "-")


def warnings(environ: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """Warnings about variables of the user's shell that are left out, or that take effect though no file sets them."""
    found: list[str] = []
    for name in overriding(environ, options):
        if options.get(option_of(name)) == environ[name]:
            continue  # the run has the same value
        option = "clusters" if name == "SLURM_CLUSTERS" else option_of(name)
        decided = f"{option}={options[option]}" if options.get(option) else f"its own options for {option}"
        found.append(f"{name}={environ[name]} of your shell is left out, because this run has {decided}")
    if named := applied(environ, options):
        told = ", ".join(f"{name}={environ[name]}" for name in named)
        found.append(f"{told} of your shell takes effect for this job, although no file of the run sets it")
    if named := [
        name for name in of_steps(environ) if name != "SLURM_EXPORT_ENV"
    ]:  # --export=ALL is an option of the step
        told = ", ".join(f"{name}={environ[name]}" for name in named)
        found.append(
            f"{told} of your shell is left out, because srun in the job would read it; cluster.srun sets options of srun, such "
            "as cluster.srun.mpi=none"
        )
    own = [name for name in of_another_job(environ) if not name.startswith("SLURM")]
    if job := environ.get("SLURM_JOB_ID"):
        also = f", {', '.join(own)}" if own else ""
        found.append(
            f"this command runs inside job {job}; the new job gets none of the SLURM_* variables of that job{also}"
        )
    return found


def clusters_of(options: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """The clusters to which sbatch submits a job with these options, joined by commas; empty for the one of this machine.
    Source: sbatch(1), --clusters and SBATCH_CLUSTERS, and SLURM_CLUSTERS, which all of Slurm's commands read."""
    named = options.get("clusters") or environ.get("SBATCH_CLUSTERS") or environ.get("SLURM_CLUSTERS") or ""
    return named.strip('"')


def directives(script: Path) -> dict[str, str]:
    """The #SBATCH options of a job script, with only the first word of each value; empty if the script cannot be read."""
    try:
        lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {match[1]: match[2] or "" for line in lines if (match := _DIRECTIVE.match(line))}
