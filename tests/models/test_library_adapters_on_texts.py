"""Explainers of other libraries on texts: right and the same alone as in a batch, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.hugging_face import NAMES, TEXTS, classifier, tokenizer_of

import xaibench as xb
from xaibench.core import registry

pytest.importorskip("transformers")
pytestmark = [pytest.mark.exhaustive, pytest.mark.filterwarnings("ignore")]
SMALL = {"n_samples": 6, "steps": 5, "n_steps": 5}
SIZES = [3, 11, 1, 6, 7]


@pytest.mark.parametrize("name", NAMES)
def test_adapters_take_texts_or_say_why_not(name: str) -> None:
    net = xb.text_model(classifier(name), tokenizer_of(name))
    done: set[str] = set()
    for spec in registry.adapters("explainer"):
        params: dict[str, Any] = {key: value for key, value in SMALL.items() if key in spec.parameters}
        try:
            together = xb.explain(spec.name, model=net, inputs=TEXTS, background=TEXTS, **params)
        except xb.XaibenchError as error:
            assert 20 < len(error.message) < 300, (spec.name, error.message)  # noqa: PT017
            continue
        for row in (0, 3):
            alone = xb.explain(spec.name, model=net, inputs=[TEXTS[row]], background=TEXTS, **params)[0]
            np.testing.assert_allclose(together[row, : SIZES[row]], alone, rtol=1e-4, atol=1e-5, err_msg=spec.name)
        done.add(spec.name)
    assert done
