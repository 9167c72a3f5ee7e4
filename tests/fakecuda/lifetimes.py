"""Follows the lifetime of every CUDA storage, and gives each a block of the caching allocator."""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from tests.fakecuda.allocator import MIB, CachingAllocator

aten = torch.ops.aten
_IN_ENGINE = 4


@dataclass(frozen=True)
class Held:
    """One storage that is alive."""

    size: int
    made_by: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    phase: str


class Lifetimes(TorchDispatchMode):
    """Counts what is alive on the device, operation by operation. `documents`: whether rows hold several documents, which
    transformers asks of a tensor's values."""

    def __init__(self, allocator: CachingAllocator, documents: bool = False) -> None:
        super().__init__()
        self.allocator, self.documents = allocator, documents
        self.phase = "load"
        self.peaks: dict[str, int] = {}
        """Most bytes that were allocated in each phase."""
        self.operations: Counter[str] = Counter()
        self.at_peak: list[Held] = []
        """What was alive at the peak."""
        self.after = ""
        """Part of an operation's name: `at_peak` is then of what follows its last call."""
        self._seen: Any = weakref.WeakKeyDictionary()
        self._alive: dict[int, Held] = {}
        self._noted = 0

    def begin(self, phase: str, afresh: bool = False) -> None:
        """Names what follows; `afresh` forgets the peak of what was before."""
        self.phase = phase
        if afresh:
            self.allocator.forget_peaks()
            self.allocator.trained_from = len(self.allocator.requests)
            self._noted, self.at_peak, self.peaks = 0, [], {}
        self._mark()

    def follow_resizes(self) -> None:
        """Follows UntypedStorage.resize_, with which FSDP2 takes and frees what it gathers."""
        resize = torch.UntypedStorage.resize_

        def resize_(storage: Any, size: int) -> Any:
            done = resize(storage, size)
            had = self._seen.get(storage)
            if had is not None:
                drop, held = had
                drop()
                self._seen[storage] = (lambda: None, held)
                if size:
                    self._take(storage, Held(size, held.made_by, held.shape, held.dtype, self.phase))
            return done

        storages: Any = torch.UntypedStorage
        storages.resize_ = resize_

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (known := self._known_value(func, args)) is not None:
            return known[0]
        if func is aten.add.Tensor and _accumulates(*args):
            return args[0]
        if func is aten.scatter_add.default and torch._C._current_graph_task_id() >= 0:
            return args[
                0
            ]  # gather's backward pass adds to its zeros in place, but not for subclasses of tensors
        if func is aten.randperm.generator:
            with _disable_current_modes():
                return torch.arange(args[0])  # rows are trained in the order of their file
        if func is torch.ops._c10d_functional.wait_tensor.default:
            return args[0]  # its FakeTensor would be a copy
        if func is aten._pin_memory.default:
            return args[0].clone()
        if func is aten.is_pinned.default:
            return True
        self.operations[str(func)] += 1
        if self.after and self.after in str(func):
            self._noted, self.at_peak = 0, []
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            self._note(tensor, str(func))
        blocks = [self.allocator.take(size) for size in _workspace(func, args)]
        self._mark()
        for block in blocks:
            self.allocator.give_back(block)
        return out

    def _known_value(self, func: Any, args: Any) -> tuple[Any] | None:
        """What depends on values, which a fake tensor has none of: scalars are 1, and every position of a mask is kept."""
        if func is aten._local_scalar_dense.default and type(args[0]) is not torch.Tensor:
            dtype = args[0].dtype
            return ((not self.documents) if dtype is torch.bool else 1.0 if dtype.is_floating_point else 1,)
        if func is aten.nonzero.default:
            return (args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.int64),)
        masks: Any = args[1] if func is aten.index.Tensor else ()
        if any(mask is not None and mask.dtype is torch.bool for mask in masks):
            values, mask = args[0], masks[0]
            count = values.shape[: mask.dim()].numel()
            positions = values.new_empty((mask.dim(), count), dtype=torch.int64)
            self._note(positions, "nonzero")
            out = values.new_empty((count, *values.shape[mask.dim() :]))
            self._note(out, str(func))
            return (out,)
        return None

    def _note(self, tensor: Any, made_by: str) -> None:
        tensor = getattr(tensor, "_local_tensor", tensor)
        if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cuda":
            return
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:
            return
        if storage in self._seen:
            return
        held = Held(storage.nbytes(), made_by, tuple(tensor.shape), tensor.dtype, self.phase)
        self._seen[storage] = (lambda: None, held)
        if held.size:
            self._take(storage, held)

    def _take(self, storage: Any, held: Held) -> None:
        block = self.allocator.take(held.size)
        self._alive[id(block)] = held

        def drop() -> None:
            self._alive.pop(id(block), None)
            self.allocator.give_back(block)

        self._seen[storage] = (_once(storage, drop), held)
        self._mark()

    def _mark(self) -> None:
        now = self.allocator.allocated
        self.peaks[self.phase] = max(now, self.peaks.get(self.phase, 0))
        if now > self._noted + 32 * MIB:
            self._noted, self.at_peak = now, list(self._alive.values())


def _once(storage: Any, drop: Callable[[], None]) -> Callable[[], Any]:
    """`drop`, called when the storage ends or by hand, whichever is first."""
    return weakref.finalize(storage, drop)


def _accumulates(first: Any, second: Any) -> bool:
    """Whether autograd's engine adds a second gradient to one that only it holds. It does so in place, but for subclasses such
    as FakeTensor it makes a new tensor, which no GPU would hold.

    Source: torch 2.13, autograd/input_buffer.cpp (can_accumulate_inplace). The engine's buffer, its Python object and the two
    references of this call make 4.
    """
    return (
        torch._C._current_graph_task_id() >= 0
        and not torch.is_grad_enabled()
        and isinstance(second, torch.Tensor)
        and (first.shape, first.dtype) == (second.shape, second.dtype)
        and first.is_contiguous()
        and first._use_count() == _IN_ENGINE
    )


def _workspace(func: Any, args: Any) -> list[int]:
    """Bytes that a CUDA kernel takes within itself, of those that take much.

    Flash attention's backward pass: the softmax sums, the accumulator of dq in fp32, and dk and dv of every query head.
    Source: torch 2.13, aten/native/transformers/cuda/flash_attn/flash_api.cpp (mha_bwd).
    """
    if func is not aten._scaled_dot_product_flash_attention_backward.default:
        return []
    query, key = args[1], args[2]
    batch, heads, length, dim = query.shape
    rows, columns = _up(length, 128), _up(dim, 32 if dim <= 128 else 64)
    sizes = [batch * heads * rows * 4, batch * rows * heads * columns * 4]
    if key.shape[1] != heads:
        sizes += [batch * key.shape[2] * heads * dim * 2] * 2
    return sizes


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
