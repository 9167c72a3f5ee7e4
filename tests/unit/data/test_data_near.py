"""Near duplicates: the fast methods are compared with an exhaustive comparison and with datasketch."""

import random
from array import array

import numpy as np
import pytest

from launcher.data.near import SHINGLE, THRESHOLD, exact_pairs, grams, sketch, sketched_pairs
from launcher.data.overlap import EvalHashes, EvalSet

Corpus = tuple[array, array]


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    """400 rows of words, half of them another row with some words changed."""
    draw = random.Random(3)
    made = [[draw.randrange(3000) for _ in range(draw.randint(20, 90))] for _ in range(200)]
    for row in made[:200]:
        changed = list(row)
        for _ in range(draw.choice((1, 2, 4, 12))):
            changed[draw.randrange(len(changed))] = draw.randrange(3000)
        made.append(changed)
    return made


@pytest.fixture(scope="module")
def corpus(rows: list[list[int]]) -> Corpus:
    words, ends = array("I"), array("Q")
    for row in rows:
        words.extend(row)
        ends.append(len(words))
    return words, ends


@pytest.fixture(scope="module")
def alike(rows: list[list[int]]) -> dict[tuple[int, int], float]:
    """Jaccard of every pair that has a shingle in common."""
    sets = [grams(row, SHINGLE) for row in rows]
    pairs = ((a, b) for a in range(len(rows)) for b in range(a))
    return {(a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs if sets[a] & sets[b]}


def test_comparing_sets_finds_every_pair_and_no_other(corpus, alike):
    expected = {pair for pair, share in alike.items() if share >= THRESHOLD}
    assert expected
    assert {(a, b) for a, b, _ in exact_pairs(*corpus, set())} == expected


def test_sketches_find_what_is_well_above_the_threshold_and_nothing_well_below(corpus, alike):
    pairs = {(a, b) for a, b, _ in sketched_pairs(*sketch(*corpus), np.zeros(len(corpus[1]), bool))}
    clear = {pair for pair, share in alike.items() if share >= 0.9}
    assert len(clear & pairs) >= 0.98 * len(clear)
    assert min(alike.get(pair, 0.0) for pair in pairs) > 0.6


def test_a_sketchs_estimate_is_near_the_true_share(corpus, alike):
    errors = [
        share - alike[a, b]
        for a, b, share in sketched_pairs(*sketch(*corpus), np.zeros(len(corpus[1]), bool))
    ]
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.07


def test_sketches_agree_with_datasketch(rows, corpus):
    datasketch = pytest.importorskip("datasketch")
    index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=128)
    theirs = set()
    minhashes = []
    for number, row in enumerate(rows):
        minhash = datasketch.MinHash(num_perm=128)
        minhash.update_batch([repr(gram).encode() for gram in grams(row, SHINGLE)])
        theirs |= {
            (number, other) for other in index.query(minhash) if minhash.jaccard(minhashes[other]) >= 0.85
        }
        index.insert(number, minhash)
        minhashes.append(minhash)
    ours = {(a, b) for a, b, _ in sketched_pairs(*sketch(*corpus), np.zeros(len(rows), bool))}
    assert len(theirs) >= 50
    assert len(theirs & ours) >= 0.95 * len(theirs)


def test_rows_to_leave_out_are_in_no_pair(corpus):
    skipped = np.zeros(len(corpus[1]), bool)
    skipped[200:] = True
    assert list(sketched_pairs(*sketch(*corpus), skipped)) == []
    assert list(exact_pairs(*corpus, set(range(200, 400)))) == []


def test_rows_of_fewer_words_than_a_shingle_are_compared_whole():
    words, ends = array("I", [1, 2, 1, 2, 1, 3]), array("Q", [2, 4, 6, 6])
    assert [pair[:2] for pair in exact_pairs(words, ends, set())] == [(1, 0)]
    assert [pair[:2] for pair in sketched_pairs(*sketch(words, ends), np.zeros(4, bool))] == [(1, 0)]


def test_overlap_by_hashes_is_overlap_by_sets(corpus, rows):
    words, ends = array("I"), array("Q")
    for row in [rows[5][:14], rows[7][2:12], [*rows[9], *rows[3]], rows[5][:14], [], [1]]:
        words.extend(row)
        ends.append(len(words))
    by_sets = EvalSet(words, ends).overlaps(*corpus)
    assert by_sets[0] == by_sets[3] == 5
    assert 1 not in by_sets
    assert EvalHashes(words, ends).overlaps(*corpus) == by_sets
