"""torch's Muon on matrices that FSDP2 has sharded, with the patch and without it."""

import pytest

from tests.training.upstream.ranks import on_ranks

pytestmark = pytest.mark.train

CODE = """
import os, torch, torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from launcher.train.upstream.torch_muon_shards import ShardedMuon
dist.init_process_group("gloo")
def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 41, bias=False), nn.Linear(41, 24, bias=False))
alone, shared, begin = make(), make(), make()
fully_shard(shared)
first, second = (kind(one.parameters(), lr=1e-2) for kind, one in ((torch.optim.Muon, alone), (KIND, shared)))
half = slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4)
for step in range(2):
    torch.manual_seed(step)
    rows = torch.randn(8, 24)
    first.zero_grad(), second.zero_grad()
    alone(rows).square().mean().backward()
    shared(rows[half]).square().mean().backward()
    first.step(), second.step()
pairs = [(one, other.full_tensor(), old) for one, other, old in zip(*(one.parameters() for one in (alone, shared, begin)))]
print(max(float((other - one).norm() / (one - old).norm()) for one, other, old in pairs))
"""


def test_without_the_patch_two_ranks_update_a_matrix_in_another_way_than_one():
    assert min(float(one) for one in on_ranks(CODE.replace("KIND", "torch.optim.Muon"))) > 0.01


def test_with_the_patch_they_update_it_as_one_does():
    assert max(float(one) for one in on_ranks(CODE.replace("KIND", "ShardedMuon"))) < 1e-3
