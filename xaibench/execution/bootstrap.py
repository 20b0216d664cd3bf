"""First lines of a worker process, run as a script: a guardian is left behind before anything heavy is imported.

The guardian is a fork that waits for the parent to close its end of a pipe, as the system does for
it when it is killed, and then kills the whole process group: the worker, whatever it hangs in, and
all that it has started.
"""

import json
import os
import signal
import sys


def guard(lifeline: int, connection: int) -> None:
    """Leave a process behind that ends this group when no process holds the other end of the lifeline."""
    if os.fork() == 0:
        os.close(connection)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        try:
            os.read(lifeline, 1)
        finally:
            os.killpg(0, signal.SIGKILL)
    os.close(lifeline)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    guard(given["lifeline"], given["connection"])
    sys.path[:] = given["path"]
    from xaibench.execution.worker import serve

    serve(given["connection"])
