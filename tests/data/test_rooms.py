"""Responses of rooms: their reverberation time, where the direct sound is, and what is heard of a signal in them."""

import numpy as np
import pytest

from mindaudio_ext.data import rooms
from mindaudio_ext.data.rooms import Response, Room, Rooms, draw_room, responses, reverberate, reverberation_time
from mindaudio_ext.errors import InputError

RATE = 8000
ROOM = Room(0.3, (6.0, 5.0, 3.0), (2.0, 2.0, 1.5), ((3.5, 2.0, 1.5), (2.0, 3.0, 1.5)))  # 1.5 m and 1 m away


def test_the_line_of_a_decay_with_an_early_part_and_a_floor():
    decay = 10 ** (-6 * np.arange(8000) / 8000 / 0.25)
    decay[0] *= 100  # the direct sound is louder: from -5 dB on counts
    assert reverberation_time(decay, 8000) == pytest.approx(0.25, rel=0.01)
    assert reverberation_time(np.array([1.0, 0.0]), 8000) == 0.0


@pytest.mark.parametrize("rt60", [0.2, 0.3, 0.5])
def test_drawn_rooms_keep_distances_off_the_walls(rt60):
    spans = Rooms((rt60, rt60), length=(4, 6), width=(3, 5), height=(2.5, 3), distance=(0.5, 1.5))
    for seed in range(200):
        room = draw_room(np.random.default_rng(seed), spans, 3)
        places = np.array([room.microphone, *room.mouths])
        assert (places[:, :2] >= 0.5).all()
        assert (places[:, :2] <= np.array(room.size[:2]) - 0.5).all()
        assert ((places[:, 2] > 0.5) & (places[:, 2] < room.size[2])).all()
        distances = np.linalg.norm(places[1:] - places[0], axis=1)
        assert ((distances >= 0.4999) & (distances <= 1.5001)).all()
        assert room == draw_room(np.random.default_rng(seed), spans, 3)


@pytest.mark.needs("pyroomacoustics")
@pytest.mark.parametrize("rt60", [0.15, 0.3, 0.6])
def test_the_decay_has_the_reverberation_time_asked_for(rt60):
    found = []
    for seed in range(6):
        room = draw_room(np.random.default_rng(seed), Rooms((rt60, rt60)), 1)
        for response, _ in responses(room, RATE):
            found.append(reverberation_time(np.square(response.samples[response.direct :]), RATE))
            assert np.square(response.samples).sum() == pytest.approx(1)
    np.testing.assert_allclose(found, rt60, rtol=0.2)
    assert np.mean(found) == pytest.approx(rt60, rel=0.1)


@pytest.mark.needs("pyroomacoustics")
def test_the_direct_sound_is_where_it_is_and_falls_with_the_distance():
    direct = [part for _, part in responses(ROOM, RATE, "anechoic")]
    whole = [response for response, _ in responses(ROOM, RATE)]
    for one, response in zip(direct, whole):
        assert int(np.abs(one.samples).argmax()) == one.direct == 40
        near = slice(one.direct - 3, one.direct + 4)
        np.testing.assert_allclose(one.samples[near], response.samples[near], rtol=0.05, atol=0.02)
    early = [part for _, part in responses(ROOM, RATE, "early")]
    for one, response in zip(early, whole):
        np.testing.assert_array_equal(one.samples, response.samples[: response.direct + 400])  # 50 ms
    shares = [np.square(one.samples).sum() for one in direct]
    assert 0 < shares[0] < shares[1] < 1  # of two people in one room the nearer one has more direct sound


def test_a_turn_is_heard_from_where_it_began_and_rings_on():
    signal = np.zeros(1000)
    signal[100:200] = 1.0
    response = Response(np.r_[np.zeros(7), 0.5, np.zeros(299), 0.25], 7)
    expected = np.zeros(1000)
    expected[100:200], expected[400:500] = 0.5, 0.25
    np.testing.assert_allclose(reverberate(signal, [(100, 200)], response), expected, atol=1e-12)
    found = reverberate(signal, [(100, 200)], response)
    assert not found[:93].any()
    assert not found[500:].any()  # digital silence
    late = np.zeros(150)
    late[:100] = 1.0
    np.testing.assert_allclose(reverberate(late, [(0, 100)], response)[:100], 0.5)  # what is before 0 is left out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rt60": (0.05, 0.3)}, "rt60: from 0.1 to 1 s, the less first, are expected; got 0.05 0.3"),
        ({"rt60": (0.5, 0.3)}, "rt60: from 0.1 to 1 s"),
        ({"width": (1, 3)}, "room_width: from 2 to 20 m"),
        ({"distance": (1, 3)}, "distance: from 0.1 to 2 m (half of the smallest room's longer side, less 0.5 m)"),
    ],
)
def test_what_no_room_can_have_is_said(values, words):
    assert words in Rooms(**{"rt60": (0.2, 0.5), **values}).problem()
    assert Rooms((0.2, 0.5)).problem() is None


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(rooms, "can_make_rooms", lambda: False)
    with pytest.raises(InputError, match=r"pyroomacoustics: pip install 'mindaudio-ext\[rooms\]'"):
        Rooms((0.2, 0.5)).require()
