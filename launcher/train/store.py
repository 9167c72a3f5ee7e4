"""The store at which the ranks meet, on the socket that the agent of the first node has bound."""

import os

import torch.distributed as dist

from launcher import environment


def serve_store() -> dist.TCPStore | None:
    """The store, served on the inherited socket, if this is rank 0 and an agent has started it; None otherwise.

    With TORCHELASTIC_USE_AGENT_STORE, torch's env:// rendezvous makes every rank a client of it, as under torchrun
    (torch/distributed/rendezvous.py, _create_c10d_store). The agent sets it for all ranks or none.
    """
    descriptor = os.environ.pop(environment.STORE_FD, None)
    if descriptor is None:
        return None
    return dist.TCPStore(
        host_name=os.environ[environment.MASTER_ADDR],
        port=int(os.environ[environment.MASTER_PORT]),
        world_size=int(os.environ[environment.WORLD_SIZE]),
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=int(descriptor),
        use_libuv=True,
    )
