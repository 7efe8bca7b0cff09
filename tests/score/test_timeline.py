"""Timelines: whose rows there are, and the axis."""

import dataclasses
import re

import numpy as np
import pytest

from mindaudio_ext.data.rttm import Turn
from mindaudio_ext.score.conversations import score_conversation
from mindaudio_ext.score.timeline import timeline

SCORES = score_conversation(
    "one", mixture=np.ones(200), references=np.eye(2, 200), estimates=np.eye(2, 200), sample_rate=10, turns=[],
    found=None,
)  # fmt: skip


def rows_of(**values):
    lanes = timeline(dataclasses.replace(SCORES, **values), heard=5)["lanes"]
    return [(lane.name, lane.speaker, len(re.findall("<rect ", lane.picture))) for lane in lanes]


def test_a_source_has_rows_when_either_has_turns():
    reference, found = (Turn(0, 9, "b"),), (Turn(0, 5, "s1"), Turn(6, 9, "s1"), Turn(1, 2, "s2"))
    names = {"speakers": ("", "b"), "tracks": ("s2", "s1")}
    assert rows_of(reference=reference, hypothesis=found, **names) == [
        ("reference 1", 1, 0), ("estimate 1", 1, 1), ("reference 2", 2, 1), ("estimate 2", 2, 2),
    ]  # fmt: skip
    assert rows_of(reference=reference, hypothesis=found[:2], **names) == [("reference 2", 2, 1), ("estimate 2", 2, 2)]
    assert rows_of(reference=reference, hypothesis=None, speakers=("", "b")) == [("reference 2", 2, 1)]


def test_speakers_of_no_source_have_rows_and_colours_of_their_own():
    found = rows_of(reference=(Turn(0, 9, "b"), Turn(0, 9, "c")), hypothesis=(), speakers=("b", "a"), tracks=("", ""))
    assert found == [("reference 1", 1, 1), ("estimate 1", 1, 0), ("reference c", 3, 1)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, ["0:00"]), (20, ["0:00", "0:05", "0:10", "0:15", "0:20"]), (7200, ["0:00", "20:00"])],
)
def test_the_axis(seconds, words):
    made = timeline(dataclasses.replace(SCORES, seconds=seconds), heard=10)
    assert [name for _, name in made["ticks"]][: len(words)] == words
    assert len(made["ticks"]) <= 7
    assert made["ticks"][-1][0] <= 100
    assert made["heard"] == min(100, 1000 / seconds)
