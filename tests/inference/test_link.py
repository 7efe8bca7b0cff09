"""Chunks put in one order of speakers: stretches by vectors of voices that are known, and real voices."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindaudio_ext.inference import link
from mindaudio_ext.inference.chunks import Join
from mindaudio_ext.inference.link import linked, order_stretches
from mindaudio_ext.inference.voice import LEAST, RATE, discriminants, voices_of

ONE, TWO, THREE = (10.0 * np.eye(16)[number] for number in range(3))


def near(vector, seed):
    return vector + 0.3 * np.random.default_rng(seed).standard_normal(16)


def test_stretches_in_any_order_are_brought_into_one():
    stretches = [[(near(ONE, 0), 2.0), (near(TWO, 1), 1.0)], [(near(TWO, 2), 1.0), (near(ONE, 3), 1.0)]]
    stretches.append([(near(TWO, 4), 3.0), None])
    assert order_stretches(stretches) == ([[0, 1], [1, 0], [1, 0]], [True, True, True])


def test_monologues_of_two_come_into_two_tracks_and_of_one_into_one():
    alone = [[(near(who, seed), 2.0), None] for seed, who in enumerate((ONE, TWO, ONE, TWO))]
    assert order_stretches(alone)[0] in ([[0, 1], [1, 0], [0, 1], [1, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]])
    orders, sure = order_stretches([[(near(ONE, seed), 2.0), None] for seed in range(4)])
    assert orders == [[0, 1]] * 4
    assert all(sure)


@pytest.mark.parametrize("seed", range(5))
def test_three_voices(seed):
    rng = np.random.default_rng(seed)
    true = [rng.permutation(3) for _ in range(6)]
    people = (ONE, TWO, THREE)
    stretches = [[(near(people[who], 10 * seed + i), 1.0) for who in order] for i, order in enumerate(true)]
    orders, sure = order_stretches(stretches)
    assert all(sure)
    assert len({tuple(own[order]) for own, order in zip(true, orders)}) == 1


def test_where_nobody_is_known_the_order_stays_and_is_not_sure():
    stretches = [[(ONE, 2.0), (TWO, 2.0)], [(TWO, 2.0), (ONE, 2.0)], [None, None]]
    assert order_stretches(stretches) == ([[0, 1], [1, 0], [1, 0]], [True, True, False])
    assert order_stretches([[None, None]]) == ([[0, 1]], [True])


def test_chunks_that_share_silence_are_linked_by_voices(monkeypatch):
    """Ones are the first voice, twos the second; every second chunk has them the other way round."""
    size, overlap, n_chunks = 100, 20, 7
    track = np.zeros((2, (size - overlap) * n_chunks + overlap), np.float32)
    for number in range(n_chunks):
        start = number * (size - overlap) + overlap
        track[number % 2, start : start + size - 2 * overlap] = 1 + number % 2

    def voices(tracks, _):
        values = [one.max() for one in tracks]
        return [((ONE, TWO)[int(value) - 1], 1.0) if value else None for value in values]

    monkeypatch.setattr(link, "voices_of", voices)
    chunks = [(start, track[:, start : start + size]) for start in range(0, track.shape[1] - size + 1, size - overlap)]
    turned = [(start, chunk[::-1] if number % 2 else chunk) for number, (start, chunk) in enumerate(chunks)]
    joins: list[Join] = []
    out = np.concatenate(list(linked(iter(turned), sample_rate=RATE, joins=joins)), axis=1)
    np.testing.assert_array_equal(out, track)
    assert len(joins) == n_chunks - 1
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
