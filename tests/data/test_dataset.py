"""Crops and orders that depend on seed, epoch and row alone."""

import numpy as np
import pytest

from mindaudio_ext.augmentations.noise import Noise
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.dataset import TrainBatches, prefetch, whole_utterances
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.errors import InputError

LENGTHS = {"a": 700, "b": 150, "c": 1000, "d": 400, "e": 333}
SEGMENT = 400


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Five utterances whose samples count upwards, so that a crop tells where it was cut."""
    folder = tmp_path_factory.mktemp("set")
    paths = {"mix": {}, "s1": {}, "s2": {}}
    for number, (key, length) in enumerate(LENGTHS.items()):
        ramp = (np.arange(length) + 2000 * number) / 32768
        for name, signal in (("mix", ramp), ("s1", ramp), ("s2", np.arange(length) % 2 / 32768)):
            paths[name][key] = str(folder / f"{key}_{name}.wav")
            write_wav(paths[name][key], signal.astype(np.float32), 8000)
    write_data_dir(folder / "data", mixtures=paths["mix"], sources=[paths["s1"], paths["s2"]], num_samples=LENGTHS)
    return dump(folder / "data", folder / "dump")[0]


def batches(manifest, epoch, seed=3):
    return list(TrainBatches(manifest, segment=SEGMENT, batch_size=2, seed=seed).epoch(epoch))


def origins(manifest, epoch, seed=3):
    """Utterance and start of each crop."""
    firsts = [round(float(row[0]) * 32768) for batch in batches(manifest, epoch, seed) for row in batch.mixture]
    return [(first // 2000, first % 2000) for first in firsts]


def test_an_epoch_comes_again_and_another_is_other(manifest):
    assert origins(manifest, 1) == origins(manifest, 1)
    assert origins(manifest, 1) != origins(manifest, 2)
    assert origins(manifest, 1) != origins(manifest, 1, seed=4)


def test_crops_lie_within_their_utterance_and_no_utterance_comes_twice(manifest):
    names = list(LENGTHS)
    starts = {name: set() for name in names}
    for epoch in range(1, 40):
        utterances = [utterance for utterance, _ in origins(manifest, epoch)]
        assert len(set(utterances)) == 4  # two batches of two; one utterance is left out
        for utterance, start in origins(manifest, epoch):
            starts[names[utterance]].add(start)
    for name, seen in starts.items():
        assert max(seen) <= max(0, LENGTHS[name] - SEGMENT)
    assert len(starts["c"]) > 20
    assert starts["b"] == starts["d"] == {0}


def test_short_utterances_are_padded_and_their_length_told(manifest):
    rows = [
        (x, s, n)
        for epoch in range(1, 8)
        for b in batches(manifest, epoch)
        for x, s, n in zip(b.mixture, b.sources, b.lengths)
    ]
    short = [row for row in rows if row[2] < SEGMENT]
    assert {int(n) for _, _, n in short} == {150, 333}
    for mixture, sources, length in short:
        assert mixture.shape == (SEGMENT,)
        assert not mixture[length:].any()
        assert not sources[:, length:].any()
        assert mixture[length - 1] == sources[0, length - 1] != 0


def test_whole_utterances_come_as_asked(manifest):
    assert [len(mixture) for mixture, _ in whole_utterances(manifest, range(len(LENGTHS)))] == list(LENGTHS.values())
    assert [len(mixture) for mixture, _ in whole_utterances(manifest, [2, 0])] == [
        list(LENGTHS.values())[row] for row in (2, 0)
    ]


def test_shares_make_up_the_batch(manifest):
    """Ranks that take their shares do what one would do alone."""
    options = {"segment": 300, "batch_size": 2, "seed": 3}
    whole = list(TrainBatches(manifest, **options).epoch(4, start=1))
    shares = [list(TrainBatches(manifest, **options, share=slice(r, r + 1)).epoch(4, start=1)) for r in range(2)]
    assert [len(share) for share in shares] == [len(whole)] * 2
    for batch, *parts in zip(whole, *shares):
        for name in ("mixture", "sources", "lengths"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(batch, name))


def test_fewer_utterances_than_a_batch(manifest):
    with pytest.raises(InputError, match=r"5 utterances are fewer than batch_size \(6\)"):
        TrainBatches(manifest, segment=SEGMENT, batch_size=6, seed=0)


def test_an_epoch_can_be_entered_at_any_batch(manifest):
    training = TrainBatches(manifest, segment=SEGMENT, batch_size=2, seed=3)
    whole, rest = list(training.epoch(5)), list(training.epoch(5, start=1))
    assert (len(whole), len(rest)) == (2, 1)
    np.testing.assert_array_equal(whole[1].mixture, rest[0].mixture)
    np.testing.assert_array_equal(whole[1].lengths, rest[0].lengths)


def test_augmented_examples_do_not_depend_on_where_the_epoch_is_entered_or_on_the_share(manifest):
    def mixtures(start=0, share=slice(None), **more):
        batches = TrainBatches(manifest, segment=SEGMENT, batch_size=2, seed=3, share=share, **more)
        return np.stack([batch.mixture for batch in batches.epoch(2, start)])

    noisy = mixtures(augmentation=Noise())
    assert (noisy != mixtures()).mean() > 0.75  # all but the padding
    np.testing.assert_array_equal(mixtures(start=1, augmentation=Noise()), noisy[1:])
    np.testing.assert_array_equal(mixtures(share=slice(1, 2), augmentation=Noise()), noisy[:, 1:])


def test_made_ahead_passes_on_what_is_raised():
    def items():
        yield 1
        raise InputError("row 2 is damaged")

    made = prefetch(items(), 4)
    assert next(made) == 1
    with pytest.raises(InputError, match="row 2 is damaged"):
        next(made)


def test_made_ahead_makes_no_more_than_it_may():
    taken = []
    made = prefetch((taken.append(i) or i for i in range(100)), 2)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    made.close()
    assert len(taken) <= 3 + 2 + 1  # three given, two waiting, one in the thread's hand
