"""Programs that read what their library may stumble over: each in a process of its own, within limits."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from lakehouse.errors import DeliveryUnreadable, EnvironmentFault
from lakehouse.program import REASON

MOST_MEMORY, _MOST_WRITTEN = 2 << 30, 16 << 30
_MOST_SECONDS = 300
_ENDED_BY_OTHERS = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP}
_KIND = re.compile(r"[\w.]*(Error|Exception)\b")


def run(program: str, path: Path, *arguments: object, where: str) -> IO[bytes]:
    """What a program beside this module writes about the file: called with the file's path and everything else as JSON.

    Raises DeliveryUnreadable with the program's reason, or when it takes too much memory or time; EnvironmentFault
    when somebody else ended it.
    """
    written = TemporaryFile()  # noqa: SIM115 (lives as long as the reading)
    given = json.dumps([str(path), *arguments, MOST_MEMORY, _MOST_WRITTEN])
    command = [sys.executable, "-I", str(Path(__file__).with_name(program)), given]
    hint = "check 'format' and 'sheet' in 'source', or ask for it again, as CSV perhaps"
    try:
        done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, timeout=_MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeliveryUnreadable(f"it isn't read after {_MOST_SECONDS} s", where=where, hint=hint) from error
    if done.returncode in _ENDED_BY_OTHERS:  # its own limits end it otherwise: that says nothing of the file
        said = f"the program that reads it was ended by signal {-done.returncode}"
        raise EnvironmentFault(
            said, where=where, hint="is the machine short of memory? then free some, and run it again"
        )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [""]
        ended = _KIND.match(lines[-1])  # what an error says may hold values, its kind doesn't
        how = ended[0] if ended else f"signal {-done.returncode}"
        reason = lines[0] if done.returncode == REASON else f"it is damaged or takes too much memory ({how})"
        raise DeliveryUnreadable(reason, where=where, hint=hint)
    written.seek(0)
    return written
