"""trl 1.16: its client of a vLLM server, for a server that can end and come back, and for ranks on a CPU.

Symptoms: a request to a server that has just ended is tried for a minute (the retries of the session), and then ends the rank.
A dead server in a broadcast of weights leaves the other ranks in the collectives that gather the parameters. Requests go
through the proxy of a site (http_proxy). Without vLLM's package the client cannot be made, although only its NCCL engine needs
it, and `init_communicator` refuses a CPU. From a CPU this client sends the weights over a gloo group of its own, one tensor
after the other, with the same requests. vLLM cannot receive them so; another server must be written for it.
"""

import datetime
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import torch
import torch.distributed as dist
from requests.adapters import HTTPAdapter
from trl.generation import vllm_client

from launcher import environment
from launcher.ports import choose_port
from launcher.train.upstream.torch_gloo_group import join_by_gloo

_ROUND_S = 600
"""Timeout of a tensor's broadcast by gloo."""
GLOO = "gloo"
"""The value of `backend` in the requests for a group over which a CPU rank sends weights."""


class ServerGone(Exception):
    """The server has ended, and another one can take its place."""


class SteadyClient(vllm_client.VLLMClient):
    """trl's client, which reports a server that has ended as ServerGone."""

    def __init__(self, url: str, ports: tuple[int, int] | None, device: Any) -> None:
        host = url.rpartition(":")[0].rpartition("/")[2].strip("[]")
        _without_proxy(host)
        own = os.environ.get(environment.MASTER_ADDR, "127.0.0.1")
        self._device, self._own = torch.device(device), own
        available = vllm_client.is_vllm_available
        if self._device.type == "cpu":
            vllm_client.is_vllm_available = lambda min_version=None: min_version is None
        else:
            os.environ[environment.VLLM_HOST_IP] = (
                own  # the address of rank 0's node, at which the nodes of the job reach it
            )
        try:
            super().__init__(base_url=url, group_port=choose_port(ports))
        except (requests.exceptions.RequestException, ConnectionError) as error:
            raise ServerGone(str(error)) from error
        finally:
            vllm_client.is_vllm_available = available
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=0, pool_maxsize=64))

    def _post(self, url: str, **options: Any) -> Any:
        try:
            return super()._post(url, **options)
        except requests.exceptions.RequestException as error:
            raise ServerGone(str(error)) from error

    def init_communicator(self, device: Any = 0) -> None:
        """Makes the group in which rank 0 sends weights."""
        try:
            if self._device.type != "cpu":
                super().init_communicator(device)
                return
            self._join_by_gloo()
        except requests.exceptions.RequestException as error:
            raise ServerGone(str(error)) from error

    def update_named_params(self, metadata: Any, named_params: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Sends all weights. The parameters are all read, whatever happens, since the other ranks take part in that."""
        try:
            if self._device.type != "cpu":
                super().update_named_params(metadata, named_params)
            else:
                self._send_by_gloo(metadata, named_params)
        finally:
            for _ in named_params:
                pass

    def reset_prefix_cache(self) -> None:
        """Tells the server that its cache belongs to other weights."""
        try:
            super().reset_prefix_cache()
        except requests.exceptions.RequestException as error:
            raise ServerGone(str(error)) from error

    def close_communicator(self) -> None:
        """Leaves the group."""
        if self._device.type == "cpu":
            self.communicator = None
        else:
            super().close_communicator()

    def _join_by_gloo(self) -> None:
        size = self.get_world_size() + 1
        where = {
            "master_address": self._own,
            "master_port": self.group_port,
            "rank_offset": 1,
            "world_size": size,
        }
        timeout = datetime.timedelta(seconds=_ROUND_S)
        store = dist.TCPStore(
            "0.0.0.0", self.group_port, size, is_master=True, wait_for_workers=False, timeout=timeout
        )
        with ThreadPoolExecutor(max_workers=1) as executor:
            request = executor.submit(
                self._post,
                f"{self.base_url}/init_weight_transfer_engine",
                json={"init_info": {**where, "backend": GLOO}},
            )
            try:
                self.communicator = join_by_gloo(store, 0, size, self._own, timeout)
            except RuntimeError as error:
                raise ServerGone(str(error)) from error
            request.result()

    def _send_by_gloo(self, metadata: Any, named_params: Iterator[tuple[str, torch.Tensor]]) -> None:
        names, dtypes, shapes = (list(field) for field in zip(*metadata, strict=True))
        info = {"names": names, "dtype_names": dtypes, "shapes": shapes, "packed": False}
        self._post(f"{self.base_url}/start_weight_update", json={})
        with ThreadPoolExecutor(max_workers=1) as executor:
            request = executor.submit(
                self._post, f"{self.base_url}/update_weights", json={"update_info": info}
            )
            try:
                for _, tensor in named_params:
                    self.communicator.broadcast(
                        [tensor.detach().contiguous()], dist.BroadcastOptions()
                    ).wait()
            except RuntimeError as error:
                raise ServerGone(str(error)) from error
            request.result()
        self._post(f"{self.base_url}/finish_weight_update", json={})


def _without_proxy(host: str) -> None:
    for name in (environment.NO_PROXY, environment.NO_PROXY.lower()):
        known = [one for one in os.environ.get(name, "").split(",") if one]
        if host not in known:
            os.environ[name] = ",".join([*known, host])
