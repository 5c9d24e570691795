"""How many clips may be read ahead."""

from __future__ import annotations

import psutil

from engine.memory.host import HostRoom, ReadAhead, host_room

GIB = 1 << 30


def test_the_room_is_that_of_this_machine() -> None:
    room = host_room()
    assert 0 < room.available <= room.total <= psutil.virtual_memory().total


def test_a_reserve_is_left_free_but_never_more_than_a_quarter() -> None:
    room = HostRoom(5 * GIB, 16 * GIB)
    assert room.beside(2 * GIB) == 3 * GIB
    assert room.beside(12 * GIB) == 1 * GIB
    assert HostRoom(GIB, 16 * GIB).beside(4 * GIB) == 0


def test_clips_that_are_being_read_are_counted_until_they_are_there() -> None:
    free = [5 * GIB]
    ahead = ReadAhead(2 * GIB, look=lambda: HostRoom(free[0], 16 * GIB))
    assert ahead.allows(3 * GIB)
    assert not ahead.allows(3 * GIB + 1)
    ahead.begin(2 * GIB)
    assert ahead.allows(GIB)
    assert not ahead.allows(GIB + 1)
    # It is read: now the system says that its memory is taken.
    ahead.end(2 * GIB)
    free[0] = 3 * GIB
    assert ahead.allows(GIB)
    assert not ahead.allows(GIB + 1)
    assert ahead.reason() == "3.0 of 16.0 GiB of the machine's memory is free"


def test_what_needs_nothing_is_always_allowed() -> None:
    assert ReadAhead(GIB, look=lambda: HostRoom(0, 16 * GIB)).allows(0)
