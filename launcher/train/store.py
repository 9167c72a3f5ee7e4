"""The store at which the ranks meet, on the socket that the node's starter bound."""

import os

import torch.distributed as dist


def serve_store() -> dist.TCPStore | None:
    """On rank 0 under our starter, the store served on the inherited socket; None elsewhere.

    With TORCHELASTIC_USE_AGENT_STORE, torch's env:// rendezvous makes every rank a client of it, as under torchrun
    (torch/distributed/rendezvous.py, _create_c10d_store). The agent sets it for all ranks or none.
    """
    descriptor = os.environ.pop("LAUNCHER_STORE_FD", None)
    if descriptor is None:
        return None
    return dist.TCPStore(
        host_name=os.environ["MASTER_ADDR"],
        port=int(os.environ["MASTER_PORT"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=int(descriptor),
        use_libuv=True,
    )
