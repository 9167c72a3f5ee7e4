"""Every environment variable that this project sets or reads, except those that schedulers and trackers list.

tests/unit/test_environment.py reads the syntax trees of launcher/ and fails for a variable that is not listed. This module is
one table, which is longer than other modules so that a variable is looked for in one place.
"""

from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Variable:
    """One environment variable."""

    name: str
    meaning: str
    """The meaning of its value."""
    set_by: str
    """The process or person that sets it."""
    read_by: str
    """The process or library that reads it."""


VARIABLES: dict[str, Variable] = {}
"""Name -> variable, in the order of this file."""


def _listed(name: str, meaning: str, *, set_by: str, read_by: str) -> str:
    VARIABLES[name] = Variable(name=name, meaning=meaning, set_by=set_by, read_by=read_by)
    return name


# Supervisor -> agent

SUPERVISOR = _listed(
    "LAUNCHER_SUPERVISOR",
    "Addresses of the supervisor, HOST:PORT with commas, the best first. Without it, node.sh was started by hand.",
    set_by="supervisor",
    read_by="agent",
)
JOB = _listed(
    "LAUNCHER_JOB",
    "Name of this job below logs/: the job id, or the supervisor's process id without a scheduler.",
    set_by="supervisor",
    read_by="agent",
)
LEASE = _listed(
    "LAUNCHER_LEASE",
    "Nonce of the run's lease. A rank commits a checkpoint only while the lease still contains this nonce.",
    set_by="supervisor",
    read_by="rank",
)
SCRIPT_THREADS = _listed(
    "LAUNCHER_SCRIPT_THREADS",
    "Names, with commas, of the variables for threads and their binding (OMP_NUM_THREADS, ...) that the job's script had. A "
    "job that a later supervisor queues has them too; others in a step are srun's.",
    set_by="supervisor",
    read_by="supervisor",
)

# Agent -> rank

ATTEMPT = _listed("LAUNCHER_ATTEMPT", "Number of the attempt, from 1.", set_by="agent", read_by="rank")
MODEL_COMMIT = _listed(
    "LAUNCHER_MODEL_COMMIT",
    "Commit of the model on its hub, which every rank loads. Not set for a model that is not from a hub.",
    set_by="agent",
    read_by="rank",
)
HEARTBEAT_FD = _listed(
    "LAUNCHER_HEARTBEAT_FD",
    "File descriptor of the socket for heartbeats and for the order to shut down.",
    set_by="agent",
    read_by="rank",
)
STACKS_FD = _listed(
    "LAUNCHER_STACKS_FD",
    "File descriptor of the memory file to which SIGUSR2 writes the Python stacks.",
    set_by="agent",
    read_by="rank",
)
STORE_FD = _listed(
    "LAUNCHER_STORE_FD",
    "File descriptor of the bound socket on which rank 0 serves the rendezvous store.",
    set_by="agent",
    read_by="rank 0",
)

# The world of a rank, as torchrun names it. Source: docs.pytorch.org, "torchrun", "Environment Variables".

RANK = _listed("RANK", "Global number of the rank, from 0.", set_by="agent", read_by="rank, torch")
LOCAL_RANK = _listed(
    "LOCAL_RANK", "Number of the rank on its node, from 0.", set_by="agent", read_by="rank, torch"
)
GROUP_RANK = _listed(
    "GROUP_RANK", "Number of the node in the attempt, from 0.", set_by="agent", read_by="torch"
)
WORLD_SIZE = _listed("WORLD_SIZE", "Number of ranks.", set_by="agent", read_by="rank, torch")
LOCAL_WORLD_SIZE = _listed(
    "LOCAL_WORLD_SIZE", "Number of ranks on this node.", set_by="agent", read_by="torch"
)
MASTER_ADDR = _listed(
    "MASTER_ADDR",
    "Host of the ranks' rendezvous. Set it if node.sh is started by hand on several nodes.",
    set_by="agent, or a person",
    read_by="rank, torch",
)
GLOO_INTERFACE = _listed(
    "GLOO_SOCKET_IFNAME",
    "Network interface of gloo: the one at which the node is reached, unless cluster.interface or the site sets it.",
    set_by="agent, or the site",
    read_by="gloo",
)
NCCL_INTERFACE = _listed(
    "NCCL_SOCKET_IFNAME",
    "Network interface of NCCL, if cluster.interface, cluster.host_suffix or the site names one.",
    set_by="agent, or the site",
    read_by="NCCL",
)
NCCL_P2P_DISABLE = _listed(
    "NCCL_P2P_DISABLE",
    "1: NCCL does not use peer access between GPUs. Set for several RTX 40 cards with a driver before 550.40.07.",
    set_by="agent, or the site",
    read_by="NCCL, accelerate",
)
NCCL_IB_DISABLE = _listed(
    "NCCL_IB_DISABLE",
    "1: NCCL does not use InfiniBand. Set for the same cards.",
    set_by="agent, or the site",
    read_by="NCCL, accelerate",
)
MASTER_PORT = _listed(
    "MASTER_PORT",
    "Port of the ranks' rendezvous. Set it if node.sh is started by hand on several nodes.",
    set_by="agent, or a person",
    read_by="rank, torch",
)
USE_AGENT_STORE = _listed(
    "TORCHELASTIC_USE_AGENT_STORE",
    "True: every rank is a client of the rendezvous store, which rank 0 serves on the socket that it inherits.",
    set_by="agent",
    read_by="torch",
)

# Threads, memory and kernels of a rank

OMP_NUM_THREADS = _listed(
    "OMP_NUM_THREADS",
    "CPU threads per rank. By default the node's cores divided by its ranks; a value of the site is kept.",
    set_by="agent, or the site",
    read_by="rank, torch",
)
TOKENIZERS_PARALLELISM = _listed(
    "TOKENIZERS_PARALLELISM",
    "false: tokenizers start no threads, which a forked process would lose.",
    set_by="warm process, launch",
    read_by="tokenizers",
)
NVML_CUDA_CHECK = _listed(
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "1: torch counts GPUs without creating a CUDA context, which a forked process could not use.",
    set_by="warm process",
    read_by="torch",
)
TORCH_EXTENSIONS_DIR = _listed(
    "TORCH_EXTENSIONS_DIR",
    "Folder of the operators that torch compiles, by default in the run's cache.",
    set_by="rank, or the site",
    read_by="torch",
)
ACCELERATE_USE_FSDP = _listed(
    "ACCELERATE_USE_FSDP",
    "Whether transformers loads a model as one of several FSDP ranks. Removed while rank 0 alone loads an export again.",
    set_by="accelerate",
    read_by="rank, transformers",
)
FSDP_CPU_RAM_EFFICIENT_LOADING = _listed(
    "FSDP_CPU_RAM_EFFICIENT_LOADING",
    "Whether one rank of a node alone reads the weights of a model for FSDP (strategy.cpu_ram_efficient_loading).",
    set_by="transformers",
    read_by="rank, transformers",
)
TRL_EXPERIMENTAL_SILENCE = _listed(
    "TRL_EXPERIMENTAL_SILENCE",
    "1: trl does not warn that a trainer is experimental.",
    set_by="rank",
    read_by="trl",
)

# Hub. Source: the manual of huggingface_hub, "Environment variables".

HF_HUB_OFFLINE = _listed(
    "HF_HUB_OFFLINE",
    "1: no request is sent to the hub. Set for ranks, because what they need was fetched before; a value of the site is kept.",
    set_by="agent, or a person",
    read_by="launch, fetch, rank, huggingface_hub",
)
HF_DATASETS_OFFLINE = _listed(
    "HF_DATASETS_OFFLINE",
    "1: the same as HF_HUB_OFFLINE, for datasets.",
    set_by="agent, or a person",
    read_by="datasets",
)
TRANSFORMERS_OFFLINE = _listed(
    "TRANSFORMERS_OFFLINE",
    "1: the same as HF_HUB_OFFLINE, for transformers.",
    set_by="agent, or a person",
    read_by="stale, transformers",
)
USER = _listed(
    "USER", "Name of the user.", set_by="the login; the supervisor if it is missing", read_by="ch-run"
)
HF_ENDPOINT = _listed(
    "HF_ENDPOINT", "Address of the hub.", set_by="a person", read_by="launch, fetch, huggingface_hub"
)
HF_HOME = _listed(
    "HF_HOME",
    "Folder of the hub's library: cache and token.",
    set_by="a person; in a container, the launch",
    read_by="launch, fetch, huggingface_hub",
)
HF_HUB_CACHE = _listed(
    "HF_HUB_CACHE",
    "Folder of fetched models, if it is not in HF_HOME.",
    set_by="a person; in a container, the launch",
    read_by="launch, fetch, huggingface_hub",
)
HUGGINGFACE_HUB_CACHE = _listed(
    "HUGGINGFACE_HUB_CACHE",
    "The former name of HF_HUB_CACHE.",
    set_by="a person",
    read_by="launch, fetch, huggingface_hub",
)
HF_DATASETS_CACHE = _listed(
    "HF_DATASETS_CACHE",
    "Folder of prepared data sets, if it is not in HF_HOME.",
    set_by="a person; in a container, the launch",
    read_by="launch, fetch, datasets",
)
HF_TOKEN = _listed(
    "HF_TOKEN",
    "Secret: the access token of the hub. Jobs inherit it; it is never written to a file.",
    set_by="a person",
    read_by="launch, huggingface_hub",
)
HF_HUB_DISABLE_IMPLICIT_TOKEN = _listed(
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "1: the hub's library sends a token only where it is told to. Set if HF_ENDPOINT is plain http to another host.",
    set_by="launch, fetch, agent",
    read_by="huggingface_hub",
)
HF_TOKEN_PATH = _listed(
    "HF_TOKEN_PATH",
    "File with the access token, if it is not in HF_HOME.",
    set_by="a person",
    read_by="launch, huggingface_hub",
)
HF_HUB_DISABLE_PROGRESS_BARS = _listed(
    "HF_HUB_DISABLE_PROGRESS_BARS",
    "1: no progress bars in the output of a launch's helper process.",
    set_by="launch",
    read_by="huggingface_hub",
)


# Managed fine-tuning. Source: OpenAI's API reference, "Authentication".

OPENAI_API_KEY = _listed(
    "OPENAI_API_KEY",
    "Secret: the key of the service. It is read for each request and is never written.",
    set_by="a person",
    read_by="managed",
)
OPENAI_BASE_URL = _listed(
    "OPENAI_BASE_URL",
    "Address of a provider's API of OpenAI's shape; it has no default.",
    set_by="a person",
    read_by="managed",
)

# A server for a trained model. Source of the second: vLLM's documentation, "Environment Variables".

API_KEY = _listed(
    "LAUNCHER_API_KEY",
    "Secret: the key that requests to the server must have. A queued server inherits it; it is never written to a file.",
    set_by="a person",
    read_by="serve",
)
VLLM_API_KEY = _listed(
    "VLLM_API_KEY", "Secret: the same key, for vLLM's own server.", set_by="serve", read_by="vLLM"
)

# Tasks of lm-evaluation-harness. Source: lm-eval 0.4.13, api/metrics.py, bootstrap_stderr.

DISABLE_MULTIPROC = _listed(
    "DISABLE_MULTIPROC",
    "1: lm-eval computes its bootstrap in one process, since a forked one would lose the threads of this one.",
    set_by="evaluate",
    read_by="lm-eval",
)

# Shell, Python and Hydra

SEARCH_PATH = _listed(
    "PATH",
    "Folders of programs. The folder of the running Python is added for a rank that compiles, since ninja is there.",
    set_by="the login, rank",
    read_by="rank, torch",
)
CXX = _listed(
    "CXX", "The C++ compiler, by default c++.", set_by="a person, or the site", read_by="launch, agent, torch"
)
HOME = _listed("HOME", "Home folder.", set_by="the login", read_by="launch, fetch")
CODE_OF = _listed(
    "LAUNCHER_CODE_OF",
    "Run dir whose kept code this command runs with.",
    set_by="resume, reproduce",
    read_by="launch, resume",
)
ANSWER = _listed(
    "LAUNCHER_ANSWER",
    "File into which a launch also writes what --json prints, for the machine on which it was typed (cluster.ssh).",
    set_by="launch",
    read_by="launch",
)
GIT_STATE = _listed(
    "LAUNCHER_GIT_STATE",
    "File with the git commit, and what differs from it, of the machine on which a launch was typed (cluster.ssh).",
    set_by="launch",
    read_by="launch",
)
XDG_RUNTIME_DIR = _listed(
    "XDG_RUNTIME_DIR", "Folder for the sockets of ssh; /tmp without it.", set_by="the login", read_by="launch"
)
SHIPPED = _listed(
    "LAUNCHER_SHIPPED",
    "Folder of the shipped data files, for a command that runs with the kept code of a run: the run's files name that folder.",
    set_by="resume, reproduce, job.sbatch of a sweep",
    read_by="launch, resume, sweep",
)
PYTHONPATH = _listed(
    "PYTHONPATH",
    "Folders of importable modules. The folder in which a command was typed is added for its jobs, so that plugins are found.",
    set_by="job.sbatch, sweep",
    read_by="Python",
)
XDG_CACHE_HOME = _listed(
    "XDG_CACHE_HOME",
    "Folder of caches, by default ~/.cache. Source: XDG Base Directory Specification.",
    set_by="a person",
    read_by="launch, fetch",
)
XDG_STATE_HOME = _listed(
    "XDG_STATE_HOME",
    "Folder of state, by default ~/.local/state; launcher/hosts.jsonl in it remembers faults of hosts. Source: as above.",
    set_by="a person",
    read_by="supervisor, agent",
)
HYDRA_FULL_ERROR = _listed(
    "HYDRA_FULL_ERROR",
    "1: Hydra raises its errors. Set while a configuration is composed, so that an error can be shown in one line.",
    set_by="launch",
    read_by="Hydra",
)
NO_PROXY = _listed(
    "NO_PROXY",
    "Hosts that are reached without a proxy, to which a rank adds the host of the generation server.",
    set_by="the site, rank 0",
    read_by="requests",
)
VLLM_DEV_MODE = _listed(
    "VLLM_SERVER_DEV_MODE",
    "1: vLLM's server has the endpoints through which it gets weights.",
    set_by="agent",
    read_by="vLLM",
)
VLLM_HOST_IP = _listed(
    "VLLM_HOST_IP",
    "Address at which a generation server reaches rank 0 to get the weights.",
    set_by="rank 0",
    read_by="vLLM",
)
CUDA_VISIBLE_DEVICES = _listed(
    "CUDA_VISIBLE_DEVICES",
    "GPUs that a process may use. Empty for ranks that run on the CPU.",
    set_by="node.sh, the scheduler",
    read_by="torch",
)
SLURM_TMPDIR = _listed(
    "SLURM_TMPDIR", "A job's folder on its node's own disk.", set_by="the site", read_by="site probe --run"
)
SLURM_JOBTMP = _listed(
    "SLURM_JOBTMP", "A job's folder on its node's own disk.", set_by="the site", read_by="site probe --run"
)
LOCAL_SCRATCH = _listed(
    "LOCAL_SCRATCH", "A job's folder on its node's own disk.", set_by="the site", read_by="site probe --run"
)
LSCRATCH = _listed(
    "LSCRATCH", "A job's folder on its node's own disk.", set_by="the site", read_by="site probe --run"
)
ROCR_VISIBLE_DEVICES = _listed(
    "ROCR_VISIBLE_DEVICES",
    "AMD GPUs that a process may use; HIP_VISIBLE_DEVICES chooses from these.",
    set_by="the scheduler",
    read_by="agent, ROCm",
)
HIP_VISIBLE_DEVICES = _listed(
    "HIP_VISIBLE_DEVICES",
    "AMD GPUs that a process may use. Empty for ranks that run on the CPU of a site with cluster.gpu_vendor=amd.",
    set_by="node.sh, the scheduler",
    read_by="agent, torch",
)
TRANSFORMERS_VERBOSITY = _listed(
    "TRANSFORMERS_VERBOSITY",
    "error: no warnings of transformers in the output of a launch's helper process.",
    set_by="launch",
    read_by="transformers",
)
ALLOCATOR = _listed(
    "PYTORCH_ALLOC_CONF",
    "Settings of torch's allocator: segments that grow (cluster.expandable_segments), unless the site sets others.",
    set_by="node.sh, or the site",
    read_by="torch",
)
OLDER_ALLOCATOR = _listed(
    "PYTORCH_CUDA_ALLOC_CONF",
    "The older name of PYTORCH_ALLOC_CONF, which torch reads if that is not set.",
    set_by="the site",
    read_by="torch, launch",
)
PYTHONUNBUFFERED = _listed(
    "PYTHONUNBUFFERED", "1: the ranks' output is in their log at once.", set_by="node.sh", read_by="Python"
)
PYTHONUTF8 = _listed(
    "PYTHONUTF8",
    "1: files and names of files are UTF-8. Set where the locale has another encoding.",
    set_by="launch, supervisor, agent",
    read_by="Python",
)
PYTHONWARNINGS = _listed(
    "PYTHONWARNINGS",
    "ignore: no warnings of libraries in the output of a launch's helper process.",
    set_by="launch",
    read_by="Python",
)
LC_ALL = _listed(
    "LC_ALL",
    "C: messages of tar in English, while the code of a run is kept.",
    set_by="launch",
    read_by="tar",
)
COMP_LINE = _listed(
    "COMP_LINE",
    "What has been typed so far, when the Tab key completes a command.",
    set_by="bash, launcher",
    read_by="launcher, Hydra",
)
