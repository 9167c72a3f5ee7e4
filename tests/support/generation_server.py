"""A small generation server that speaks the protocol of trl's client on CPUs: python -m tests.support.generation_server.

It serves a model of transformers, and gets the weights from rank 0 over gloo (launcher/train/upstream/trl_server_client.py).
Answers to a request depend on its seed, the prompt and the weights alone. `--slow` makes each request take longer.
"""

import argparse
import datetime
import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
import torch.distributed as dist

from launcher.train.upstream.torch_gloo_group import join_by_gloo

_TIMEOUT = datetime.timedelta(seconds=300)


class Server:
    """The model, and the group over which its weights come."""

    def __init__(self, model: str, host: str, slow_s: float) -> None:
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self.parameters = dict(self.model.named_parameters())
        self.host, self.slow_s = host, slow_s
        self.lock = threading.Lock()
        self.group: Any = None
        self.updates = 0

    def get(self, path: str) -> Any:
        """The answer to a GET; None for an unknown path."""
        return {
            "/health": {},
            "/v1/models": {"data": [{"id": "tiny"}]},
            "/get_world_size": {"world_size": 1},
            "/server_info": {
                "vllm_config": {
                    "weight_transfer_config": {"backend": "gloo"},
                    "model_config": {"logprobs_mode": "processed_logprobs"},
                }
            },
        }.get(path.partition("?")[0])

    def post(self, path: str, asked: dict[str, Any]) -> Any:
        """The answer to a POST; None for an unknown path."""
        if path == "/init_weight_transfer_engine":
            return self._join(asked["init_info"])
        if path == "/update_weights":
            return self._receive(asked["update_info"])
        if path == "/v1/completions":
            with self.lock:
                return self._complete(asked)
        return (
            {} if path in ("/start_weight_update", "/finish_weight_update", "/reset_prefix_cache") else None
        )

    def _join(self, info: dict[str, Any]) -> dict[str, Any]:
        assert info["backend"] == "gloo", info
        size, rank = info["world_size"], info["rank_offset"]
        stores: Any = dist
        store = stores.TCPStore(
            info["master_address"], info["master_port"], size, is_master=False, timeout=_TIMEOUT
        )
        self.group = join_by_gloo(store, rank, size, self.host, _TIMEOUT)
        return {}

    def _receive(self, info: dict[str, Any]) -> dict[str, Any]:
        assert sorted(info["names"]) == sorted(self.parameters), "not the weights of this model"
        new: dict[str, torch.Tensor] = {}
        for name, dtype, shape in zip(info["names"], info["dtype_names"], info["shapes"], strict=True):
            new[name] = torch.empty(shape, dtype=getattr(torch, dtype))
            self.group.broadcast([new[name]], dist.BroadcastOptions()).wait()
        with self.lock, torch.no_grad():
            for name, tensor in new.items():
                self.parameters[name].copy_(tensor)
        self.updates += 1
        print(f"weights {self.updates}", flush=True)
        return {}

    def _complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.slow_s)
        print(f"completions {self.updates}", flush=True)
        return {"choices": [choice for prompt in asked["prompt"] for choice in self._answers(prompt, asked)]}

    @torch.inference_mode()
    def _answers(self, prompt: list[int], asked: dict[str, Any]) -> list[dict[str, Any]]:
        rows, end = asked["n"], self.model.config.eos_token_id
        ends: set[int] = {end} if isinstance(end, int) else set(end or ())
        generator = torch.Generator().manual_seed(asked["seed"] ^ zlib.crc32(bytes(str(prompt), "ascii")))
        tokens = torch.tensor([prompt] * rows)
        scores: list[torch.Tensor] = []
        cache, new = None, tokens
        for _ in range(asked["max_tokens"]):
            found = self.model(input_ids=new, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            logs = torch.log_softmax(found.logits[:, -1].float() / asked["temperature"], -1)
            new = torch.multinomial(logs.exp(), 1, generator=generator)
            tokens, scores = torch.cat([tokens, new], 1), [*scores, logs.gather(1, new)]
        said, known = tokens[:, len(prompt) :].tolist(), torch.cat(scores, 1).tolist()
        return [_choice(prompt, _until(ends, ids), logs) for ids, logs in zip(said, known, strict=True)]


def _until(ends: set[int], ids: list[int]) -> list[int]:
    at = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: at + 1]


def _choice(prompt: list[int], ids: list[int], logs: list[float]) -> dict[str, Any]:
    names = [f"token_id:{token}" for token in ids]
    logs = logs[: len(ids)]
    tops = [{name: value} for name, value in zip(names, logs, strict=True)]
    return {
        "prompt_token_ids": prompt, "token_ids": ids,
        "logprobs": {"tokens": names, "token_logprobs": logs, "top_logprobs": tops},
    }  # fmt: skip


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--slow", type=float, default=0.0)
    typed = parser.parse_args()
    server = Server(typed.model, typed.host, typed.slow)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(server.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(server.post(self.path, json.loads(body or b"{}")))

        def _answer(self, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(404 if value is None else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    print(f"serving at {typed.host}:{typed.port}", flush=True)
    ThreadingHTTPServer((typed.host, typed.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
