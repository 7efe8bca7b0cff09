"""One update: parts of a batch, clipping, moving averages and the clamp, on a model of eight numbers."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindaudio_ext.config import load_config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.batch_norm import BatchNorm
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.registry import LOSSES
from mindaudio_ext.train.step import TrainStep

BASE = Path(__file__).parents[2] / "conf/base.yaml"
SGD = "optimizer=sgd momentum=0 lr=0.1 batch_size=4 clip_norm=1e9"


class Filters(nn.Cell):
    """Estimates are the mixture through a filter of four taps each."""

    def __init__(self):
        super().__init__()
        taps = np.array([[1, 0.5, 0.2, -0.1], [0.3, -0.6, 0.1, 0.4]], np.float32)
        self.taps = Parameter(Tensor(taps), name="taps")

    def construct(self, mixture):
        estimates = 0
        for delay in range(4):
            delayed = ops.concat((mixture[:, delay:], mixture[:, :delay]), axis=1) if delay else mixture
            estimates += self.taps[:, delay].reshape(1, 2, 1) * delayed.expand_dims(1)
        return estimates


def batch(seed=0, length=300):
    sources = np.random.default_rng(seed).standard_normal((4, 2, length)).astype(np.float32)
    sources[:, 0] += np.roll(sources[:, 0], 1, axis=-1)
    return Batch(sources.sum(1), sources, np.array([length, length - 9, length, length - 50], np.int32))


def after(options, *batches):
    """The taps before and after steps, the step, and its last result."""
    config = load_config(BASE, None, [SGD, options])
    model = Filters()
    step = TrainStep(config, model)
    before = model.taps.asnumpy().copy()
    results = [step(one, config.lr) for one in batches]
    return before, model.taps.asnumpy(), step, results[-1]


@pytest.fixture(scope="module")
def gradient():
    before, then, _, result = after("", batch())
    grad = (before - then) / 0.1
    assert result.grad_norm == pytest.approx(np.sqrt((grad.astype(np.float64) ** 2).sum()), rel=1e-4)
    assert result.grad_norm > 1
    return grad


def test_parts_of_a_batch_add_up_to_it(gradient):
    before, then, _, _ = after("accum_steps=2", batch())
    assert np.abs((before - then) / 0.1 - gradient).max() < 1e-5 * np.abs(gradient).max()
    whole, parts = (after(options, batch(), batch(1)) for options in ("", "accum_steps=4"))
    assert parts[3].loss == pytest.approx(whole[3].loss, rel=1e-5)
    assert np.abs(whole[1] - parts[1]).max() < 1e-5


def test_gradients_above_the_norm_are_scaled_down_to_it(gradient):
    before, then, _, result = after("clip_norm=0.25", batch())
    moved = (before - then) / 0.1
    assert np.sqrt((moved**2).sum()) == pytest.approx(0.25, rel=1e-4)
    assert moved / 0.25 == pytest.approx(gradient / result.grad_norm, rel=1e-3, abs=1e-5)


def test_moving_averages_by_hand_and_while_validating():
    before, first, _, _ = after("ema_decay=0.75", batch())
    _, second, step, _ = after("ema_decay=0.75", batch(), batch(1))
    average = 0.75 * (0.75 * before + 0.25 * first) + 0.25 * second
    (taps,) = step.update.parameters
    with step.ema_weights():
        assert np.abs(taps.asnumpy() - average).max() < 1e-6
    assert np.array_equal(taps.asnumpy(), second)
    assert np.abs(average - second).max() > 1e-4


def test_a_step_that_is_not_finite_moves_no_average_either():
    bad = batch(1)
    bad.mixture[2, 5] = np.inf
    _, once, step, _ = after("ema_decay=0.75", batch())
    average = step.update.averages[0].asnumpy().copy()
    result = step(bad, 0.1)
    assert not result.applied
    assert np.array_equal(step.update.averages[0].asnumpy(), average)
    assert np.array_equal(step.update.parameters[0].asnumpy(), once)


def test_an_example_above_the_clamp_does_not_train():
    """The estimates reach about 0 dB, so a clamp of -60 holds for all of them."""
    before, then, _, result = after("si_snr_clamp=-60", batch())
    assert result.loss == pytest.approx(60)
    assert np.array_equal(before, then)


class Deep(Filters):
    """Gives the mixture's own estimates, and two auxiliary ones: half of them, and the mixture in both places."""

    n_auxiliary = 2

    def with_auxiliary(self, mixture):
        estimates = self.construct(mixture)
        return estimates, 0.5 * estimates, mixture.expand_dims(1) + 0 * estimates


def test_auxiliary_estimates_have_their_share_of_the_loss():
    """Halving does not change SI-SNR, so the loss is (1 - w / 2) of the estimates' and w / 2 of the mixture's."""
    config = load_config(BASE, None, [f"{SGD} auxiliary_weight=0.5"])
    model, one = Deep(), batch()
    lengths = Tensor(one.lengths)
    estimates, _, mixture = (
        float(PITLoss(num_spks=2)(each, Tensor(one.sources), lengths))
        for each in model.with_auxiliary(Tensor(one.mixture))
    )
    step = TrainStep(config, model)
    for weight in (None, 0.2, 0.0):
        share = 0.25 if weight is None else weight / 2
        if weight is not None:
            step.weigh_auxiliary(weight)
        assert step(one, 0.0).loss == pytest.approx((1 - share) * estimates + share * mixture, abs=1e-4)
    assert [parameter.name for parameter in step.state] == [p.name for p in TrainStep(config, Filters()).state]


def test_without_a_weight_there_is_no_auxiliary_estimate():
    step = TrainStep(load_config(BASE, None, [f"{SGD} auxiliary_weight=0"]), Deep())
    plain = TrainStep(load_config(BASE, None, [SGD]), Filters())
    assert not step.has_auxiliary
    assert step(batch(), 0.1) == plain(batch(), 0.1)


class Normed(nn.Cell):
    """`Filters` of a mixture that batch normalisation has gone over."""

    def __init__(self):
        super().__init__()
        self.filters, self.norm = Filters(), BatchNorm(1)

    def construct(self, mixture):
        return self.filters(self.norm(mixture.expand_dims(-1)).squeeze(-1))


def test_running_statistics_move_with_each_part_and_not_in_a_step_that_is_not_applied():
    model, one = Normed(), batch()
    step = TrainStep(load_config(BASE, None, [f"{SGD} accum_steps=2"]), model)
    model.set_train(True)
    assert step(one, 0.0).applied
    mean, variance = 0.0, 1.0
    for part in np.split(one.mixture, 2):
        mean, variance = 0.9 * mean + 0.1 * part.mean(), 0.9 * variance + 0.1 * part.var(ddof=1)
    found = [parameter.asnumpy() for parameter in step.statistics]
    assert np.concatenate(found) == pytest.approx([mean, variance], abs=1e-5)
    one.mixture[2, 5] = np.inf
    assert not step(one, 0.0).applied
    assert [parameter.asnumpy().tolist() for parameter in step.statistics] == [value.tolist() for value in found]
    other = Normed()
    step.restart(other)
    assert [float(parameter) for parameter in step.statistics] == [0, 1]


SIZES = "separator_conf.hidden_size=5 separator_conf.chunk_size=10 separator_conf.n_blocks=2"
TRANSFORMER = (
    "separator_conf.n_layers=1 separator_conf.n_heads=2 separator_conf.feedforward_size=6 separator_conf.dropout=0.2"
)


@pytest.mark.parametrize(
    "separator",
    [
        f"dprnn {SIZES} separator_conf.bottleneck_size=6 separator_conf.rnn_layers=2 separator_conf.dropout=0.2",
        "tcn separator_conf.bottleneck_size=6 separator_conf.hidden_size=5 separator_conf.skip_size=4 "
        "separator_conf.n_blocks=2 separator_conf.n_repeats=2 mixture_consistency=true normalize_variance=true",
        *(
            pytest.param(options, marks=pytest.mark.needs("--all"))  # their blocks are put together as the others' are
            for options in (
                f"dptnet {SIZES} separator_conf.dropout=0.2",
                f"skim {SIZES} separator_conf.dropout=0.2",
                f"sepformer separator_conf.bottleneck_size=8 {TRANSFORMER}",
                f"resepformer separator_conf.n_blocks=3 {TRANSFORMER}",
                "tfgridnet encoder=stft encoder_conf.window=hann encoder_conf.padding=reflect n_filters=18 "
                "mask_activation=mapping normalize_variance=true separator_conf.bottleneck_size=4 "
                "separator_conf.hidden_size=3 separator_conf.n_blocks=2 separator_conf.n_heads=2 "
                "separator_conf.attention_size=12",
            )
        ),
    ],
    ids=lambda options: options.split()[0],
)
def test_computing_again_gives_the_same_gradients(separator):
    """In two steps, of two parts each: what is dropped is different in each step and block, and the same again."""
    taken = []
    ways = ["recompute=false", "recompute=true"]
    if separator.startswith("dprnn"):
        ways.append("recompute=true recompute_rnns=false")
    for way in ways:
        options = f"n_filters=8 kernel_size=16 accum_steps=2 {way}"
        config = load_config(BASE, None, [SGD, options, f"separator={separator}"])
        model = build_model(config)
        rng = np.random.default_rng(0)
        for parameter in model.get_parameters():
            parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape), parameter.dtype))
        before = np.concatenate([p.asnumpy().ravel() for p in model.trainable_params()])
        step = TrainStep(config, model)
        model.set_train(True)
        results = [step(batch(seed), 0.01) for seed in (0, 1)]
        after = np.concatenate([p.asnumpy().ravel() for p in model.trainable_params()])
        taken.append((after - before, [result.loss for result in results]))
    (moved, losses), *again = taken
    for moved_again, losses_again in again:
        assert np.abs(moved - moved_again).max() < 1e-5 * np.abs(moved).max()
        assert losses == pytest.approx(losses_again, abs=1e-4)


def test_a_model_without_blocks_cannot_compute_them_again():
    config = load_config(BASE, None, [SGD, "recompute=true"])
    with pytest.raises(InputError, match="recompute: this model has no blocks"):
        TrainStep(config, Filters())


@pytest.mark.parametrize("separator", [f"dprnn {SIZES} separator_conf.rnn_type=GRU", "tcn"])
def test_only_lstms_are_kept(separator):
    options = [SGD, "n_filters=8 kernel_size=16 recompute=true recompute_rnns=false", f"separator={separator}"]
    config = load_config(BASE, None, options)
    with pytest.raises(InputError, match="recompute_rnns: false is for the LSTMs of dprnn"):
        TrainStep(config, build_model(config))


def test_a_conf_names_the_loss(monkeypatch):
    """A toy loss, the mean of |estimate - reference| ** power, in the order given, with an option that a conf sets."""
    monkeypatch.setattr(LOSSES, "_registered", dict(LOSSES._registered))

    @LOSSES.register("distance")
    class Distance(nn.Cell):
        def __init__(self, *, num_spks: int, power: int = 2) -> None:
            super().__init__()
            assert num_spks == 2
            self.power = power

        def construct(self, estimates, references, lengths):
            return (ops.abs(estimates - references) ** self.power).mean()

    one = batch()
    estimates = Filters()(Tensor(one.mixture)).asnumpy()
    for options, power in (("", 2), ("loss_conf.power=1", 1)):
        *_, result = after(f"loss=distance {options}", one)
        assert result.loss == pytest.approx((np.abs(estimates - one.sources) ** power).mean(), rel=1e-5)
    with pytest.raises(InputError, match=r"loss_conf.power: must be at least 1 and at most 65536, got 0"):
        load_config(BASE, None, ["loss=distance loss_conf.power=0"])
