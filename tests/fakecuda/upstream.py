"""What torch, trl and transformers need to work on FakeTensors of a device that has no kernels: each patch with its reason.

Nothing of launcher/ is changed.
"""

import functools
import importlib
import types
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes

_KEPT: list[Any] = []
"""What torch forgets as soon as nobody holds it."""
CALLED: list[dict[str, Any]] = []
"""Process groups and collectives: what was asked of torch.distributed, in order."""


def prepare(world_size: int) -> None:
    """Patches this process for a rank of that many."""
    _fused_head()
    _fused_silu()
    _tensors()
    _optimizer()
    _groups(world_size)
    _ddp()
    _meshes()
    _deepspeed()
    _generation()


def _fused_head() -> None:
    """trl's fused head as on a GPU: its Triton kernels, which write in place and allocate nothing, do nothing."""
    import trl.kernels.chunked_logprob as head

    class Kernel:
        def __getitem__(self, grid: Any) -> Callable[..., None]:
            return lambda *arguments, **options: None

    head._TRITON_AVAILABLE = True
    head._forward_kernel = head._backward_kernel = Kernel()
    head.triton = types.SimpleNamespace(cdiv=lambda count, size: -(-count // size))


def _tensors() -> None:
    """FakeTensors that move between devices within a module, and have addresses."""
    import transformers.utils.import_utils as imports

    FakeTensorMode.avoid_device_init = property(lambda self: True)
    FakeTensor.data_ptr = lambda self: (
        self.untyped_storage()._cdata + self.storage_offset() * self.element_size()
    )
    torch.nn.Module._apply = _apply
    torch.Tensor.record_stream = lambda self, stream: None
    imports.is_fake_tensor = lambda tensor: False  # transformers would take a path for export


def _fused_silu() -> None:
    """silu's backward pass, one kernel on a GPU; for a FakeTensor torch would compute it in five steps with a tensor each."""
    library = torch.library.Library("aten", "IMPL")
    for key in ("AutogradCUDA", "CUDA"):
        library.impl("silu_backward", lambda gradient, value: torch.empty_like(value), key)
    _KEPT.append(library)


def _apply(self: Any, fn: Any, recurse: bool = True) -> Any:
    """torch.nn.Module._apply for FakeTensors, which cannot take data of another device: a parameter keeps its identity, which
    optimizers and ties need, and gets the tensor below of its new value."""
    for module in self.children():
        _apply(module, fn)
    for name, parameter in self._parameters.items():
        if parameter is None:
            continue
        with torch.no_grad():
            moved = fn(parameter)
        if moved.device == parameter.device and moved.dtype == parameter.dtype:
            continue
        if type(moved) is not type(parameter) or type(moved) is not FakeTensor:
            self._parameters[name] = torch.nn.Parameter(moved, parameter.requires_grad)
            continue
        new = torch.nn.Parameter(moved, parameter.requires_grad)
        torch._C._swap_tensor_impl(parameter, new)
        parameter.__dict__, new.__dict__ = new.__dict__, parameter.__dict__
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self


def _optimizer() -> None:
    """foreach kernels, which torch takes on a GPU: it asks for the type of the tensors, which are fake."""
    adam: Any = importlib.import_module("torch.optim.adam")
    clip: Any = importlib.import_module("torch.nn.utils.clip_grad")
    adam._default_to_fused_or_foreach = lambda params, differentiable, use_fused=False: (False, True)
    clip._has_foreach_support = lambda tensors, device: True


def _groups(world_size: int) -> None:
    """Process groups of torch's fake backend, in which every collective is done at once and every rank has the same objects.
    What was asked for is kept."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    importlib.import_module("torch.distributed._tools.fake_collectives")
    init, new_group = dist.init_process_group, dist.new_group

    def init_process_group(backend: str | None = None, **options: Any) -> None:
        CALLED.append({"call": "init_process_group", "backend": backend})
        init("fake", rank=0, world_size=world_size, store=FakeStore())

    def make_group(*arguments: Any, **options: Any) -> Any:
        CALLED.append({"call": "new_group", "backend": options.get("backend")})
        kept = {key: value for key, value in options.items() if key not in ("backend", "timeout")}
        return new_group(*arguments, **kept, backend="fake")

    def all_gather_object(objects: list[Any], one: Any, group: Any = None) -> None:
        objects[:] = [one] * len(objects)

    for module in (dist, dist.distributed_c10d):
        module.init_process_group, module.new_group = init_process_group, make_group
        module.all_gather_object = all_gather_object


def _ddp() -> None:
    """DistributedDataParallel without its checks across ranks, its logger, and the rebuilding of buckets, which read values;
    its buckets are reduced at once."""
    ddp: Any = importlib.import_module("torch.nn.parallel.distributed")
    ddp._verify_param_shape_across_processes = lambda *arguments, **options: None
    ddp._sync_module_states = lambda *arguments, **options: None

    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments, **options: None

    class Reducer:
        def __init__(self, reducer: Any) -> None:
            self._reducer = reducer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reducer, name)

        def _rebuild_buckets(self) -> bool:
            return False

    class Parallel(torch.nn.parallel.DistributedDataParallel):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.register_comm_hook(None, _done)
            self.logger = Silent()
            self.reducer = Reducer(self.reducer)

    torch.nn.parallel.DistributedDataParallel = ddp.DistributedDataParallel = Parallel


def _done(state, bucket):  # pyright: ignore  # DDP allows only its own classes as annotations
    future: Any = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def _generation() -> None:
    """Generation to the longest answer, since no token is known to be the last, and tokens that are read as 0."""
    import transformers

    sample = transformers.GenerationMixin._sample

    def counted(self: Any, input_ids: Any, *arguments: Any, **options: Any) -> Any:
        self.tokens_left = options["generation_config"].max_length - input_ids.shape[1]
        return sample(self, input_ids, *arguments, **options)

    def unfinished(self: Any, finished: bool, synced_gpus: bool, device: Any) -> bool:
        self.tokens_left -= 1
        return self.tokens_left >= 0

    def zeros(shape: Any) -> Any:
        return [zeros(shape[1:]) for _ in range(shape[0])] if len(shape) else 0

    transformers.GenerationMixin._sample = counted
    transformers.GenerationMixin._has_unfinished_sequences = unfinished
    FakeTensor.tolist = lambda self: zeros(tuple(self.shape))


def _meshes() -> None:
    """Device meshes are made of real tensors of ranks."""
    meshes: Any = importlib.import_module("torch.distributed.device_mesh")

    def outside(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            with _disable_current_modes():
                return function(*arguments, **options)

        return call

    for name in ("_fully_shard", "_fsdp_init"):
        module: Any = importlib.import_module(f"torch.distributed.fsdp._fully_shard.{name}")
        if hasattr(module, "_init_default_mesh"):
            module._init_default_mesh = outside(module._init_default_mesh)
    meshes.init_device_mesh = outside(meshes.init_device_mesh)
    dist.init_device_mesh = meshes.init_device_mesh


def _deepspeed() -> None:
    """DeepSpeed, to which every gradient is finite and every rank has the same modules."""
    first: Any = importlib.import_module("deepspeed.runtime.zero.stage_1_and_2")
    third: Any = importlib.import_module("deepspeed.runtime.zero.stage3")

    def finite(has_overflow: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> bool:
            has_overflow(*arguments, **options)
            return False

        return call

    for module, name in ((first, "DeepSpeedZeroOptimizer"), (third, "DeepSpeedZeroOptimizer_Stage3")):
        module.is_invalid_grad_norm = lambda norm: False
        optimizer = getattr(module, name)
        optimizer.has_overflow = finite(optimizer.has_overflow)
    for name in ("stage3", "partition_parameters", "partitioned_param_coordinator"):
        module = importlib.import_module(f"deepspeed.runtime.zero.{name}")
        module.assert_ints_same_as_other_ranks = lambda ints: None


def random_models(sharded: bool) -> None:
    """transformers' from_pretrained makes a model of the folder's configuration; there are no weights to read.

    `sharded`: whether the model goes to the GPU at once; fully_shard would move it there tensor by tensor, in place.
    """
    import transformers

    def from_pretrained(auto: Any, where: str, **options: Any) -> Any:
        config = transformers.AutoConfig.from_pretrained(where)
        config.num_labels = options.get("num_labels", 2)
        before = torch.get_default_dtype()
        torch.set_default_dtype(options["dtype"])
        try:
            model = auto.from_config(
                config, dtype=options["dtype"], attn_implementation=options.get("attn_implementation", "sdpa")
            )
        finally:
            torch.set_default_dtype(before)
        return model.to("cuda") if sharded else model

    for auto in (transformers.AutoModelForCausalLM, transformers.AutoModelForSequenceClassification):
        auto.from_pretrained = functools.partial(from_pretrained, auto)
