"""The command line: the only place that prints or exits. Heavy imports live inside commands."""

from __future__ import annotations

import os
import sys
import traceback


def main() -> None:
    """Entry point of ``xaibench``."""
    # Threads that spin while they wait triple times on a busy machine; torch reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from xaibench.cli.app import app
    from xaibench.core.deferring import deferring
    from xaibench.core.errors import XaibenchError

    before = deferring.set(True)
    try:
        app()
    except XaibenchError as error:
        if os.environ.get("XAIBENCH_TRACEBACK"):
            traceback.print_exc()
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone (`xaibench list | head`); Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        deferring.reset(before)
