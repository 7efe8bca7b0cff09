"""Who speaks when: shares and lengths as asked, no speaker over themselves, and pieces cut in pauses."""

import numpy as np
import pytest

from mindaudio_ext.data.conversation import find_pieces, render
from mindaudio_ext.data.conversation_plan import plan_conversation
from mindaudio_ext.data.conversation_statistics import Statistics, Tally

RATE = 8000


def pieces_of(rng, n_speakers):
    return [rng.integers(0.3 * RATE, 1.5 * RATE, 12).tolist() for _ in range(n_speakers)]


def plan(seed, n_speakers, asked, seconds=90, before=None):
    rng = np.random.default_rng((seed, n_speakers))
    pieces = pieces_of(rng, n_speakers)
    return plan_conversation(rng, asked, pieces, n_samples=seconds * RATE, sample_rate=RATE, before=before)


def activity(conversation, n_speakers):
    """Who speaks in each sample, int [C, T]: 2 where somebody has two pieces at once."""
    found = np.zeros((n_speakers, conversation.n_samples), int)
    for one in conversation.placed:
        found[one.speaker, one.start : one.start + one.length] += 1
    return found


@pytest.mark.parametrize(
    ("n_speakers", "asked"),
    [
        *((number, Statistics()) for number in (1, 2, 3)),
        (2, Statistics(silence=0.12, overlap=0.18)),
        (2, Statistics(silence=0.3, overlap=0.05)),
        (3, Statistics(silence=0.12, overlap=0.18, mean_pause=0.7, mean_overlap=1.0, backchannels=0.6)),
    ],
)
def test_200_conversations_are_as_asked_within_3_per_cent(n_speakers, asked):
    tally, samples = Tally(), np.zeros(3)
    for seed in range(200):
        conversation = plan(seed, n_speakers, asked, seconds=20, before=tally)
        tally.add(conversation.tally)
        active = activity(conversation, n_speakers)
        assert active.max() == 1
        counts = np.bincount(active.sum(axis=0), minlength=3)
        assert len(counts) == 3  # never three at once
        assert counts[0] == conversation.tally.silent
        assert counts[2] == conversation.tally.overlapped
        samples += counts
    silence, _, overlap = samples / samples.sum()
    found = {"silence": silence, "mean_pause": tally.silent / tally.pauses / RATE}
    if n_speakers > 1:
        found |= {"overlap": overlap, "mean_overlap": tally.overlapped / tally.overlaps / RATE}
        found["backchannels"] = tally.backchannels / tally.overlaps
        found["same_speaker"] = tally.same_speaker / tally.changes
    for name, value in found.items():
        assert value == pytest.approx(getattr(asked, name), rel=0.03), name


def test_a_speaker_talks_as_much_as_asked():
    tally = Tally()
    for seed in range(60):
        tally.add(plan(seed, 2, Statistics(talk=(1, 2))).tally)
    assert tally.talk[1] / sum(tally.talk) == pytest.approx(0.6, abs=0.05)  # overlaps are of both alike


def test_the_same_seed_gives_the_same_conversation():
    one, two, other = plan(3, 2, Statistics()), plan(3, 2, Statistics()), plan(4, 2, Statistics())
    assert one == two
    assert one.placed != other.placed


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"silence": 0.5, "overlap": 0.5}, "leave no time for one speaker"),
        ({"silence": 0}, "silence: at least 0.01"),
        ({"mean_pause": 0.1}, "mean_pause: more than 0.2 s"),
        ({"silence": 0.45, "overlap": 0.45, "mean_pause": 0.5}, "stretches of one speaker of 0.07 s, less than 0.3 s"),
        ({"backchannels": float("nan")}, "backchannels: a share from 0 to 1"),
        ({"same_speaker": 1, "overlap": 0}, "no turn ever goes to another speaker"),
        ({"talk": (1.0,)}, "talk: 2 numbers"),
    ],
)
def test_what_cannot_be_had_is_said(values, words):
    assert words in Statistics(**values).problem()
    assert Statistics().problem() is None


def test_pieces_lie_between_pauses_and_long_ones_are_cut_where_it_is_quiet():
    tone = np.sin(np.arange(8000))
    speech = np.concatenate([tone, np.zeros(800), tone, np.zeros(2400), tone[:4000]])  # 0.1 s and 0.3 s
    (first, second, third) = find_pieces(speech, RATE)
    assert (first.start, second.stop) == (0, 16800 + 160)
    assert first.stop == second.start
    assert 8000 <= first.stop <= 8800
    assert (third.start, third.stop) == (19200 - 160, 23200)
    assert find_pieces(np.zeros(8000), RATE) == find_pieces(np.zeros(3), RATE) == []


def test_silence_is_digital_and_absent_speakers_are_silent():
    conversation = plan(0, 2, Statistics(), seconds=20)
    rng = np.random.default_rng((0, 2))
    ones = [[np.ones(length, np.float32) for length in own] for own in pieces_of(rng, 2)]
    sources = render(conversation, ones, sample_rate=RATE, n_sources=3)
    np.testing.assert_array_equal(sources[:2] > 0, activity(conversation, 2) > 0)
    assert not sources[2].any()
    assert sources.max() == 1
