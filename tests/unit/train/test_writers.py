"""Which rank writes what of the state that every rank holds."""

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from launcher.train.checkpoint.shards import Shard, Snapshot


def written(sizes: list[int], rank: int, ranks: int) -> list[str]:
    shards = [
        Shard(name=f"p{at}", shape=[size], start=0, weight=torch.zeros(size), whole=True)
        for at, size in enumerate(sizes)
    ]
    snapshot = Snapshot()
    snapshot.take(shards, rank, ranks)
    assert snapshot.whole == (
        [name.partition("/")[2] for name in (piece.name for piece in snapshot.pieces)] if ranks > 1 else []
    )
    return [piece.name for piece in snapshot.pieces]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 6))
def test_each_parameter_has_one_writer_and_no_rank_has_much_more_than_another(sizes: list[int], ranks: int):
    every = [written(sizes, rank, ranks) for rank in range(ranks)]
    assert Counter(name for names in every for name in names) == {
        f"weight/p{at}": 1 for at in range(len(sizes))
    }
    loads = [sum(sizes[int(name.partition("p")[2])] for name in names) for names in every]
    assert max(loads) - min(loads) <= max(sizes)
