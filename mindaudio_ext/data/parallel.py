"""Work spread over processes, or over the tasks of a cluster, in order, with progress on stderr."""

import logging
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from tqdm import tqdm

from mindaudio_ext.cluster import Slurm, map_shards
from mindaudio_ext.errors import one_line
from mindaudio_ext.interrupt import before_processes, remove_unfinished

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)
_FEW = 100  # items: fewer get one line when all are done
_worker_number = 0
_WAITING_PER_JOB = 8  # bounds the memory of results that wait for an earlier one


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, nj: int, title: str, fresh: bool = False
) -> Iterator[Result]:
    """Yields `function(item)` for each item, in order, computed in `nj` processes; on a cluster, by an array job.

    Args:
        function: a module's function; it and the items must pickle.
        items: what to work on.
        nj: processes. 1 works in this one, unless `fresh`.
        title: begins the progress line.
        fresh: a new process for every item, for libraries whose state must not leak from one item to the next.
    """
    if slurm := Slurm.from_environment():
        yield from map_shards(function, items, slurm, title=one_line(title), fresh=fresh)
        return
    if nj <= 1 and not fresh:
        yield from progress(map(function, items), total=len(items), title=title)
        return
    before_processes()
    context = multiprocessing.get_context("forkserver")  # fork is unsafe once there are threads, spawn is slow
    context.set_forkserver_preload([function.__module__])
    if fresh:
        with ThreadPoolExecutor(nj) as threads:
            results = _in_order(threads, lambda item: _in_new_process(context, function, item), items, nj)
            yield from progress(results, total=len(items), title=title)
    else:
        begun = context.Value("i", 0)
        with ProcessPoolExecutor(nj, mp_context=context, initializer=_begin_worker, initargs=(begun,)) as pool:
            yield from progress(_in_order(pool, function, items, nj), total=len(items), title=title)


def progress(results: Iterable[Result], *, total: int, title: str) -> Iterator[Result]:
    """Passes results on and shows how many came: a bar on a terminal, else a line a quarter."""
    title = one_line(title)  # a folder's name may hold anything
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, desc=title, file=sys.stderr)
        return
    steps = 4 if total >= _FEW else 1
    for count, result in enumerate(results, 1):
        if count * steps // total > (count - 1) * steps // total:
            log.info("%s: %d of %d", title, count, total)
        yield result


def _in_order(
    pool: ProcessPoolExecutor | ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    nj: int,
) -> Iterator[Result]:
    """Yields results in order with a bounded number under way; on an error what has not begun is cancelled."""
    waiting: deque[Future] = deque()
    try:
        for item in items:
            if len(waiting) >= nj * _WAITING_PER_JOB:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _in_new_process(
    context: multiprocessing.context.BaseContext, function: Callable[[Item], Result], item: Item
) -> Result:
    with ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent) as pool:
        return pool.submit(function, item).result()


def worker_number() -> int:
    """Returns the number of this process among those of a `parallel_map`, from 0; 0 in any other process."""
    return _worker_number


def _begin_worker(begun: Synchronized) -> None:
    global _worker_number
    _end_with_parent()
    with begun.get_lock():
        _worker_number = begun.value
        begun.value += 1


def _end_with_parent() -> None:
    """Ends a worker at once when its parent was killed; it would write files beside the next attempt otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker"

    def watch() -> None:
        parent.join()
        remove_unfinished()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
