"""Untrusted programs: what they may do works, whatever else they try fails in one sentence, each layer on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xaibench.core.programs.black_box import run_program
from xaibench.functions.sandbox import confinement
from xaibench.functions.sandbox import program as sandbox
from xaibench.functions.sandbox.program import Limits, ProgramError, SandboxedProgram
from xaibench.functions.sandbox.syntax import ATTRIBUTES, BUILTINS, MODULES, RefusedError, parse_program

pytestmark = pytest.mark.skipif(not confinement.supported(), reason="programs are confined on Linux only")
QUICK = Limits(seconds=0.2)
X = np.array([-1.0, 0.0, 2.0])


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    """After a test all processes that it started are gone."""
    before = children()
    yield
    sandbox.dismiss_all()
    assert children() == before


def children(pid: int | None = None) -> set[int]:
    """Processes of this one, and theirs; not the tracker that stays when multiprocessing was used."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        try:
            if b"resource_tracker" in (folder / "cmdline").read_bytes():
                continue
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found: set[int] = set()
    new = {pid or os.getpid()}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def run(source: str, inputs: Any = X, kind: Any = "numeric", without: tuple[str, ...] = (), limits: Any = QUICK) -> Any:
    return SandboxedProgram(source, kind, limits, frozenset(without))(inputs)


def refused(source: str, *without: str, kind: Any = "numeric", limits: Limits = QUICK) -> str:
    """What is said of a program that is refused, or fails; one sentence in one line."""
    with pytest.raises(ProgramError) as caught:
        run(source, X if kind == "numeric" else ["a", "b"], kind, without, limits)
    said = str(caught.value)
    assert 5 < len(said) < 450
    assert "\n" not in said
    assert "Traceback" not in said
    return said


# What programs may do


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f(x):\n    return 2 * x + 1", [-1, 1, 5]),
        ("import math\ndef f(x: float) -> float:\n    return math.sqrt(x) if x >= 0 else -1", [-1, 0, 2**0.5]),
        ("from math import floor as g\nf = lambda x: g(x / 2)", [-1, 0, 1]),
        ("def f(x):\n    return 1 / x", [-1, np.nan, 0.5]),
        ("def f(x):\n    return x if x > 0 else 'negative'", [np.nan, np.nan, 2]),
        ("def f(x):\n    return 10 ** 400 if x == 2 else float('inf') if x else 1", [np.nan, 1, np.nan]),
        ("def f(xs):\n    return [x + 1 for x in xs]", [0, 1, 3]),
        ("table = {-1: 5, 0: 6}\ndef f(x):\n    return table[x]", [5, 6, np.nan]),
        ("def f(x):\n    match x:\n        case 2.0:\n            return 1\n    return 0", [0, 0, 1]),
        ("def f(x):\n    try:\n        return 1 / x\n    except ArithmeticError as e:\n        1", [-1, np.nan, 0.5]),
        ("def g(n):\n    return n * g(n - 1) if n > 0 else 1\ndef f(x):\n    return g(int(x) + 3)", [2, 6, 120]),
    ],
)  # fmt: skip
def test_numeric_programs(source: str, wanted: list[float]) -> None:
    np.testing.assert_array_equal(run(source), wanted)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f(x):\n    return x[::-1].upper()", ["ALÁ", None, "B"]),
        ("import re, string\ndef f(x):\n    return re.sub('[aá]', string.digits[1], x)", ["1lA", "", "b"]),
        ("def f(x):\n    return f'{len(x)}-{x!r:>5}'", ["3-'álA'", "0-   ''", "1-  'b'"]),
        ("def f(x):\n    return None if not x else ''.join(sorted(set(x.lower())))", ["alá", None, "b"]),
        ("def f(xs):\n    return list(map(str.upper, xs))", ["ÁLA", "", "B"]),
    ],
)  # fmt: skip
def test_programs_of_texts(source: str, wanted: list[str | None]) -> None:
    found = run(source, ["álA", "", "b"], "string")
    assert [a for a, b in zip(found, wanted, strict=True) if b is not None] == [b for b in wanted if b is not None]


def test_neurons_give_numbers_for_texts() -> None:
    np.testing.assert_array_equal(run("def f(x):\n    return x == 'a'", ["a", "b"], "neuron"), [1, 0])


def test_numbers_pass_bit_for_bit() -> None:
    x = np.random.default_rng(0).standard_normal(100) * 10.0 ** np.arange(-50, 50)
    np.testing.assert_array_equal(run("def f(x):\n    return x", x), x)


def test_calls_begin_anew_and_texts_have_one_order_in_every_process() -> None:
    program = SandboxedProgram("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "numeric")
    assert program(X).tolist() == program(X).tolist() == [1, 2, 3]
    source = "def f(x):\n    return ''.join({'ab', 'cd', 'ef', 'gh', x})"
    first = run(source, ["k"], "string")
    sandbox.dismiss_all()
    assert run(source, ["k"], "string") == first


def test_programs_without_f_or_without_outputs_say_so() -> None:
    assert refused("def g(x):\n    return 1") == "the program was refused: it defines no function f"
    assert refused("f = 3") == "the program was refused: it defines no function f"
    assert refused("def f(x):\n    return 1 / 0") == "ZeroDivisionError: division by zero (line 2)"
    assert refused("def f(x):\n    return 'a'") == "f(-1.0) gave a text of 1 characters"
    assert refused("x = [][1]\ndef f(x):\n    return 1") == "IndexError: list index out of range (line 1)"
    assert refused("def f(x)\n    return 1").startswith("the program was refused: line 1: it is not Python")
    assert refused("def f(x, y):\n    return 1").startswith("TypeError: f() missing 1 required")


def test_failures_are_outputs_that_are_missing() -> None:
    broken = SandboxedProgram("def f(x):\n    return undefined", "numeric")
    found, why = run_program(broken, X, "numeric")
    assert np.isnan(found).all()
    assert why == "ProgramError: NameError: name 'undefined' is not defined (line 2)"


def test_programs_are_plain_data() -> None:
    import pickle

    program = SandboxedProgram("def f(x):\n    return x + 1", "numeric")
    assert pickle.loads(pickle.dumps(program)) == program
    assert program.check() == 1
    assert SandboxedProgram("A = {'a': 1.5, 'b': True}\ndef f(x):\n    return A[x]", "neuron").check() == 3


# The syntax that is refused


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os", "importing 'os'"),
        ("import os.path as math", "importing 'os.path'"),
        ("from os import system", "importing 'os'"),
        ("from . import os", "importing None"),
        ("from re import enum", "re has no 'enum'"),
        ("from math import *", "math has no '*'"),
        ("__import__('os')", "the name '__import__'"),
        ("x = ().__class__", "the attribute '__class__'"),
        ("x = (i for i in ()).gi_frame", "the attribute 'gi_frame'"),
        ("x = f.func_globals", "the attribute 'func_globals'"),
        ("x = '{0.__class__}'.format(1)", "the attribute 'format'"),
        ("x = str.format_map", "the attribute 'format_map'"),
        ("try:\n    1\nexcept Exception as e:\n    e.with_traceback", "the attribute 'with_traceback'"),
        ("try:\n    1\nexcept Exception as __builtins__:\n    1", "the name '__builtins__'"),
        ("def __getattr__(n): 1", "the name '__getattr__'"),
        ("def f(__x): 1", "the name '__x'"),
        ("f(__x=1)", "the name '__x'"),
        ("global __builtins__", "the name '__builtins__'"),
        ("match 1:\n    case object(__class__=c): 1", "a class pattern"),
        ("match 1:\n    case __x: 1", "the name '__x'"),
        ("class A: pass", "a class"),
        ("with x: pass", "`with`"),
        ("def f(): yield", "`yield`"),
        ("async def f(): pass", "AsyncFunctionDef"),
        ("x = 1\nf.count = x", "setting attributes"),
        ("del f.count", "setting attributes"),
        ("x = " + "9" * 60, "a whole number of"),
        ("x = '" + "a" * 20_000 + "'", "a text of 20000"),
        ("x = 1\n" * 20_000, "characters, more than"),
        ("x=1\n" * 11_000, "more than 20000 parts"),
        ("(" * 1000 + ")" * 1000, ""),
        ("-" * 20_000 + "1", ""),
        ("x = 1" + "+1" * 20_000, ""),
        ("x = \0", ""),
    ],
)
def test_refused_syntax(source: str, said: str) -> None:
    whole = f"{source}\ndef f(x):\n    return 1"
    if said:
        with pytest.raises(RefusedError) as caught:
            parse_program(whole)
        assert said in str(caught.value)
    else:
        assert "refused" in refused(whole)


def test_nothing_that_is_allowed_leads_out() -> None:
    leading = {"open", "exec", "eval", "compile", "type", "getattr", "setattr", "vars", "globals", "input", "object"}
    assert not leading & BUILTINS
    assert not [n for n in ATTRIBUTES if n.startswith(("_", "gi_", "f_", "tb_", "cr_", "co_", "format"))]
    assert not [m for module in MODULES.values() for m in vars(module).values() if hasattr(m, "__path__")]
    assert not hasattr(MODULES["string"], "Formatter")
    with pytest.raises(RefusedError):
        parse_program("x.__dict__")


# Attacks, with layers switched off

ATTACKS = {
    "import os": "import os\ndef f(x):\n    return os.getpid()",
    "system": "import os\ndef f(x):\n    return os.system('touch {mark}')",
    "write a file": "def f(x):\n    with open('{mark}', 'w') as file:\n        return file.write('x')",
    "write by descriptor": "import os\ndef f(x):\n    return os.open('{mark}', os.O_CREAT | os.O_WRONLY)",
    "read a file": "def f(x):\n    return len(open('/etc/passwd').read())",
    "list a folder": "import os\ndef f(x):\n    return len(os.listdir('/'))",
    "remove a file": "import os\ndef f(x):\n    os.unlink('{victim}')\n    return 1",
    "fork bomb": "import os\ndef f(x):\n    while True:\n        os.fork()",
    "subprocess": "import subprocess\ndef f(x):\n    subprocess.run(['touch', '{mark}'])\n    return 1",
    "posix_spawn": "import os\ndef f(x):\n    return os.posix_spawn('/bin/touch', ['touch', '{mark}'], {{}})",
    "exec": "import os\ndef f(x):\n    os.execv('/bin/touch', ['touch', '{mark}'])",
    "threads": "import _thread\ndef f(x):\n    return _thread.start_new_thread(print, ())",
    "socket": "import _socket\ndef f(x):\n    return _socket.socket().fileno()",
    "kill the parent": "import os, signal\ndef f(x):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 1",
    "kill everybody": "import os\ndef f(x):\n    os.kill(-1, 15)\n    return 1",
    "ctypes": "import ctypes\ndef f(x):\n    return ctypes.CDLL(None).fork()",
    "ptrace": "import ctypes\ndef f(x):\n    return ctypes.CDLL(None).ptrace(16, 1, 0, 0)",
    "escape by classes": (
        "def f(x):\n"
        "    for c in ().__class__.__mro__[-1].__subclasses__():\n"
        "        if c.__name__ == '_wrap_close':\n"
        "            return c.__init__.__globals__['system']('touch {mark}')\n"
        "    raise ValueError('nothing found')"
    ),
    "escape by frames": (
        "def f(x):\n"
        "    g = (g.gi_frame.f_back.f_back for _ in [1])\n"
        "    frame = next(g)\n"
        "    while frame.f_back:\n"
        "        frame = frame.f_back\n"
        "    return frame.f_globals['os'].system('touch {mark}')"
    ),
    "escape by traceback": (
        "def f(x):\n"
        "    try:\n"
        "        1 / 0\n"
        "    except Exception as e:\n"
        "        frame = e.__traceback__.tb_frame\n"
        "        while frame.f_back:\n"
        "            frame = frame.f_back\n"
        "        return frame.f_globals['os'].open('{mark}', 65)"
    ),
    "escape by format": "def f(x):\n    '{{0.__class__}}'.format(x)\n    return open('{mark}', 'w').fileno()",
    "escape by type": "def f(x):\n    return type('A', (), {{}}).__base__.__name__ + open('{mark}', 'w').name",
}  # fmt: skip
HARMLESS = {"import os": "builtins", "threads": "seccomp"}
"""Reading one's own number harms nobody; a thread of a process that can do nothing can do nothing either."""
LEFT_OUT = [("syntax",), ("syntax", "builtins", "audit"), ("syntax", "builtins", "seccomp")]


CASES = [
    pytest.param(attack, without, id=f"{attack}, without {'+'.join(without)}")
    for without in LEFT_OUT
    for attack in ATTACKS
    if HARMLESS.get(attack) not in without and ("builtins" in without or attack.startswith(("escape", "import os")))
]


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "without"), CASES)
def test_attacks_fail_whichever_layer_is_left(attack: str, without: tuple[str, ...], tmp_path: Path) -> None:
    mark, victim = tmp_path / "mark", tmp_path / "victim"
    victim.write_text("here")
    before = children()
    refused(ATTACKS[attack].format(mark=mark, victim=victim), *without)
    assert not mark.exists()
    assert victim.exists()
    sandbox.dismiss_all()
    assert children() == before


BOMBS = {
    "loop": ("while True:\n        pass", "stopped after"),
    "loop that catches": (
        "while True:\n        try:\n            while True:\n                x += 1\n        except BaseException:\n"
        "            pass",
        "stopped after",
    ),
    "recursion": ("return f(x)", "RecursionError"),
    "branching recursion": ("return f(x / 2) + f(x / 3) if x != 7 else 1", ""),
    "list": ("return len([0] * 10**12)", "MemoryError"),
    "growing list": ("a = [0]\n    while True:\n        a = a + a", ""),
    "growing text": ("return len('x' * 10**10)", "MemoryError"),
    "power": ("return 9 ** 9 ** 9", "stopped after"),
    "shift": ("return 1 << 10**11", ""),
    "factorial": ("import math\n    return math.factorial(10**8)", "stopped after"),
    "regular expression": ("import re\n    return bool(re.match('(a+)+$', 'a' * 50 + 'b'))", "stopped after"),
    "sum of a range": ("return sum(range(10**15))", "stopped after"),
    "nested": ("a = []\n    for i in range(10**6):\n        a = [a]\n    return len(repr(a))", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_in_time(bomb: str) -> None:
    body, said = BOMBS[bomb]
    started = time.monotonic()
    name = "BaseException" if "BaseException" in body else ""
    without = ("builtins",) if name else ()
    assert said in refused(f"def f(x):\n    {body}", *without)
    assert time.monotonic() - started < 6


def test_memory_is_bounded_without_the_other_layers() -> None:
    source = "def f(x):\n    b = bytearray(10**9)\n    return len(b)"
    assert "MemoryError" in refused(source, "syntax", "builtins", "audit", "seccomp")


def test_descriptors_are_bounded_without_the_other_layers() -> None:
    source = "import os\ndef f(x):\n    while True:\n        os.dup(0)"
    assert "OSError" in refused(source, "syntax", "builtins", "audit", "seccomp")
    assert "system call" in refused(source, "syntax", "builtins", "audit", "limits")


def test_no_descriptor_and_no_variable_of_ours_is_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XAIBENCH_SECRET", "do not tell")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        source = (
            "import os, sys\ndef f(x):\n    names = list(os.environ)\n"
            f"    try:\n        os.write({file.fileno()}, b'x')\n        names.append('descriptor')\n"
            "    except OSError:\n        pass\n    return ' '.join(names)"
        )
        found = run(source, ["a"], "string", ("syntax", "builtins", "audit"))
    assert "SECRET" not in found[0]
    assert "descriptor" not in found[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef f(x):\n    os.write(1, b'not JSON\\n')\n    return 1",
        "import os\ndef f(x):\n    os.write(1, b'[' * 100000 + b'\\n')\n    return 1",
        "import os\ndef f(x):\n    os.write(1, b'{\"id\": 1, \"outputs\": [{}, [], \"x\"]}\\n')\n    os._exit(0)",
        "import os\ndef f(x):\n    os.write(1, b'{\"id\": 1, \"outputs\": 3}\\n')\n    os._exit(0)",
        "import os\ndef f(x):\n    os.write(1, b'{\"id\": 1, \"outputs\": [' + b'1' * 9999 + b']}\\n')\n    exit()",
        "import os\ndef f(x):\n    while True:\n        os.write(1, b'x' * 65536)",
        "import os\ndef f(x):\n    os.close(1)\n    return 1",
        "import os\ndef f(x):\n    os.read(0, 1)",
        "import os\ndef f(x):\n    os._exit(0)",
        "def f(x):\n    raise SystemExit(0)",
        "def f(x):\n    exit()",
        "import ctypes\ndef f(x):\n    return ctypes.string_at(0)",
        "import builtins\ndef f(x):\n    builtins.len = builtins.float = builtins.isinstance = None\n    return 1",
        "import json, sys\ndef f(x):\n    sys.modules['__main__']._send = json.dumps = None\n    return 1",
        "import signal\ndef f(x):\n    signal.raise_signal(9)",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(x):\n    raise E",
    ],
)  # fmt: skip
def test_a_process_that_is_taken_over_harms_itself_only(source: str) -> None:
    refused(source, "syntax", "builtins", "audit", limits=Limits(seconds=0.1, output=10**6))


def test_a_forged_reply_is_no_more_than_numbers() -> None:
    """Whoever takes the process over can say what f could have said anyway."""
    source = (
        "import os, json\ndef f(x):\n"
        "    os.write(1, b'{\"id\": 1, \"outputs\": [7, \"8\", NaN], \"size\": \"big\", \"ready\": true}\\n')\n"
        "    while True: pass"
    )  # fmt: skip
    program = SandboxedProgram(source, "numeric", QUICK, frozenset({"syntax", "builtins", "audit"}))
    np.testing.assert_array_equal(program(X), [7, np.nan, np.nan])
    with pytest.raises(ProgramError):
        program(X)


def test_what_programs_say_cannot_steer_a_terminal() -> None:
    said = refused("def f(x):\n    raise ValueError('\\x1b[2J\\r\\n' + 'a' * 10**6)")
    assert said.isprintable()


def test_long_outputs_are_missing() -> None:
    found = run("def f(x):\n    return x * 20_000", ["a", ""], "string")
    assert found == [None, ""]


def test_the_system_calls_that_are_left_are_those_of_computing() -> None:
    for calls in (confinement._X86_64, confinement._AARCH64):
        assert not {"open", "openat", "socket", "clone", "fork", "execve", "kill", "ptrace", "dup", "ioctl"} & set(
            calls
        )
        assert len(set(calls.values())) == len(calls)
    assert set(confinement._X86_64) == set(confinement._AARCH64)


# Processes


def test_a_warm_program_answers_at_once_and_few_processes_wait() -> None:
    programs = [SandboxedProgram(f"def f(x):\n    return x + {k}", "numeric") for k in range(6)]
    for program in programs:
        program(X)
    alive = children()
    assert 1 <= len(alive) <= 4
    programs[-1](X)
    assert children() == alive


def test_a_process_that_was_killed_is_replaced() -> None:
    program = SandboxedProgram("def f(x):\n    return x", "numeric")
    program(X)
    (pid,) = children()
    os.kill(pid, 9)
    assert program(X).tolist() == X.tolist()


@pytest.mark.slow
def test_programs_end_when_this_process_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import threading, os, time\n"
        "from xaibench.functions.sandbox.program import *\n"
        "p = SandboxedProgram('def f(x):\\n    while True: pass', 'numeric', Limits(seconds=50))\n"
        "threading.Thread(target=lambda: (time.sleep(0.5), print('now', flush=True))).start()\n"
        "p([1.0])\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "now\n"
    started = children(parent.pid)
    assert len(started) == 1
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() and _state(pid) != "Z" for pid in started):
        assert time.monotonic() < deadline, "the program outlived its parent"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_systems_without_a_filter_are_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    from xaibench.core.errors import UnsupportedError

    monkeypatch.setattr(confinement.platform, "machine", lambda: "riscv64")
    with pytest.raises(UnsupportedError, match="Linux on x86_64 or aarch64"):
        run("def f(x):\n    return x + 3")


def test_a_worker_that_cannot_confine_itself_serves_nobody() -> None:
    worker = Path(sandbox.__file__).with_name("worker.py")
    options = json.dumps({"memory": 2**28, "cpu": 10, "without": []})
    code = (
        "import ctypes, runpy, sys\n"
        "real = ctypes.CDLL\n"
        "class Libc:\n"
        "    def __init__(self, *a, **k): pass\n"
        "    def prctl(self, option, *rest): return -1 if option.value == 22 else 0\n"
        "ctypes.CDLL = Libc\n"
        f"sys.argv = ['worker', {options!r}]\n"
        f"runpy.run_path({str(worker)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, input='{"id": 1}\n')
    (line,) = done.stdout.splitlines()
    assert "prctl(22)" in json.loads(line)["refused"]
