"""Packing documents into training rows: best fit, longest first, which leaves little padding."""

import random
from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int, seed: int) -> list[list[int]]:
    """Rows as lists of document numbers, whose lengths add up to at most `capacity`; a longer document has its own row.

    Every document is put into the row in which it leaves the least room. Documents of the same length are shuffled by the seed.
    The order of rows has no meaning, because training shuffles them.
    Source: Johnson et al., Worst-case performance bounds for one-dimensional packing (SIAM J. Comput. 3, 1974): best fit
    decreasing needs at most 11/9 of the fewest rows.
    """
    order = list(range(len(lengths)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda document: -lengths[document])
    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}  # room -> rows with exactly this room
    rooms: list[int] = []  # the keys, ascending
    for document in order:
        length = lengths[document]
        at = bisect_left(rooms, length)
        if at == len(rooms):
            row, room = len(rows), capacity
            rows.append([])
        else:
            room = rooms[at]
            row = open_rows[room].pop()
            if not open_rows[room]:
                del open_rows[room], rooms[at]
        rows[row].append(document)
        left = room - length
        if left > 0:
            if left not in open_rows:
                open_rows[left] = []
                insort(rooms, left)
            open_rows[left].append(row)
    return rows
