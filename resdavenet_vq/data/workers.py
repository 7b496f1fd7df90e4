"""Worker processes of the preparation and of the demo corpus; they end with the command that started them."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import batched

from resdavenet_vq.errors import InputError
from resdavenet_vq.processes import check_temporary_folder, end_with_parent

TASKS_AT_ONCE = 8
"""Tasks that a worker gets together."""

CHUNKS_PER_WORKER = 4
"""Chunks that are submitted before the first result is taken: bounds memory."""


def in_parallel[T, R](
    tasks: Iterable[T], convert: Callable[[tuple[T, ...]], list[R]], workers: int, preload: str
) -> Generator[R]:
    """The results of `convert` in the order of the tasks.

    `preload` names the module of `convert`, which the workers import once. Raises InputError if a worker is killed.
    """
    chunks = batched(tasks, TASKS_AT_ONCE)
    if workers <= 1:
        for chunk in chunks:
            yield from convert(chunk)
        return
    check_temporary_folder()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    pending: deque[Future[list[R]]] = deque()
    with ProcessPoolExecutor(workers, context, initializer=end_with_parent) as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(convert, chunk))
                if len(pending) >= workers * CHUNKS_PER_WORKER:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise InputError(
                "a worker process was killed, perhaps for lack of memory; run it again with fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
