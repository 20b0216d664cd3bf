"""The report page of a certificate: what the store holds of it, and a few rows that were explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from xaibench.analysis.certificates.fitted_copies import Copy, explainer_labels
from xaibench.api.certifying import Certification, suite_toml
from xaibench.api.reading import results
from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.core.storage.files import write_bytes
from xaibench.core.types import Array
from xaibench.datasets.certify.table_plants import names_of_features
from xaibench.report.certificate import CertificateText, proof_sentence
from xaibench.report.html.certificate_page import CertificateContent, ShownRow, certificate_page
from xaibench.store import Store

MOST_HITS, MOST_MISSES, SHOWN_FEATURES = 3, 3, 4


def certificate_text(found: Certification) -> CertificateText:
    """What stands around the table of a certificate, on the screen and on the page."""
    prepared = found.prepared
    data, request = prepared.data, prepared.request
    n = len(data.train_inputs) + len(data.test_inputs)
    where = f" in column {prepared.column}" if prepared.column else ""
    copies = f"{request.copies} {'copy' if request.copies == 1 else 'copies'}"
    condition = {1: "; tests are conditional on this copy", 2: "; tests are conditional on these copies"}
    opening = (
        f"certify: {request.model} on {request.data} ({n:,} x {data.layout.n_features}), "
        f"plant: {prepared.plant}{where} ({' or '.join(prepared.classes)}), {copies}{condition.get(request.copies, '')}"
    )
    proof = proof_sentence(found.copies, prepared.original.accuracy)
    return CertificateText(opening, proof, found.message, prepared.notes)


def write_page(found: Certification, output: Path) -> Path:
    """Write the report page of a certificate as HTML."""
    ranked = found.thresholds["explainer"].tolist()
    curves = [(name, found.certificate.curves[name].reliance, found.certificate.curves[name].net) for name in ranked]
    failures = [
        f"level {level:g}, copy {number}: {'; '.join(why)}" for level, number, why in found.certificate.failures
    ]
    content = CertificateContent(
        certificate_text(found), found.thresholds, found.copies, curves, failures, tuple(shown_rows(found)),
        suite_toml(found.prepared),
    )  # fmt: skip
    write_bytes(output, certificate_page(content).encode())
    return output


def shown_rows(found: Certification) -> Iterator[ShownRow]:
    """The clearest hits and misses: of the best explainers a hit each, of the worst a miss, at the strongest copy."""
    proved = found.copy_set.proved
    if not proved:
        return
    copy = proved[-1]
    ranked = found.thresholds[~found.thresholds["control"]]
    rows = results(found.store, found.prepared.suite["name"], run=found.run)
    keys = _explain_keys(rows, copy)
    data = _planted(found, copy)
    store = Store(found.store)
    counts = {True: 0, False: 0}
    order = [(True, name) for name in ranked["explainer"]] + [(False, name) for name in ranked["explainer"][::-1]]
    for hit, name in order:
        if counts[hit] >= (MOST_HITS if hit else MOST_MISSES) or name not in copy.shown:
            continue
        one = copy.shown[name]
        chosen = np.flatnonzero(one.decisive & (one.found >= 1 if hit else one.found == 0))
        stored = store.load_attributions(keys[name]) if name in keys and len(chosen) else None
        if stored is None:
            continue
        counts[hit] += 1
        yield _shown(name, int(chosen[0]), copy, data, stored[0].numpy(), stored[1], hit=hit)


def _explain_keys(rows: pd.DataFrame, copy: Copy) -> dict[str, str]:
    labels = explainer_labels(rows)
    own = rows[(rows["fingerprint"] == copy.fingerprint) & rows["explain_key"].notna()]
    pairs = zip(own["explainer"], own["explainer_params"], own["explain_key"], strict=True)
    return {labels[name, params]: key for name, params, key in pairs}


def _planted(found: Certification, copy: Copy) -> Data:
    """The data of a copy, made again."""
    named = found.prepared.suite["problems"][0]["dataset"]
    spec = registry.get("dataset", named["name"])
    params = spec.bind({**named["params"], "level": copy.level})
    made: Data = spec.function(**params, seed=copy.number, suite_folder=Path.cwd())
    return made


def _shown(name: str, row: int, copy: Copy, data: Data, maps: Array, kind: str, *, hit: bool) -> ShownRow:
    assert data.test_mask is not None
    mask, values = data.test_mask[row], maps[row]
    if data.features == "image":
        pixels = data.test_inputs[row]
        pixels = pixels.mean(axis=0) if pixels.ndim == 3 else pixels
        return ShownRow(name, hit, copy.level, copy.reliance, copy.dominance, (), pixels, values, mask, kind)
    names = names_of_features(data)
    largest = np.argsort(-np.abs(np.nan_to_num(values)))[:SHOWN_FEATURES].tolist()
    largest += [i for i in np.flatnonzero(mask).tolist() if i not in largest]
    features = tuple((names[i], float(values[i]), bool(mask[i])) for i in largest)
    return ShownRow(name, hit, copy.level, copy.reliance, copy.dominance, features)
