"""Work in processes."""

import os
import time

import pytest

from mindaudio_ext import log
from mindaudio_ext.data.parallel import parallel_map, worker_number
from mindaudio_ext.errors import InputError


def _square(number):
    if number == 77:
        raise InputError("77 is bad")
    return number * number


def _process(_item):
    return os.getpid()


@pytest.mark.parametrize("nj", [1, 3])
def test_results_come_in_order(nj):
    assert list(parallel_map(_square, range(60), nj=nj, title="x")) == [n * n for n in range(60)]


@pytest.mark.parametrize("nj", [1, 2])
def test_an_error_comes_through(nj):
    with pytest.raises(InputError, match="77 is bad"):
        list(parallel_map(_square, range(100), nj=nj, title="x"))


def test_fresh_processes_are_all_different():
    found = list(parallel_map(_process, range(4), nj=2, title="x", fresh=True))
    assert len({*found, os.getpid()}) == 5


def test_progress_is_rare_without_a_terminal(capsys):
    log.to_stderr()
    list(parallel_map(_square, [1] * 200, nj=1, title="squares"))
    assert capsys.readouterr().err.splitlines() == [f"squares: {n} of 200" for n in (50, 100, 150, 200)]


def _number_of_worker(_):
    time.sleep(0.3)
    return worker_number()


def test_workers_have_numbers_from_zero():
    assert worker_number() == 0
    assert set(parallel_map(_number_of_worker, range(12), nj=2, title="numbers")) == {0, 1}
