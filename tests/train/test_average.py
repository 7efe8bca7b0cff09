"""The mean of the best epochs, by hand."""

import numpy as np
from mindspore import Parameter, Tensor, load_checkpoint, nn

from mindaudio_ext.train.average import average_best


def test_the_two_best_epochs_are_kept_and_averaged(tmp_path):
    model = nn.Cell()
    model.weight = Parameter(Tensor(np.zeros(3, np.float32)), name="weight")
    (tmp_path / "epoch_1_copy.ckpt").write_text("mine")
    history, means = [], []
    for epoch, loss in enumerate((5.0, 3.0, 4.0, 6.0, 2.0), start=1):
        model.weight.set_data(Tensor(np.full(3, epoch, np.float32)))
        history.append({"epoch": epoch, "valid_loss": loss})
        average_best(model, history, n_best=2, folder=tmp_path)
        means.append(load_checkpoint(str(tmp_path / "average.ckpt"))["weight"].asnumpy().tolist())
    assert means == [[1.0] * 3, [1.5] * 3, [2.5] * 3, [2.5] * 3, [3.5] * 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("average.ckpt", "epoch_1_copy.ckpt", "epoch_2.ckpt", "epoch_5.ckpt"),
    ]
