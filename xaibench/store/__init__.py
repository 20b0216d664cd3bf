"""Results on disk: schema, atomic parts, compaction, reading. See `Store`."""

from xaibench.store.examples import StoredCurve, StoredExamples
from xaibench.store.schema import FAILURES, STATUSES, Row
from xaibench.store.store import Store

__all__ = ["FAILURES", "STATUSES", "Row", "Store", "StoredCurve", "StoredExamples"]
