"""Worker processes of the preparation, of folders of recordings and of the demo corpus.

They end with the command that started them. A task whose process is killed, by the kernel for lack of memory or by the
fault of a decoder, that takes too long even inside a decoder, or that needs too much memory is found, and costs no other
task anything.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import batched
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, NamedTuple

from resdavenet_vq.errors import InputError
from resdavenet_vq.processes import check_temporary_folder, end_with_parent

TASKS_AT_ONCE = 8
"""Tasks that a worker gets together."""

CHUNKS_PER_WORKER = 4
"""Chunks that are submitted before the first result is taken: bounds memory."""

TASK_SECONDS = 120.0
"""Longest time for a task: a hundred times what the largest sound file takes, as machines and disks may be busy."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

_KEPT_BYTES = 1 << 25
"""Free memory that a worker keeps at most: the arrays of some minutes of speech."""

_CANNOT_BEGIN = (
    "worker processes cannot begin: they import the program that starts them; what it does when it is run belongs below"
    ' `if __name__ == "__main__":`'
)


class _Failure(NamedTuple):
    """In place of the result of a task."""

    reason: str


type _Work[T, R] = Callable[[Sequence[T]], list[R | _Failure]]


def in_parallel[T, R](
    tasks: Iterable[T],
    convert: Callable[[T], R],
    workers: int,
    loaded: Sequence[str],
    failed: Callable[[T, str], R] | None = None,
    seconds: float | None = None,
) -> Generator[R]:
    """The results of `convert` in the order of the tasks.

    `loaded` names the module of `convert`, and others that it needs, which are loaded once for all workers. `failed` makes the result of a task that
    takes longer than `seconds` (by default TASK_SECONDS), whose process is killed, or that runs out of memory, with the
    reason; without it, time is not bounded and InputError is raised.
    """
    seconds = (seconds or TASK_SECONDS) if failed else 0.0
    work: _Work[T, R] = partial(_convert_all, convert, seconds)
    for chunk, results in _in_order(batched(tasks, TASKS_AT_ONCE), work, workers, loaded, seconds):
        for task, result in zip(chunk, results, strict=True):
            if not isinstance(result, _Failure):
                yield result
            elif failed:
                yield failed(task, result.reason)
            else:
                raise InputError(f"a worker process {result.reason}; run it again with fewer workers")


def _in_order[T, R](
    chunks: Iterable[tuple[T, ...]], work: _Work[T, R], workers: int, loaded: Sequence[str], seconds: float
) -> Generator[tuple[tuple[T, ...], list[R | _Failure]]]:
    """Every chunk with its results."""
    if workers <= 1 and not seconds:  # nothing can happen to it
        for chunk in chunks:
            yield chunk, work(chunk)
        return
    check_temporary_folder()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *loaded])
    pending: deque[tuple[tuple[T, ...], Future[list[R | _Failure]]]] = deque()
    pool = _pool(context, workers, work)
    try:
        for chunk in chunks:
            pending.append((chunk, _submit(pool, chunk)))
            if len(pending) < max(1, workers) * CHUNKS_PER_WORKER:
                continue
            if isinstance(pending[0][1].exception(), BrokenProcessPool):
                pool.shutdown()
                pending = deque((chunk, _repeat(future, context, work, chunk, seconds)) for chunk, future in pending)
                pool = _pool(context, workers, work)
            chunk_, future = pending.popleft()
            yield chunk_, _repeat(future, context, work, chunk_, seconds).result()
        while pending:
            chunk_, future = pending.popleft()
            yield chunk_, _repeat(future, context, work, chunk_, seconds).result()
    finally:
        pool.shutdown(cancel_futures=True)


_work_of_this_process: list[_Work[Any, Any]] = []


def _do(chunk: tuple[Any, ...]) -> list[Any]:
    return _work_of_this_process[-1](chunk)


def _begin[T, R](work: _Work[T, R]) -> None:
    """Begins a worker process: it ends with its parent, and it keeps the memory that it has had.

    The C library of GNU would give the memory of each array back to the kernel and ask for it again, page by page, for the
    next one, which takes a quarter of the time of the features.
    """
    end_with_parent()
    _work_of_this_process.append(work)
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)


def _pool[T, R](context: ForkServerContext, workers: int, work: _Work[T, R]) -> ProcessPoolExecutor:
    """Workers that get their work once: it may hold as much as the speakers of a whole corpus."""
    return ProcessPoolExecutor(max(1, workers), context, initializer=_begin, initargs=(work,))


def _submit[T, R](pool: ProcessPoolExecutor, chunk: tuple[T, ...]) -> Future[list[R | _Failure]]:
    try:
        return pool.submit(_do, chunk)
    except BrokenProcessPool as e:
        future: Future[list[R | _Failure]] = Future()
        future.set_exception(e)
        return future


def _repeat[T, R](
    future: Future[list[R | _Failure]],
    context: ForkServerContext,
    work: _Work[T, R],
    chunk: tuple[T, ...],
    seconds: float,
) -> Future[list[R | _Failure]]:
    """The future itself, or if its pool broke, one of the results of the chunk in a process of its own.

    If that is killed as well, the tasks get processes one by one.
    """
    if not isinstance(future.exception(), (BrokenProcessPool, MemoryError)):
        return future
    results = _run_alone(context, work, chunk, seconds)
    if isinstance(results, _Failure):
        results = []
        for task in chunk:
            alone = _run_alone(context, work, (task,), seconds)
            results.extend([alone] if isinstance(alone, _Failure) else alone)
    again: Future[list[R | _Failure]] = Future()
    again.set_result(results)
    return again


def _run_alone[T, R](
    context: ForkServerContext, work: _Work[T, R], chunk: Sequence[T], seconds: float
) -> list[R | _Failure] | _Failure:
    """The results of tasks in a process of their own, or how that ended."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, chunk))
    process.start()
    sender.close()
    has_begun = False
    try:
        has_begun = receiver.recv()
        outcome = receiver.recv()
    except (EOFError, OSError):
        process.join()
        if not has_begun and process.exitcode == 1:  # that of an exception while it imports
            raise InputError(_CANNOT_BEGIN) from None
        return _Failure(_ending(process.exitcode, seconds))
    finally:
        receiver.close()
        process.kill()
        process.join()
    if isinstance(outcome, BaseException):
        raise outcome
    results: list[R | _Failure] = outcome
    return results


def _ending(status: int | None, seconds: float) -> str:
    if status == -signal.SIGALRM:
        return f"took longer than {seconds:g} s"
    if status == -signal.SIGKILL:
        return "was killed (signal 9), perhaps for lack of memory"
    return f"was killed (signal {-status})" if status and status < 0 else f"ended with status {status}"


def _send[T, R](sender: Connection, work: _Work[T, R], chunk: Sequence[T]) -> None:
    _begin(work)
    sender.send(True)
    try:
        outcome: list[R | _Failure] | Exception = work(chunk)
    except Exception as e:  # noqa: BLE001 - raised again by the command
        outcome = e
    sender.send(outcome)


def _convert_all[T, R](convert: Callable[[T], R], seconds: float, tasks: Sequence[T]) -> list[R | _Failure]:
    """The results of tasks; the kernel ends this process if one takes longer than `seconds`, unless they are 0."""
    results: list[R | _Failure] = []
    for task in tasks:
        try:
            if seconds:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            results.append(convert(task))
        except MemoryError:
            results.append(_Failure("needs more memory than there is"))
        finally:
            if seconds:
                signal.setitimer(signal.ITIMER_REAL, 0)
    return results
