"""Which utterances are mixed."""

from collections import Counter

import pytest

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.corpora.mixture_plan import Candidate, Parameters, draw_mixtures


@pytest.mark.parametrize("num_spks", [2, 3, 5])
def test_a_pass_uses_each_utterance_once_and_never_one_speaker_twice(num_spks):
    sources = [Candidate(Utterance(f"{s}-{i}", str(s), ""), -25.0) for s in range(10) for i in range(6)]
    per_pass = 60 // num_spks
    plans = draw_mixtures(sources, Parameters("train", 2 * per_pass, num_spks, 8000, 0))
    assert len({plan.key for plan in plans}) == 2 * per_pass
    for plan in plans:
        assert len({source.utterance.speaker for source in plan.sources}) == num_spks
    used = Counter(source.utterance.key for plan in plans for source in plan.sources)
    assert max(used.values()) <= 3  # twice, and once more in a third pass for those the others left over
    assert draw_mixtures(sources, Parameters("train", 5, num_spks, 8000, 0)) == plans[:5]
    assert draw_mixtures(sources, Parameters("dev", 5, num_spks, 8000, 0)) != plans[:5]


def test_repeated_pairs_get_a_number():
    sources = [Candidate(Utterance(name, name, ""), -25.0) for name in ("a", "b")]
    keys = [plan.key for plan in draw_mixtures(sources, Parameters("x", 20, 2, 8000, 0))]
    assert len(set(keys)) == 20
    assert {"a_b", "b_a", "a_b-2", "b_a-2"} <= set(keys)
