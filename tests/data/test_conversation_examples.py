"""Crops of new conversations: who is heard, levels that add up, all by (seed, epoch, place)."""

import numpy as np
import pytest

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.conversation_examples import Conversations
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.dataset import TrainBatches
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.data.rooms import Rooms
from mindaudio_ext.errors import InputError

RATE, SEGMENT = 8000, 8000
SPEAKERS = {"m0": ("a", "b"), "m1": ("c", "d"), "m2": ("a", "c"), "m3": ("b", "absent")}
MORE = {"m4": ("e", "f")}  # for babble: three who are not in a conversation of two


def make(folder, speakers):
    """Mixtures of bursts of noise of 0.5 s with pauses of 0.3 s; what is absent is silent."""
    rng, burst = np.random.default_rng(0), np.repeat([1, 0] * 3, [4000, 2400] * 3)
    paths = {"mix": {}, "s1": {}, "s2": {}}
    keys = speakers or SPEAKERS
    for key, names in keys.items():
        sources = [0.05 * rng.standard_normal(len(burst)) * burst * (name != "absent") for name in names]
        for name, signal in zip(paths, (sum(sources), *sources)):
            paths[name][key] = str(folder / f"{key}_{name}.wav")
            write_wav(paths[name][key], signal.astype(np.float32), RATE)
    write_data_dir(
        folder / "data",
        mixtures=paths["mix"],
        sources=[paths["s1"], paths["s2"]],
        num_samples=dict.fromkeys(keys, len(burst)),
        src2spk=speakers,
    )
    return dump(folder / "data", folder / "dump")[0]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make(tmp_path_factory.mktemp("set"), SPEAKERS)


def conversations(manifest, **options):
    return Conversations(manifest, segment=SEGMENT, seed=5, **{"speakers": (2, 2, 1), "asked": Statistics(), **options})


def test_shares_of_nobody_one_and_two_are_near_those_asked_for(manifest):
    counts = np.zeros(3)
    examples = conversations(manifest, speakers=(2,))
    for epoch in range(1, 61):
        for mixture, sources in examples.cut(epoch, range(4)):
            assert mixture.shape == (SEGMENT,)
            np.testing.assert_allclose(sources.sum(axis=0), mixture, atol=1.01 / 32768)
            counts += np.bincount((sources != 0).sum(axis=0), minlength=3)
    np.testing.assert_allclose(counts / counts.sum(), [0.15, 0.7, 0.15], atol=0.04)


def test_in_mixtures_all_speak_all_the_time(manifest):
    half = conversations(manifest, speakers=(2,), mixtures=0.5)
    shares = [(sources != 0).mean(axis=1).min() for epoch in range(1, 11) for _, sources in half.cut(epoch, range(4))]
    assert 10 <= sum(share > 0.85 for share in shares) <= 30  # the edges of pieces of 0.5 s are silent here
    alone = conversations(manifest, speakers=(1,), mixtures=1.0)
    assert all((sources != 0).mean() < 0.5 for _, sources in alone.cut(1, range(4)))


def test_one_speaker_leaves_the_other_source_silent(manifest):
    for _, sources in conversations(manifest, speakers=(1,)).cut(1, range(4)):
        assert not sources[1].any()


def test_an_example_depends_on_epoch_and_place_alone(manifest):
    examples = conversations(manifest)
    whole, part, other = (list(examples.cut(*of)) for of in ((2, range(4)), (2, range(2, 4)), (3, range(2, 4))))
    for (mixture, sources), (again, same), (new, _) in zip(whole[2:], part, other):
        np.testing.assert_array_equal(mixture, again)
        np.testing.assert_array_equal(sources, same)
        assert (mixture != new).any()


def test_batches_are_of_conversations_and_go_on_anywhere(manifest):
    options = {"segment": SEGMENT, "batch_size": 2, "seed": 5, "keep_silent": True, "conversations": Statistics()}
    batches = TrainBatches(manifest, **options, conversation_speakers=(2, 2, 1))
    expected = [mixture for mixture, _ in conversations(manifest).cut(3, range(4))]
    np.testing.assert_array_equal(np.concatenate([batch.mixture for batch in batches.epoch(3)]), expected)
    np.testing.assert_array_equal(np.concatenate([b.mixture for b in batches.epoch(3, start=1)]), expected[2:])


def test_noise_is_in_the_mixture_at_its_snr_and_leaves_the_sources_as_they_are(manifest):
    without = conversations(manifest, speakers=(2,), mixtures=0.999)  # all speak all the time
    for kind in ("white", "pink", "brown"):
        noisy = conversations(manifest, speakers=(2,), mixtures=0.999, noise=(kind,), snr=(6.0, 6.0))
        found = []
        for (_, clean), (mixture, sources) in zip(without.cut(1, range(4)), noisy.cut(1, range(4))):
            scale = np.abs(sources).max() / np.abs(clean).max()  # a peak may be louder with noise
            np.testing.assert_allclose(sources, clean * scale, atol=2 / 32768)
            speech = sources.sum(axis=0)[sources.any(axis=0)]
            found.append(10 * np.log10(np.square(speech).mean() / np.square(mixture - sources.sum(axis=0)).mean()))
        np.testing.assert_allclose(found, 6, atol=0.1)


def test_noise_is_drawn_for_each_example_and_there_where_nobody_speaks(manifest):
    examples = conversations(manifest, noise=("none", "white"), snr=(5.0, 20.0))
    drawn = [example for epoch in range(1, 11) for example in examples.cut(epoch, range(4))]
    rests = [mixture - sources.sum(axis=0) for mixture, sources in drawn]
    has_noise = [np.abs(rest).max() > 3 / 32768 for rest in rests]
    assert 10 <= sum(has_noise) <= 30
    for (_, sources), rest, noisy in zip(drawn, rests, has_noise):
        if noisy and (nobody := ~sources.any(axis=0)).sum() > 100:
            assert np.square(rest[nobody]).mean() == pytest.approx(np.square(rest).mean(), rel=0.5)


def test_babble_is_of_three_others(tmp_path):
    several = make(tmp_path, SPEAKERS | MORE)
    examples = conversations(several, noise=("babble",), snr=(0.0, 0.0))
    for mixture, sources in examples.cut(1, range(4)):
        rest = mixture - sources.sum(axis=0)
        assert np.square(rest).mean() > 1e-6
        for source in sources:
            assert abs(np.corrcoef(rest, source)[0, 1]) < 0.1 if source.any() else True


def test_examples_with_noise_depend_on_epoch_and_place_alone(tmp_path):
    several = make(tmp_path, SPEAKERS | MORE)
    options = {"noise": ("pink", "babble", "none"), "snr": (5.0, 20.0), "mixtures": 0.3}
    whole = list(conversations(several, **options).cut(2, range(5)))
    part = list(conversations(several, **options).cut(2, range(3, 5)))  # another training, which went on there
    for (mixture, sources), (again, same) in zip(whole[3:], part):
        np.testing.assert_array_equal(mixture, again)
        np.testing.assert_array_equal(sources, same)


@pytest.mark.needs("pyroomacoustics")
def test_in_rooms_sources_ring_on_add_up_and_come_again(manifest):
    rooms = Rooms((0.2, 0.25), length=(3, 4), width=(3, 4), distance=(0.5, 1.0))
    dry, wet = conversations(manifest, speakers=(2,)), conversations(manifest, speakers=(2,), rooms=rooms)
    again = conversations(manifest, speakers=(2,), rooms=rooms)
    examples = list(wet.cut(1, range(4)))
    for (_, dry_sources), (mixture, sources) in zip(dry.cut(1, range(4)), examples):
        np.testing.assert_allclose(sources.sum(axis=0), mixture, atol=1.01 / 32768)
        assert (sources != 0).mean() > (dry_sources != 0).mean()
    for (mixture, _), (other, _) in zip(examples[2:], again.cut(1, range(2, 4))):
        np.testing.assert_array_equal(mixture, other)


def test_what_does_not_do_is_said(manifest, tmp_path):
    with pytest.raises(InputError, match="conversation_noise: babble is of 3 speakers who are not in the conversation"):
        conversations(manifest, noise=("babble",))
    with pytest.raises(InputError, match=r"conversation_speakers: 3 is more than num_spks \(2\)"):
        conversations(manifest, speakers=(3,))
    with pytest.raises(InputError, match=r"conversations of 1 speaker\(s\) cannot be made: silence: at least 0\.01"):
        conversations(manifest, asked=Statistics(silence=0))
    with pytest.raises(InputError, match="conversations: needs a loss for silent sources; pit_thresholded_snr is one"):
        TrainBatches(manifest, segment=SEGMENT, batch_size=2, seed=5, conversations=Statistics())
    with pytest.raises(InputError, match="conversations needs the speakers; its data directory has no src2spk"):
        conversations(make(tmp_path, None))
