"""The kinds of GPU that a plan knows, and which one a cluster has."""

from dataclasses import dataclass, replace

from launcher.config import ClusterConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What one GPU computes, reads and sends."""

    name: str
    """The text by which it is recognised: a part of the device's name, and in lower case of Slurm's name for the GPU."""
    tflops: float
    """Dense 16-bit TFLOP/s by the data sheet."""
    memory_gb_s: float
    """GB/s of its own memory by the data sheet."""
    link_gb_s: float
    """GB/s that it sends to others of its node in a ring, as training reaches it."""
    matrix_share: float
    """Share of tflops that products of matrices reach."""
    attention_share: float
    """Share of tflops that causal attention reaches, of the half of the products that are not masked."""
    multiprocessors: int = 108
    """Streaming multiprocessors, by the data sheet."""
    fitted: bool = False
    """Whether its shares and its link are fitted to published rows; otherwise they are assumed."""


_A100, _H100 = (0.898, 0.317), (0.766, 0.182)
"""Shares of matrices and attention, fitted to 209 published rows (tests/benchmarks/published_time.py): MPT of 125M to 70B, 512
to 65,536 tokens, 8 to 512 GPUs. The rows are of these two; another GPU gets the shares of the nearer one."""


def _gpu(
    name: str,
    tflops: float,
    memory: float,
    link: float,
    multiprocessors: int,
    shares: tuple[float, float],
    fitted: bool = False,
) -> Gpu:
    return Gpu(
        name=name, tflops=tflops, memory_gb_s=memory, link_gb_s=link, matrix_share=shares[0], attention_share=shares[1],
        multiprocessors=multiprocessors, fitted=fitted,
    )  # fmt: skip


# TFLOP/s, GB/s of memory and multiprocessors by NVIDIA's data sheets.
GPUS = (
    _gpu("GH200", 989, 4000, 312, 132, _H100),
    _gpu("B200", 2250, 8000, 624, 148, _H100),
    _gpu("H200", 989, 4800, 312, 132, _H100),
    _gpu("H100 PCIe", 756, 2000, 20, 114, _H100),
    _gpu("H100", 989, 3350, 312, 132, _H100, fitted=True),
    _gpu("A100", 312, 2039, 208, 108, _A100, fitted=True),
    _gpu("L40S", 362, 864, 20, 142, _A100),
    _gpu("4090", 165, 1008, 10, 128, _A100),
    _gpu("A6000", 155, 768, 20, 84, _A100),
    _gpu("A10", 125, 600, 10, 72, _A100),
    _gpu("L4", 121, 300, 10, 58, _A100),
    _gpu("V100", 125, 900, 100, 80, _A100),
    _gpu("T4", 65, 320, 10, 40, _A100),
)
"""The order counts: a device is the first of these whose name is part of the device's name."""
DEFAULT = next(one for one in GPUS if one.name == "A100")
_SMALL_A100_GIB, _SMALL_A100_GB_S = 41.0, 1555.0
"""An A100 with at most this many GiB is the one of 40 GB, and this is the speed of its memory, slower than that of 80 GB."""
_NEAR = 0.03
"""Relative difference up to which two values of TFLOP/s are of the same GPU, since data sheets and people round."""


def find_gpu(device_name: str) -> Gpu | None:
    """The kind of a device, by the name that its driver gives it or Slurm has for it; None if it is not known."""
    name = device_name.lower()
    return next((one for one in GPUS if one.name.lower() in name), None)


def gpu_of(cluster: ClusterConfig) -> Gpu:
    """The GPU of a cluster, by cluster.gpu_type, else by cluster.gpu_tflops, else an A100; values that the cluster sets replace
    those of its kind. A GPU that is not known by either is taken as an A100 that is faster or slower as a whole.
    """
    peak = cluster.gpu_tflops
    gpu = find_gpu(cluster.gpu_type or "") or next(
        (one for one in _by_likelihood() if peak and abs(one.tflops / peak - 1) <= _NEAR), None
    )
    if gpu is None and peak:
        speed = DEFAULT.memory_gb_s * peak / DEFAULT.tflops
        gpu = replace(DEFAULT, name=f"GPU of {peak:g} TFLOP/s", memory_gb_s=speed, fitted=False)
    gpu = gpu or DEFAULT
    if gpu.name == DEFAULT.name and (cluster.gpu_memory_gib or 80) <= _SMALL_A100_GIB:
        gpu = replace(gpu, memory_gb_s=_SMALL_A100_GB_S)
    return replace(
        gpu,
        tflops=peak or gpu.tflops,
        memory_gb_s=cluster.gpu_memory_gb_s or gpu.memory_gb_s,
        link_gb_s=cluster.link_gb_s or gpu.link_gb_s,
    )


def _by_likelihood() -> list[Gpu]:
    """The known GPUs, those with fitted values first: an H100 and an H200 have the same peak."""
    return sorted(GPUS, key=lambda one: not one.fitted)
