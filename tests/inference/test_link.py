"""Tracks put in one order of speakers: phrases by vectors of voices that are known, and real voices."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindaudio_ext.inference import link
from mindaudio_ext.inference.chunks import Join
from mindaudio_ext.inference.link import find_phrases, is_clear, is_one_person, linked, order_phrases, share_at_once
from mindaudio_ext.inference.voice import LEAST, RATE, discriminants, voices_of

ONE, TWO, THREE = (10.0 * np.eye(16)[number] for number in range(3))


def near(vector, seed):
    return vector + 0.3 * np.random.default_rng(seed).standard_normal(16)


def ordered(phrases, change=5.0):
    return order_phrases(phrases, [change] * (len(phrases) - 1))


def test_phrases_in_any_order_are_brought_into_one():
    phrases = [[(near(ONE, 0), 2.0), (near(TWO, 1), 1.0)], [(near(TWO, 2), 1.0), (near(ONE, 3), 1.0)]]
    phrases.append([(near(TWO, 4), 3.0), None])
    orders = ordered(phrases)
    assert orders in ([[0, 1], [1, 0], [1, 0]], [[1, 0], [0, 1], [0, 1]])
    assert is_clear(phrases, orders, 1, 3)


def test_monologues_of_two_come_into_two_tracks_and_of_one_into_one():
    alone = [[(near(who, seed), 2.0), None] for seed, who in enumerate((ONE, TWO, ONE, TWO))]
    assert ordered(alone) in ([[0, 1], [1, 0], [0, 1], [1, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]])
    assert ordered([[(near(ONE, seed), 2.0), None] for seed in range(4)]) == [[0, 1]] * 4
    turning = [[(near(ONE, seed), 2.0), None][:: -1 if seed in (2, 3) else 1] for seed in range(6)]
    assert is_one_person(turning, [5.0] * 5)


@pytest.mark.parametrize("seed", range(5))
def test_three_voices(seed):
    rng = np.random.default_rng(seed)
    true = [rng.permutation(3) for _ in range(6)]
    people = (ONE, TWO, THREE)
    phrases = [[(near(people[who], 10 * seed + i), 1.0) for who in order] for i, order in enumerate(true)]
    orders = ordered(phrases)
    assert len({tuple(own[order]) for own, order in zip(true, orders)}) == 1


def test_one_voice_in_both_tracks_is_one_person():
    """The means of the tracks are alike; a second voice is one when it is 2 better for each unit of weight."""
    shared = [[(near(ONE, seed), 2.0), None][:: -1 if seed % 2 else 1] for seed in range(10)]
    assert is_one_person(shared, [5.0] * 9)
    alone = [[(near(ONE, seed), 2.0), None] for seed in range(9)]
    assert not is_one_person([*alone, [None, (TWO, 2.0)]], [5.0] * 9)  # 200 times 2 * 18 / 20: 360, of 40
    assert is_one_person([*alone, [None, (TWO, 0.1)]], [5.0] * 9)  # 200 times 0.1: 20, of 36
    assert not is_one_person([*alone, [(TWO, 0.1), (ONE, 2.0)]], [5.0] * 9)  # at once
    assert not is_one_person([[None, None]] * 10, [5.0] * 9)  # nobody is heard


def test_below_ten_seconds_of_speech_one_person_cannot_be_told():
    assert is_one_person([[(ONE, 2.0), None], [None, (ONE, 2.0)]], [5.0])
    assert not is_one_person([[(ONE, 2.0), None], [None, (ONE, 1.9)]], [5.0])


def test_share_at_once():
    """Of four frames one is not loud; in one of the other three a second track is 3 dB below the loudest."""
    powers = np.array([[1.0, 1.0, 0.05, 1e-4], [0.5, 0.05, 1.0, 1e-4]])
    assert share_at_once(powers) == pytest.approx(1 / 3)
    assert share_at_once(np.zeros((2, 5))) == 0


def test_a_quiet_voice_below_another_is_nobody_elses(monkeypatch):
    """Two who speak at once all the time: only the louder one's voice is ever heard alone, yet it is not one person."""
    noise = np.random.default_rng(0).standard_normal((2, 5 * RATE)).astype(np.float32) * [[0.2], [0.1]]
    monkeypatch.setattr(link, "voices_of", lambda tracks, _: [(ONE, 1.0), None])
    out = np.concatenate(list(linked(iter([(0, noise)]), sample_rate=RATE, joins=[])), axis=1)
    np.testing.assert_allclose(out, noise, atol=1e-6)


def test_all_of_one_person_comes_into_the_first_track(monkeypatch):
    """A network that gives one voice to either track in turn, and a tenth of it to the other."""
    time = np.arange(RATE) / RATE
    track = np.zeros((2, 20 * RATE), np.float32)
    for number in range(10):
        tone = np.sin(2 * np.pi * 400 * time).astype(np.float32)
        track[number % 2, 2 * number * RATE :][:RATE] = 0.9 * tone
        track[1 - number % 2, 2 * number * RATE :][:RATE] = 0.1 * tone
    monkeypatch.setattr(link, "voices_of", lambda x, _: [(ONE, 1.0) if np.abs(y).max() > 0.5 else None for y in x])
    joins: list[Join] = []
    chunks = [(start, track[:, start : start + 40_000]) for start in range(0, 120_001, 30_000)]
    out = np.concatenate(list(linked(iter(chunks), sample_rate=RATE, joins=joins)), axis=1)
    np.testing.assert_allclose(out, [track[0] + 0.99 * track[1], 0.01 * track[1]], atol=1e-6)
    assert len(joins) == 4
    assert all(join.certain for join in joins)


def test_a_change_must_be_worth_its_cost():
    """The second phrase is of the other voice by its vector: 200 times its weight, against a change there and back."""
    phrases = [[(ONE, 4.0), (TWO, 4.0)], [(TWO, 0.04), None], [(ONE, 4.0), (TWO, 4.0)]]
    assert ordered(phrases, change=5.0) == [[0, 1]] * 3  # 8 against 10
    assert ordered(phrases, change=3.0) == [[0, 1], [1, 0], [0, 1]]  # 8 against 6


def test_a_change_costs_more_where_nobody_speaks_into_anothers_phrase():
    """One person's voice is another in every third phrase: 200 times 0.3, against 5 there and back, or 40."""
    alone = [[(TWO if place % 3 == 1 else ONE, 0.3 if place % 3 == 1 else 3.0), None] for place in range(30)]
    assert ordered(alone) == [[0, 1]] * 30
    two = [*alone, *[[(ONE, 3.0), (TWO, 3.0)]] * 2]
    assert ordered(two) == [[1, 0] if place % 3 == 1 else [0, 1] for place in range(30)] + [[0, 1]] * 2


def test_where_nobody_is_known_the_order_stays_and_is_not_clear():
    phrases = [[(ONE, 2.0), (TWO, 2.0)], [(TWO, 2.0), (ONE, 2.0)], [None, None]]
    orders = ordered(phrases)
    assert orders in ([[0, 1], [1, 0], [1, 0]], [[1, 0], [0, 1], [0, 1]])
    assert not is_clear(phrases, orders, 2, 3)
    assert order_phrases([[None, None]], []) == [[0, 1]]


def test_a_recording_is_cut_in_its_pauses_and_where_it_is_told_to():
    powers = np.ones((2, 100))
    powers[:, 40:50] = 1e-4  # 0.1 s of frames of 10 ms
    powers[:, 70:72] = 1e-4  # too short
    assert find_phrases(powers, 80, RATE) == ([0, 45 * 80, 8000], [5.0])
    assert find_phrases(powers, 80, RATE, [6400]) == ([0, 45 * 80, 6400, 8000], [5.0, 0.0])
    assert find_phrases(np.zeros((2, 10)), 80, RATE) == ([0, 800], [])
    long = find_phrases(np.ones((2, 7000)), 80, RATE)
    assert long == ([0, 240_000, 480_000, 560_000], [np.inf, np.inf])


@pytest.mark.parametrize("size", [40_000, 400_000])
def test_tracks_that_turn_in_pauses_and_at_silent_joins_are_linked_by_voices(monkeypatch, size):
    """Of two tones that take turns of 1 s the second is twice as loud; from the third on the network turns them."""
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 400 * time).astype(np.float32)
    track = np.zeros((2, 20 * RATE), np.float32)
    for number in range(10):
        track[number % 2, 2 * number * RATE :][:RATE] = (1 + number % 2) * tone

    def voices(tracks, _):
        levels = np.abs(tracks).max(axis=1)
        return [((ONE, TWO)[round(float(level)) - 1], 1.0) if level > 0.5 else None for level in levels]

    monkeypatch.setattr(link, "voices_of", voices)
    turned = np.concatenate((track[:, : 5 * RATE + RATE // 2], track[::-1, 5 * RATE + RATE // 2 :]), axis=1)
    hop = size - 4000  # chunks share half a second, of silence: five seconds have a pause at their end
    chunks = [(start, turned[:, start : start + size]) for start in range(0, turned.shape[1] - 4000, hop)]
    joins: list[Join] = []
    out = np.concatenate(list(linked(iter(chunks), sample_rate=RATE, joins=joins)), axis=1)
    assert out.shape == track.shape
    assert min(np.abs(out - track).max(), np.abs(out - track[::-1]).max()) < 1e-6
    assert len(joins) == len(chunks) - 1
    assert all(join.certain for join in joins)


def test_silence_and_short_speech_have_no_voice():
    assert voices_of(np.zeros((2, RATE)), RATE) == [None, None]
    short = np.random.default_rng(0).standard_normal((1, LEAST * RATE // 200))
    assert voices_of(short, RATE) == [None]


def test_discriminants_leave_a_spread_of_one():
    rng = np.random.default_rng(0)
    people = np.repeat(rng.standard_normal((50, 63)), 20, axis=0)
    values = people + 0.2 * rng.standard_normal(people.shape) * np.linspace(1, 3, 63)
    found = discriminants(values, np.repeat(np.arange(50), 20).tolist())
    vectors = ((values - found["mean"]) / found["scale"]) @ found["matrix"]
    within = vectors.reshape(50, 20, -1) - vectors.reshape(50, 20, -1).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(np.sqrt((within**2).sum((0, 1)) / (50 * 19)), 1, atol=0.02)


@pytest.mark.needs("speech_data")
def test_voices_of_speakers_that_were_not_trained_on_are_told_apart(speech_data):
    """Of each of 14 speakers the first and the second half of what is there; all pairs of speakers."""
    halves = []
    for folder in sorted(Path(speech_data, "librispeech_mini/LibriSpeech/dev-clean").iterdir()):
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".wav"))
        samples = [soundfile.read(path)[0] for path in files]
        middle = len(samples) // 2
        halves.append(
            [voices_of(np.concatenate(half)[None], RATE)[0][0] for half in (samples[:middle], samples[middle:])]
        )
    pairs = list(itertools.combinations(halves, 2))
    right = [
        np.square(a[0] - a[1]).sum() + np.square(b[0] - b[1]).sum()
        < np.square(a[0] - b[1]).sum() + np.square(b[0] - a[1]).sum()
        for a, b in pairs
    ]
    assert len(pairs) == 91
    assert sum(right) >= 90
