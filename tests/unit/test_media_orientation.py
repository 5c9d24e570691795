import struct

import pytest

from engine.media.orientation import Turn, of_matrix, upright_size

ONE = 65536


@pytest.mark.parametrize(
    ("linear", "turn"),
    [
        ((1, 0, 0, 1), Turn(0, False)),
        ((0, 1, -1, 0), Turn(90, False)),
        ((-1, 0, 0, -1), Turn(180, False)),
        ((0, -1, 1, 0), Turn(270, False)),
        ((-1, 0, 0, 1), Turn(0, True)),
        ((1, 0, 0, -1), Turn(180, True)),
        ((0, 1, 1, 0), Turn(90, True)),
        ((0, -1, -1, 0), Turn(270, True)),
    ],
)
def test_each_of_the_eight_orientations(linear, turn):
    a, b, c, d = (ONE * value for value in linear)
    assert of_matrix(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)) == turn


def test_a_small_angle_goes_to_the_nearest_quarter_and_a_short_matrix_to_none():
    tilted = struct.pack("=9i", 65000, 8000, 0, -8000, 65000, 0, 0, 0, 1 << 30)
    assert of_matrix(tilted) == Turn(0, False)
    assert of_matrix(b"\0" * 35) == Turn(0, False)


def test_a_quarter_turn_swaps_the_sides():
    assert [upright_size(4, 3, turn) for turn in (0, 90, 180, 270)] == [
        (4, 3), (3, 4), (4, 3), (3, 4),
    ]  # fmt: skip
