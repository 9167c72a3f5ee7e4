"""ddp: every rank holds the whole training state, and gradients are averaged. It is the fastest strategy if it fits."""

from typing import ClassVar

from launcher.strategies.base import Strategy


class Ddp(Strategy):
    """torch's DistributedDataParallel."""

    __slots__ = ()
    order: ClassVar[int | None] = 10


SPEC = Ddp(name="ddp", engine="ddp")
