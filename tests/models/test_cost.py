"""Multiply-adds of models whose count is a sum that can be written down."""

import mindspore as ms
import pytest
from thorough import UNDER_ALL, few

from mindaudio_ext.config import make_config
from mindaudio_ext.models.cost import count_multiply_adds
from mindaudio_ext.models.tasnet import build_model


def _model(**values):
    return build_model(make_config({"n_filters": 8, "kernel_size": 4, **values}, "test"))


def test_dprnn():
    conf = {"bottleneck_size": 6, "hidden_size": 5, "chunk_size": 10, "n_blocks": 2}
    frames, chunks = 100, 23  # 202 samples by steps of 2; chunks every 5 frames, from one before to one after
    filters, sources = 8 * 4, 2
    a_frame = filters + 8 * 6 + sources * (6 * 6 + 6 * 6 + 6 * 8 + filters)  # encoder, bottleneck; heads, decoder
    rnn_and_dense = 2 * (4 * 5 * (6 + 5)) + (2 * 5) * 6
    in_a_chunk = 2 * 2 * rnn_and_dense + 6 * sources * 6  # two blocks along and across the chunks; what tells sources
    assert count_multiply_adds(_model(separator_conf=conf), 202) == frames * a_frame + 10 * chunks * in_a_chunk


def test_attention_counts_its_products_between_frames():
    conf = {"n_heads": 2, "hidden_size": 4, "chunk_size": 10, "n_blocks": 1}
    model = _model(separator="dptnet", separator_conf=conf)
    short, long = count_multiply_adds(model, 400), count_multiply_adds(model, 4000)
    assert long > 10.5 * short  # attention across chunks grows with the square of their number


def test_skim():
    conf = {"hidden_size": 5, "chunk_size": 10, "n_blocks": 2}
    frames, segments = 100, 11  # the last one of zeros
    filters, sources = 8 * 4, 2
    a_frame = filters + sources * (8 * 8 + filters)  # encoder; masks, decoder
    in_a_segment = 2 * (2 * (4 * 5 * (8 + 5)) + (2 * 5) * 8)  # two LSTMs in both directions and dense layers
    across = 2 * (2 * (4 * 5 * (10 + 5)) + 10 * 10)  # of outputs and of cells
    expected = frames * a_frame + 10 * segments * in_a_segment + segments * across
    assert count_multiply_adds(_model(separator="skim", separator_conf=conf), 202) == expected


def test_transformers():
    conf = {"chunk_size": 10, "n_blocks": 2, "n_layers": 1, "n_heads": 2, "feedforward_size": 12}
    frames, segments, filters, sources = 100, 11, 8 * 4, 2
    layer = 4 * 8 * 8 + 2 * 8 * 12  # of attention and between the two dense layers
    inside = 2 * (10 * segments * layer + 2 * segments * 10**2 * 8)
    across = segments * layer + 2 * segments**2 * 8
    expected = frames * (filters + sources * (8 * 8 + filters)) + inside + across
    assert count_multiply_adds(_model(separator="resepformer", separator_conf=conf), 202) == expected


def test_tdanet_counts_every_pass():
    conf = {"bottleneck_size": 6, "hidden_size": 8, "n_blocks": 3, "n_levels": 2}
    frames, coarse, filters, sources = 106, 53, 8 * 4, 2  # of 202 samples with the zeros at both ends, by steps of 2
    conv, dense = 8 * 5, 8 * 8
    levels = frames * (2 * 6 * 8 + conv) + coarse * conv
    top = coarse * (2 * dense + 2 * 8 * 16 + 2 * conv)
    up = frames * conv + 2 * coarse * conv
    block = levels + top + up
    ends = frames * (filters + 8 * 6 + sources * (6 * 8) + (sources * 8) * (sources * 4))  # the decoder mixes
    expected = 3 * block + 2 * frames * 6 + ends
    model = _model(separator="tdanet", encoder="mixing_conv", separator_conf=conf)
    assert count_multiply_adds(model, 202) == expected


def test_sepreformer():
    conf = {"bottleneck_size": 4, "n_stages": 1, "n_heads": 2, "kernel_size": 5}
    frames, coarse, filters, sources, c = 100, 50, 8 * 4, 2, 4
    feedforward = 6 * c * c + 6 * c * 3 + 3 * c * c
    attention = 4 * c * c
    near = 2 * c * c + 5 * c + 2 * c * c + 2 * c * c + feedforward
    gated = c * c + feedforward
    between = 2 * coarse * c * coarse  # frames, in each global block
    encoder = 2 * (frames * (gated + near) + coarse * attention + between)
    bottleneck = 2 * (coarse * (gated + near) + coarse * attention + between)
    among = attention + 2 * sources * c + feedforward
    decoder = sources * 3 * (frames * (gated + near + among) + coarse * attention + between)
    split = (frames + coarse) * (c * 4 * c * sources + 2 * c * sources * c * sources)
    ends = frames * (filters + 8 * c + sources * (2 * c * c + c * 4 * c + 2 * c * 8 + filters)) + coarse * c * 5
    model = _model(separator="sepreformer", mask_activation="mapping", separator_conf=conf)
    assert count_multiply_adds(model, 202) == encoder + bottleneck + decoder + split + ends


SPECTRA = {"encoder": "stft", "encoder_conf": {"window": "hann", "padding": "reflect"}}


def test_tfgridnet():
    """Two blocks on 26 frames of 9 frequencies; filled up they are 32 and 15, in 29 and 12 steps of four places."""
    conf = {"bottleneck_size": 4, "hidden_size": 3, "n_blocks": 2, "n_heads": 2, "attention_size": 12}
    frames, frequencies, n, sources = 26, 9, 4, 2
    transforms = frames * 16 * 18 * (1 + sources) + 2 * 8 * 8  # of windows of 16; the mirrored ends
    convolutions = frames * frequencies * (9 * 2 * n + 9 * n * 2 * sources)
    in_a_step = 2 * (4 * 3 * (4 * n + 3)) + 2 * 3 * 4 * n
    projections = 2 * n * (2 * 2) + 2 * n * n  # queries and keys of two heads with two channels; values, output
    between = frames**2 * frequencies * (2 * 2 + n)
    block = (32 * 12 + 15 * 29) * in_a_step + frames * frequencies * projections + between
    values = {**SPECTRA, "n_filters": 18, "kernel_size": 16, "mask_activation": "mapping"}
    model = _model(separator="tfgridnet", separator_conf=conf, **values)
    assert count_multiply_adds(model, 202) == transforms + convolutions + 2 * block


def test_tiger():
    """Two passes over 41 frames of 21 bands of a frequency each; along each axis at all of its places and at half."""
    c, hidden, heads, e, bands, frames, sources = 4, 6, 2, 3, 21, 41, 2
    conf = {"bottleneck_size": c, "hidden_size": hidden, "n_heads": heads, "attention_size": e}
    conf |= {"n_blocks": 2, "n_levels": 2, "sample_rate": 1000}

    def path(along, other):
        fine, coarse, conv = along, (along + 1) // 2, 5 * hidden
        top = coarse * (2 * hidden * hidden + conv)
        fuse = fine * hidden + 2 * coarse * hidden + 3 * coarse * hidden
        up = fine * conv + 2 * coarse * conv
        block = 2 * fine * c * hidden + (fine + coarse) * conv + top + fuse + up
        projections = along * (2 * heads * c * e + 2 * c * c)  # queries and keys; values and output
        return other * (block + projections + along**2 * (heads * e + c))

    ends = frames * 40 * 42 * (1 + sources) + 2 * 20 * 20 + frames * 42 * c  # transforms, mirrored ends; bands
    masks = frames * bands * (4 * sources) * (c // 2)
    expected = ends + 2 * (path(bands, frames) + path(frames, bands)) + frames * bands * c + masks
    values = {**SPECTRA, "n_filters": 42, "kernel_size": 40, "stride": 10, "mask_activation": "complex"}
    assert count_multiply_adds(_model(separator="tiger", separator_conf=conf, **values), 402) == expected


def test_mode_is_left_as_it_was():
    ms.set_context(mode=ms.GRAPH_MODE)
    count_multiply_adds(_model(separator="tcn", separator_conf={"n_blocks": 1, "n_repeats": 1}), 100)
    assert ms.get_context("mode") == ms.GRAPH_MODE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bottleneck_size", "kernel_size", "chunk_size", "millions", "giga"),
    few(
        [(64, 2, 250, 2.61, 41.6), (128, 2, 250, 3.65, 58.3), (64, 16, 100, 2.61, 5.3), (128, 16, 100, 3.65, 7.4)],
        *((64, 16, 100, 2.61, 5.3), (128, 16, 100, 3.65, 7.4)),
    ),
)
def test_published_sizes(bottleneck_size, kernel_size, chunk_size, millions, giga):
    """Known: 41, 58, 5.2 and 7.2 G; about 2 % more are of the frames that only fill up chunks."""
    conf = {"bottleneck_size": bottleneck_size, "chunk_size": chunk_size}
    model = build_model(make_config({"kernel_size": kernel_size, "separator_conf": conf}, "test"))
    assert sum(parameter.size for parameter in model.get_parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert count_multiply_adds(model, 32000) / 4e9 == pytest.approx(giga, abs=0.05)


@UNDER_ALL
def test_published_size_of_tfgridnet():
    """Known: 8.2 M parameters and 72 G a second, of ESPnet's TFGridNetV2."""
    values = {**SPECTRA, "n_filters": 130, "kernel_size": 128, "mask_activation": "mapping", "normalize_variance": True}
    model = build_model(make_config({"separator": "tfgridnet", **values}, "test"))
    assert sum(parameter.size for parameter in model.get_parameters()) / 1e6 == pytest.approx(8.176, abs=0.001)
    assert count_multiply_adds(model, 32000) / 4e9 == pytest.approx(72.3, abs=0.05)
