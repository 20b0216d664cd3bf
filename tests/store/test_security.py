"""What comes from elsewhere is data: stores, archives and downloads run nothing and write nowhere else."""

from __future__ import annotations

import ast
import io
import json
import pickletools
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from helpers.store_rows import contents

import xaibench as xb
from xaibench.core import registry
from xaibench.core.errors import DataError, UsageError
from xaibench.datasets import fetch
from xaibench.datasets.cards import Origin, card, card_names
from xaibench.store import Store

PACKAGE = Path(xb.__file__).parent
Make = Callable[..., dict[str, Any]]
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "yaml"}
UNSAFE_CALLS = {"extractall", "unpack_archive", "read_pickle", "to_pickle", "system"}
ALLOWED = {
    # Programs that a language model has written run in a process that is confined; see docs/how-to/llm.md.
    "functions/sandbox/worker.py": {"exec"},
    # A fitted model that the user trusts by its content, with --trust; see docs/concepts/security.md.
    "models/files/estimator_files.py": {"joblib"},
    # Hashes of objects of this session, which tell them apart; nothing is read.
    "models/session_recipes.py": {"joblib"},
    # Jobs of a cluster, between processes of one user, outside of any store.
    "execution/slurm_executor.py": {"pickle"},
}


def uses(tree: ast.AST) -> set[str]:
    """Names of unsafe modules and calls in a syntax tree."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.partition(".")[0] for a in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            said = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if name in UNSAFE_CALLS or (isinstance(node.func, ast.Name) and name in {"eval", "exec"}):
                found.add(name)
            if (owner, name) == ("torch", "load") and said.get("weights_only") is not True:
                found.add("torch.load without weights_only")
            if (owner, name) == ("np", "load") and said.get("allow_pickle"):
                found.add("np.load with pickle")
            if said.get("shell") is True:
                found.add("shell")
    return found


@pytest.mark.slow
def test_nothing_in_the_package_unpickles_or_evaluates() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        assert uses(ast.parse(path.read_text())) <= ALLOWED.get(name, set()), name


def test_the_search_for_unsafe_code_finds_it() -> None:
    text = "import pickle\neval('1')\ntorch.load('f')\nrun('x', shell=True)\ntar.extractall()\n"
    text += "np.load('f', allow_pickle=True)"
    expected = {"pickle", "eval", "torch.load without weights_only", "shell", "extractall", "np.load with pickle"}
    assert uses(ast.parse(text)) == expected
    assert uses(ast.parse("torch.load('f', weights_only=True)")) == set()


def is_pickle(content: bytes) -> bool:
    """Whether Python's pickle would read these bytes."""
    try:
        return any(True for _ in pickletools.genops(content)) and content[:1] in (b"\x80", b"(", b"c", b"]", b"}")
    except Exception:
        return False


@pytest.mark.slow
def test_every_file_of_a_store_is_of_a_plain_format(tmp_path: Path, tiny_suite: Make) -> None:
    """Parquet, safetensors, JSON and CSV: formats whose readers run nothing."""
    import pickle

    assert is_pickle(pickle.dumps({"a": 1}))
    xb.run(tiny_suite(controls=True), store=tmp_path / "store")
    kinds = set()
    for name, content in contents(Store(tmp_path / "store")).items():
        kind = name.rpartition(".")[2]
        kinds.add(kind)
        assert not is_pickle(content), name
        if kind == "parquet":
            assert content[:4] == b"PAR1"
            types = {str(f.type) for f in pq.read_schema(io.BytesIO(content))}
            assert not any("binary" in t or "extension" in t for t in types), (name, types)
        elif kind == "safetensors":
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        elif kind == "json":
            json.loads(content)
        else:
            assert kind == "csv", name
    assert kinds == {"parquet", "safetensors", "json", "csv"}


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_where_attributions_should_be_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    torch.save(Bomb(tmp_path / "bombed"), tmp_path / "bomb")
    store.files.write("attributions/ab/abc.safetensors", (tmp_path / "bomb").read_bytes())
    assert store.load_attributions("abc") is None
    assert [d.name for d in store.check()] == ["attributions/ab/abc.safetensors"]
    assert not (tmp_path / "bombed").exists()


@pytest.mark.slow
def test_reading_a_store_runs_no_code_that_it_names(
    tmp_path: Path, tiny_suite: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite with parts is read again for its claims; a file that it names is not imported for that."""
    code = (
        "from pathlib import Path\nimport xaibench as xb\nPath(__file__).with_suffix('.ran').touch()\n"
        "@xb.explainer('planted', kind='saliency')\ndef planted(problem):\n"
        "    '''Nothing.'''\n    return problem.inputs\n"
    )
    (tmp_path / "evil.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    claim = {
        "id": "a", "source": "s", "statement": "t", "direction": "greater",
        "left": {"explainer": "planted", "metric": "sparseness"},
        "right": {"explainer": "gradient", "metric": "sparseness"},
    }  # fmt: skip
    part = tiny_suite(explainers=["gradient", "evil.py:planted"], claims=[claim])
    xb.run({"name": "both", "parts": [part]}, store=tmp_path / "store")
    ran = tmp_path / "evil.ran"
    assert ran.exists()  # the user named it in a suite that was run
    ran.unlink()
    for name in [n for n in sys.modules if n.startswith("xaibench_plugin") and n.endswith(".evil")]:
        monkeypatch.delitem(sys.modules, name)
    from xaibench.api.reading import claims

    assert len(claims(tmp_path / "store")) == 1
    xb.leaderboard(tmp_path / "store")
    assert not ran.exists()
    with registry.no_new_code(), pytest.raises(UsageError, match=r"names code in evil\.py"):
        registry.load_module("evil.py")
    with registry.no_new_code(), pytest.raises(UsageError, match=r"names code in this\.that"):
        registry.load_module("this.that")
    with registry.no_new_code():
        assert registry.load_module("json") is json


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_an_archive_cannot_escape(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wanted members are read one by one and land under their last name; everything else is left where it is."""
    archive = tmp_path / ("p.whl" if kind == "zip" else "p.tgz")
    members = {"../../evil.txt": b"evil", "package/../../wanted.txt": b"wanted", "/etc/evil": b"evil"}
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as made:
            for name, content in members.items():
                made.writestr(name, content)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("package/link.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    monkeypatch.setattr(fetch, "_run", lambda _command, folder, _origin: archive.rename(folder / archive.name))
    import hashlib

    name = "package/../../wanted.txt"
    origin = Origin("pip", "package==1", {name: hashlib.sha256(b"wanted").hexdigest()})
    assert fetch.download(origin) == {"wanted.txt": b"wanted"}
    assert {p.name for p in tmp_path.iterdir()} == set()
    assert not (tmp_path.parent / "evil.txt").exists()


def test_a_link_in_an_archive_leads_nowhere(tmp_path: Path) -> None:
    archive = tmp_path / "p.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        link = tarfile.TarInfo("package/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="not the expected package"):
        fetch.read_members(archive, ["package/link.txt"])


def test_every_download_has_a_checksum_and_a_wrong_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = [o for n in card_names() for o in (card(n).origin, *card(n).origins) if o is not None]
    assert origins
    for origin in origins:
        assert "==" in origin.package or "@" in origin.package, origin
        assert all(len(sha256) == 64 for sha256 in origin.members.values()), origin

    def brings(_command: list[str], folder: Path, _origin: Origin) -> None:
        with zipfile.ZipFile(folder / "p.whl", "w") as made:
            made.writestr("data.csv", b"another file")

    monkeypatch.setattr(fetch, "_run", brings)
    with pytest.raises(DataError, match="is damaged: its sha256"):
        fetch.download(Origin("pip", "package==1", {"data.csv": "0" * 64}))
