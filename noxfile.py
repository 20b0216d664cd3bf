"""Sessions: ``nox -s tests lint types`` are the fast ones; acceptance, parity, bench, suites and wheel take minutes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"
CONSTRAINTS = ("-c", "constraints.txt")
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, on all cores; ``-- -m "not slow"`` is the everyday part, in about eight minutes."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs, env=ENVIRONMENT)


@nox.session
def exhaustive(session: nox.Session) -> None:
    """More seeds, architectures and signals of what the test suite tries with a few."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", "-n", "auto", "-m", "exhaustive", *session.posargs, env=ENVIRONMENT)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and import contracts."""
    session.install(*CONSTRAINTS, "-e", ".", "ruff", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strict."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("mypy")


@nox.session
def parity(session: nox.Session) -> None:
    """Agreement with libraries where their definitions are sound: tests/parity, and the test of image libraries."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.install("quantus==0.6.0", "torch==2.13.0", "-c", "constraints.txt")
    # Without pytorch-lightning, which only its datasets and learned masks need.
    session.install("--no-deps", "time_interpret==0.3.0")
    session.install(*CONSTRAINTS, "inseq==0.7.1")
    session.run("pytest", "tests/parity", "-W", "default", *session.posargs, env=ENVIRONMENT)
    # Without what they depend on: torchvision, which the tests stand in for, and Quantus fails beside zennit.
    libraries = ("grad-cam==1.5.7", "ttach==0.0.3", "zennit==0.5.1", "saliency==0.2.1", "shapiq==1.4.1")
    session.install("--no-deps", *libraries, "opencv-python-headless")
    session.run("pytest", "tests/explainers/test_image_library_parity.py", "-W", "default", env=ENVIRONMENT)


@nox.session
def acceptance(session: nox.Session) -> None:
    """Published numbers and theorems, with as many draws as they ask for."""
    session.install(*CONSTRAINTS, "-e", ".[test]", "playwright")
    session.run("pytest", "tests/acceptance", *session.posargs, env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation's site, in ``build/site``; a warning is an error."""
    session.install(*CONSTRAINTS, "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of the suite pages, from stores that `xaibench run` made (``-- STORE``)."""
    session.install(*CONSTRAINTS, "-e", ".")
    session.run("python", "docs/draw.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def screenshot(session: nox.Session) -> None:
    """The picture of a report in the README, from a store of ``quick`` (``-- STORE``); needs a Chromium."""
    session.install(*CONSTRAINTS, "-e", ".", "playwright")
    with tempfile.TemporaryDirectory() as folder:
        session.run("xaibench", "report", *session.posargs, "-o", f"{folder}/report.html", env=ENVIRONMENT)
        session.run("python", "docs/screenshot.py", f"{folder}/report.html", "docs/report.png")


@nox.session
def board(session: nox.Session) -> None:
    """The board and all scores of `quick`, cold, from this tree and from another revision (``-- REVISION``)."""
    session.install(*CONSTRAINTS, "-e", ".")
    revision = session.posargs[0] if session.posargs else "HEAD"
    with tempfile.TemporaryDirectory() as folder:
        session.run("git", "clone", "-q", ".", f"{folder}/tree", external=True)
        session.run("git", "-C", f"{folder}/tree", "checkout", "-q", revision, external=True)
        for name, tree in (("before", f"{folder}/tree"), ("after", str(Path.cwd()))):
            environment = {**ENVIRONMENT, "PYTHONPATH": tree, "XAIBENCH_CACHE": f"{folder}/cache-{name}"}
            session.run(
                *("python", "-m", "xaibench", "run", "quick", "-q", "--store", f"{folder}/{name}"), env=environment
            )
        compare = ("python", "-m", "helpers.same_board", f"{folder}/before", f"{folder}/after")
        session.run(*compare, env={"PYTHONPATH": "tests"})


@nox.session
def bench(session: nox.Session) -> None:
    """Speed, as ratios in one process."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    for script in session.posargs or sorted(str(p) for p in Path("tests/bench").glob("bench_*.py")):
        session.run("python", script, env=ENVIRONMENT)


@nox.session
def suites(session: nox.Session) -> None:
    """Every shipped suite, cold, into a store of its own."""
    session.install(*CONSTRAINTS, ".")
    for suite in session.posargs or sorted(p.stem for p in Path("suites").glob("*.toml")):
        with tempfile.TemporaryDirectory() as store:
            session.run("xaibench", "run", suite, "--store", store, env={**ENVIRONMENT, "XAIBENCH_CACHE": store + "/c"})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it elsewhere, and run from an empty folder."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        session.install(*CONSTRAINTS, str(built))
        session.chdir(folder)
        session.run("xaibench", "list")
        session.run("xaibench", "run", "--limit", "4", "--only", "digits", "--store", "store", env=ENVIRONMENT)
