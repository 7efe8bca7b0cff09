"""Who speaks when, of tracks whose turns are known."""

import numpy as np
import pytest

from mindaudio_ext.inference.activity import Powers, Rule, Speech, find_turns, silenced

RATE = 8000


def tracks_of(turns, seconds, leak=0.1, seed=0):
    """Noise in turns, [C, T]; of each track a part leaks into the others, and the tracks add up as before."""
    rng = np.random.default_rng(seed)
    sources = np.zeros((len(turns), seconds * RATE))
    for source, own in zip(sources, turns):
        for start, end in own:
            source[round(start * RATE) : round(end * RATE)] = 0.1 * rng.standard_normal(round((end - start) * RATE))
    mixing = np.full((len(turns),) * 2, leak) + np.eye(len(turns)) * (1 - leak * len(turns))
    return (mixing @ sources).astype(np.float32)


def turns_of(tracks, parts=1, rule=None):
    powers = Powers(len(tracks), RATE)
    for part in np.array_split(tracks, parts, axis=1):
        powers.add(part)
    return find_turns(powers.all(), powers.seconds_a_frame, rule)


TURNS = [[(0.5, 3.0), (6.0, 8.0)], [(2.5, 5.0)]]


@pytest.mark.parametrize("parts", [1, 7])
def test_turns_are_found_to_the_smoothing(parts):
    found = turns_of(tracks_of(TURNS, 10), parts)
    assert [len(own) for own in found] == [2, 1]
    for own, expected in zip(found, TURNS):
        np.testing.assert_allclose(own, expected, atol=0.06)


def test_a_track_with_leakage_alone_is_nobodys():
    found = turns_of(tracks_of([[(1, 4)], []], 5, leak=0.2))
    assert [len(own) for own in found] == [1, 0]
    assert turns_of(np.zeros((2, RATE))) == [[], []]
    assert turns_of(np.zeros((3, 0))) == [[], [], []]


def test_a_voice_that_leaks_loudly_is_one_speaker():
    """The second track has the first speaker 11 dB quieter, which is above the limit for one moment."""
    leaking = tracks_of([[(1, 4), (5, 8)], []], 9, leak=0.22)
    assert [len(own) for own in turns_of(leaking, rule=Rule(own=0))] == [2, 2]
    assert [len(own) for own in turns_of(leaking)] == [2, 0]
    both = tracks_of([[(1, 8)], [(3, 3.5), (6, 9)]], 10, leak=0.22)
    assert [len(own) for own in turns_of(both)] == [1, 1]  # the second is alone for a second
    always = tracks_of([[(0, 5)], [(0, 5)]], 5, leak=0.22)
    assert [len(own) for own in turns_of(always)] == [1, 1]  # neither is ever apart


def test_short_pauses_are_closed_and_short_turns_left_out():
    turns = [[(1, 2), (2.2, 3), (4, 4.05), (5, 6)], []]
    found = turns_of(tracks_of(turns, 7, leak=0))[0]
    np.testing.assert_allclose(found, [(1, 3), (5, 6)], atol=0.06)
    assert turns_of(tracks_of(turns, 7, leak=0), rule=Rule(least=9)) == [[], []]


@pytest.mark.parametrize("size", [100, 80_000])
def test_outside_of_turns_tracks_are_digital_silence(size):
    ones = np.ones((5 * RATE, 2), np.float32)
    blocks = (ones[start : start + size] for start in range(0, len(ones), size))
    out = np.concatenate(list(silenced(blocks, [[(0.0, 1.0), (2.0, 3.0)], []], RATE)))
    assert not out[:, 1].any()
    assert (out[:RATE, 0] == 1).all()
    assert (out[2 * RATE : 3 * RATE, 0] == 1).all()
    fade = round(0.02 * RATE)
    assert not out[RATE + fade : 2 * RATE - fade, 0].any()
    assert not out[3 * RATE + fade :, 0].any()
    np.testing.assert_allclose(out[RATE : RATE + fade : fade // 4, 0], [1, 0.75, 0.5, 0.25], atol=1e-6)


def test_shares_and_words():
    speech = Speech(10.0, (((0.0, 4.0), (6.0, 7.0)), ((3.0, 5.0),), ()))
    assert speech.shares() == pytest.approx((0.4 - 0.0, 0.5, 0.1))
    assert speech.speaking == [0, 1]
    assert speech.summary == "2 speakers: one speaks 50 %, several 10 %, nobody 40 % of the time"
    assert [(turn.start, turn.speaker) for turn in speech.as_rttm()] == [(0, "s1"), (3, "s2"), (6, "s1")]
    assert Speech(1.0, ((), ())).summary == "no speech"
    assert (
        Speech(2.0, (((0.0, 2.0),), ())).summary == "1 speaker: one speaks 100 %, several 0 %, nobody 0 % of the time"
    )
