"""The command that starts a server which generates, and its environment variables."""

from launcher import environment
from launcher.config import Config, GenerationConfig, Init
from launcher.config.spelling import one_line
from launcher.errors import PlanError
from launcher.plan.facts import Facts
from launcher.protocol.places import HOST, PORT

_MODEL = "{model}"
REVISION = "{revision}"
"""Placeholder for the model's commit, which is known once the model is fetched."""
_ENGINE = "vllm"
_OF_VLLM = (
    "--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1",
)  # fmt: skip
"""Options that trl 1.16 demands of the server (trl/scripts/vllm_serve.py, build_command)."""
ON_SERVER = 0.9
"""Share of a GPU's memory that vLLM takes by default."""


def server_command(config: Config, facts: Facts, gpus: int, size: int, python: str) -> tuple[str, ...]:
    """The words of generation.command, or of the engine's own command, for `gpus` GPUs of which `size` share one copy of the
    model. PlanError for a command that the ranks could not find or that cannot work."""
    wanted, model = config.generation, config.model
    words = [*wanted.command]
    if wanted.args and words:
        raise PlanError(
            f"generation.args={[*wanted.args]} is added only to the engine's own command, which generation.command replaces; "
            "add these words to generation.command, and take generation.args out"
        )
    if not words:
        words = _of_engine(config, facts, gpus, size, python)
    if any(_MODEL in word for word in words) and _is_made(config):
        what = (
            f"model.adapter={model.adapter}" if model.adapter else f"model.name_or_path={model.name_or_path}"
        )
        raise PlanError(
            f"{what}: the ranks build this model themselves, and a server cannot load it; use a model of the hub or in a "
            "folder, or generation.mode=none"
        )
    values = {
        _MODEL: model.name_or_path,  # a relative folder is found, because the server starts where the command was typed
        "{tensor_parallel_size}": str(size),
        "{max_length}": str(model.max_length),
    }
    found: list[str] = []
    for word in words:
        for place, value in values.items():
            word = word.replace(place, value)
        found.append(one_line("generation.command", word))
    if not any(PORT in word for word in found):
        raise PlanError(
            "generation.command has no {port}, the port at which the ranks look for the server; add it, such as --port {port}"
        )
    return tuple(found)


def _of_engine(config: Config, facts: Facts, gpus: int, size: int, python: str) -> list[str]:
    """The command of the engine. Source: trl 1.16, trl/scripts/vllm_serve.py (build_command); vLLM's `vllm serve --help`."""
    wanted, model = config.generation, config.model
    if wanted.engine != _ENGINE:
        raise PlanError(
            f"generation.engine={wanted.engine}: only the command of {_ENGINE} is known; set generation.command for another one"
        )
    if facts.device != "cuda":
        raise PlanError(
            "generation.mode=server with generation.engine=vllm needs GPUs, because trl 1.16 sends weights to vLLM by NCCL; "
            "set generation.command to a server that takes them by gloo, or use generation.mode=none"
        )
    copies, shape = gpus // size, facts.architecture
    if copies > 1 and not (shape and shape.num_experts):
        raise PlanError(
            f"generation.gpus_per_node={gpus} with generation.tensor_parallel_size={size} would be "
            f"{copies} copies of the model in one server, which trl 1.16 supports only for mixtures of experts; use "
            f"generation.tensor_parallel_size={gpus}, or generation.gpus_per_node={size}"
        )
    return [
        python, "-m", "vllm.entrypoints.cli.main", "serve", _MODEL, "--revision", REVISION, "--host", HOST, "--port", PORT,
        "--tensor-parallel-size", "{tensor_parallel_size}", "--data-parallel-size", str(copies),
        "--gpu-memory-utilization", f"{wanted.gpu_memory_utilization or ON_SERVER:g}", "--dtype", "bfloat16",
        "--max-model-len", "{max_length}", *_OF_VLLM,
        *(["--trust-remote-code"] if model.trust_remote_code else []), *wanted.args,
    ]  # fmt: skip


def _is_made(config: Config) -> bool:
    model = config.model
    return model.init is Init.random or model.name_or_path.startswith("package:") or model.adapter is not None


def server_environment(wanted: GenerationConfig) -> dict[str, str]:
    """The server's own variables: trl's client needs vLLM's development endpoints, which take weights."""
    return {environment.VLLM_DEV_MODE: "1", **wanted.env} if wanted.engine == _ENGINE else dict(wanted.env)
