"""Depthwise convolutions against sums written out, in both forms."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.layers.depthwise import DepthwiseConv

CASES = [  # kernel size, options; 3 and 4 taps are summed, the others are products
    (3, {}),
    (3, {"dilation": 8}),
    (4, {"causal": True, "dilation": 2}),
    (5, {}),
    (5, {"stride": 2}),
    (5, {"dilation": 4, "has_bias": False}),
    (6, {"causal": True}),
    (65, {}),
    (65, {"stride": 2}),
]


def noise(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def sum_over_taps(x, weight, bias, *, dilation=1, stride=1, causal=False, **_):
    n_frames = x.shape[1]
    reach = (weight.shape[1] - 1) * dilation
    before = reach if causal else reach // 2
    x = np.pad(x, ((0, 0), (before, reach - before), (0, 0))).astype(np.float64)
    taps = [x[:, tap * dilation : tap * dilation + n_frames] * w for tap, w in enumerate(weight.T)]
    return (sum(taps) + bias)[:, ::stride]


@pytest.mark.parametrize("n_frames", [1, 31, 64, 100])
@pytest.mark.parametrize(("kernel_size", "options"), CASES)
def test_outputs(kernel_size, options, n_frames):
    layer = DepthwiseConv(3, kernel_size, **options)
    bias = layer.bias.asnumpy() if layer.has_bias else 0
    x = noise(2, n_frames, 3)
    expected = sum_over_taps(x, layer.weight.asnumpy(), bias, **options)
    y = layer(Tensor(x)).asnumpy()
    assert y.shape == (2, -(-n_frames // options.get("stride", 1)), 3)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("kernel_size", "options"), [(3, {"dilation": 2}), (5, {"stride": 2}), (65, {})])
def test_gradients(kernel_size, options):
    """Of the sum of y d: that of x is the convolution's transpose of d, that of a weight the product of d and x."""
    layer = DepthwiseConv(2, kernel_size, **options)
    x = noise(2, 45, 2)
    y = layer(Tensor(x))
    d = noise(*y.shape)

    def along(x):
        return (layer(x) * Tensor(d)).sum()

    d_x, (d_weight, d_bias) = ms.grad(along, 0, layer.trainable_params())(Tensor(x))
    weight = layer.weight.asnumpy()
    unit = np.eye(45, dtype=np.float32)[:, :, None].repeat(2, axis=2)  # [45, 45, 2]
    responses = sum_over_taps(unit, weight, 0, **options)  # to each frame alone, [45, L, 2]
    np.testing.assert_allclose(d_x.asnumpy(), np.einsum("jlh,blh->bjh", responses, d), atol=1e-4)
    for tap in range(kernel_size):
        only = np.zeros_like(weight)
        only[:, tap] = 1
        expected = (sum_over_taps(x, only, 0, **options) * d).sum(axis=(0, 1))
        np.testing.assert_allclose(d_weight.asnumpy()[:, tap], expected, atol=1e-4)
    np.testing.assert_allclose(d_bias.asnumpy(), d.sum(axis=(0, 1)), atol=1e-4)


def test_a_stride_and_a_dilation_do_not_go_together():
    with pytest.raises(ValueError, match="a stride or a dilation, not both"):
        DepthwiseConv(2, 3, stride=2, dilation=2)
