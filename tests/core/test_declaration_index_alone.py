"""The index of declarations is read without importing the components: all that they name is known beforehand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from xaibench.core import registry
from xaibench.core.components import KINDS
from xaibench.core.declaration_index import built_in, record_of

READ = """
import json, sys
from xaibench.core.declaration_index import spec_of
from xaibench.core.types import FunctionKind
records = json.load(open(sys.argv[1]))
found = [spec_of(record, None).name for record in records]
assert not [name for name in sys.modules if name.startswith("xaibench.functions.")]
print(len(found))
"""


def test_every_component_is_read_where_nothing_is_imported(tmp_path: Path) -> None:
    records = [record_of(spec) for kind in KINDS for spec in registry.components(kind) if built_in(spec)]
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(records) > 100
