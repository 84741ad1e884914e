"""Native code of others in a process of its own: when it crashes, hangs or prints, nobody else notices."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from lakehouse.errors import CitylakeError
from lakehouse.sources.database.query import Query

Read = Callable[[Query], Iterator[pa.RecordBatch]]

_LATER_S = 2
"""How much later than the query's end the process is ended: first the driver may say so itself."""


def apart(read: Read, query: Query) -> Iterator[pa.RecordBatch]:
    """The batches of `read`, a function of an importable module. Raises what it raises, SourceUnavailable when it crashed."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            given, made = child.stdin, child.stdout
            assert given and made  # they are pipes
            with given:
                pickle.dump((read, query), given)
            while (batch := pickle.load(made)) is not None:
                if isinstance(batch, CitylakeError):
                    raise batch
                yield batch
        except (EOFError, OSError, pickle.UnpicklingError):
            raise query.broken_off() from None
        finally:
            child.kill()


def _work() -> None:
    """In the process: reads what is asked from standard input and gives batches, then None or an error, on standard output."""
    made = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where a driver may print
    read, query = pickle.load(sys.stdin.buffer)
    signal.alarm(max(1, round(query.until - time.monotonic()) + _LATER_S))  # ends native code, too
    last: Any = None
    try:
        for batch in read(query):
            pickle.dump(batch, made)
    except CitylakeError as error:
        last = error
    except Exception as error:  # its words may hold values
        last = CitylakeError(f"{type(error).__name__} while the driver was read", where=query.where)
    pickle.dump(last, made)
    made.flush()
    os._exit(0)  # some drivers crash when they are unloaded


if __name__ == "__main__":
    _work()
