"""Settings of executors on the command line."""

from __future__ import annotations

import pytest
from helpers.command_line import Call

from xaibench.cli.arguments import settings_from, workers_from
from xaibench.core.errors import UsageError


def test_settings_come_from_pairs_and_options() -> None:
    found = settings_from(["mem=16GB", "setup=a=b"], scheduler=None, time="60")
    assert found == {"time": "60", "mem": "16GB", "setup": "a=b"}
    for wrong in ("mem", "=4"):
        with pytest.raises(UsageError, match="is not a setting"):
            settings_from([wrong])
    with pytest.raises(UsageError, match="time is set twice"):
        settings_from(["time=3"], time="60")


def test_a_job_of_a_cluster_uses_one_process_unless_told_otherwise() -> None:
    assert workers_from("auto", auto=0) == 0
    assert workers_from("4", auto=0) == 4


def test_settings_without_an_executor_are_refused(call: Call) -> None:
    code, _, err = call("run", "--scheduler", "tcp://x:1", "--store", "memory://settings")
    assert code == 2
    assert "scheduler is for an executor" in err
