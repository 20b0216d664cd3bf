"""Compiled transformers: they are what the library computes and what the programs say, and the truth follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core import registry
from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.datasets.tracr import ids_of
from xaibench.datasets.tracr_programs import TRACR_PROGRAMS, read_tracr
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for
from xaibench.models.tracr import TracrTransformer

NAMES = [*TRACR_PROGRAMS, "hist"]
every = pytest.mark.parametrize("name", list(TRACR_PROGRAMS))


def made(name: str, **params: Any) -> Data:
    found: Data = registry.get("dataset", "tracr").function(
        seed=2, program=name, **{"n_test": 60, "n_train": 20, **params}
    )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_residual_stream_is_that_of_the_library(name: str) -> None:
    net = read_tracr(name)
    module = TracrTransformer(net).double()
    with torch.no_grad():
        stream = module.stream(torch.from_numpy(net["test_ids"])).numpy()
    np.testing.assert_allclose(stream, net["test_streams"], atol=1e-5)


SOFT = 0.02
"""How far softmax attention leaves an output dimension from 0 or 1, at most; numbers are within 1e-3."""


def agrees(name: str, texts: list[tuple[str, ...]]) -> int:
    """Hold the transformer against the program in every place that may be asked about; how many those are."""
    net, program = read_tracr(name), TRACR_PROGRAMS[name]
    module = TracrTransformer(net).eval()
    words, values = [str(w) for w in net["vocabulary"]], [str(v) for v in net["values"]]
    numerical, asked = len(values) == 1, [program.asked(text) for text in texts]
    wanted = [program.output(text, place) for text, places in zip(texts, asked, strict=True) for place in places]
    ids = torch.from_numpy(ids_of(texts, words)).long()
    ids = torch.cat([torch.full((len(ids), 1), words.index("BOS")), ids], dim=1)
    with torch.no_grad():
        outputs = torch.cat([module.stream(part)[:, 1:, module.output] for part in torch.split(ids, 4096)]).numpy()
    rows = np.repeat(np.arange(len(texts)), [len(places) for places in asked])
    found = outputs[rows, np.concatenate([np.array(places) for places in asked])]
    if numerical:
        np.testing.assert_allclose(found[:, 0], np.array(wanted, dtype=float), atol=1e-3)
    else:
        hot = np.eye(len(values))[[values.index(str(letter)) for letter in wanted]]
        np.testing.assert_allclose(found, hot, atol=SOFT)
    return len(found)


@every
def test_the_transformer_is_the_program_on_short_texts(name: str) -> None:
    n = min(TRACR_PROGRAMS[name].lengths)
    assert agrees(name, list(TRACR_PROGRAMS[name].texts(n))[::7]) > 100


@pytest.mark.slow
@every
def test_the_transformer_is_the_program_on_every_text(name: str) -> None:
    """All texts of all lengths, in all places that may be asked about."""
    for n in TRACR_PROGRAMS[name].lengths:
        assert agrees(name, list(TRACR_PROGRAMS[name].texts(n))) > 1000


def expected(name: str, text: tuple[str, ...], place: int) -> set[int] | None:
    """The truth in closed form."""
    n = len(text)
    if name == "shift":
        return {place - 1}
    if name == "reverse":
        return {n - 1 - place}
    if name == "after_marker":
        return {text.index("#"), text.index("#") + 1}
    if name == "induction":
        copy = text.index(text[-1])
        return {n - 1, copy, copy + 1}
    return set(range(place + 1)) if name == "frac_prevs" else None


@every
def test_truth_is_that_of_the_closed_form_and_gates_pass(name: str) -> None:
    data = made(name)
    words = data.tokens.vocabulary
    for ids, mask, place in zip(data.test_inputs, data.test_mask, data.test_context["place"], strict=True):
        text = tuple(words[i] for i in ids if i >= 0)
        truth = expected(name, text, int(place))
        assert mask.any()
        assert not mask[: len(text)].all()
        assert truth is None or truth == set(np.flatnonzero(mask).tolist())
        assert not mask[len(text) :].any()
    spec = registry.get("model", "tracr_transformer")
    found = obtain(spec, {}, data)
    gates = measure_gates(data, predictor_for(found.model, data), found.accuracy).gates
    assert len(gates) == 2
    assert all(gate.passed for gate in gates), [str(gate) for gate in gates]


def test_the_gate_knows_another_program() -> None:
    data, other = made("shift"), made("reverse")
    wrong = predictor_for(registry.get("model", "tracr_transformer").function(other), data)
    (gate,) = data.checks[0].measure(wrong, data).gates
    assert not gate.passed


@every
def test_the_marginal_effect_of_a_token_is_zero_outside_of_the_truth(name: str) -> None:
    """Every valid other letter outside of the truth leaves the logit as it is, to 1e-3."""
    data = made(name, n_test=20)
    net = registry.get("model", "tracr_transformer").function(data)
    words, program = data.tokens.vocabulary, TRACR_PROGRAMS[name]
    for ids, mask, place, target in zip(
        data.test_inputs, data.test_mask, data.test_context["place"], data.test_targets, strict=True
    ):
        text = [words[i] for i in ids if i >= 0]
        for i in np.flatnonzero(~mask[: len(text)]):
            changed = [
                [*text[:i], letter, *text[i + 1 :]] for letter in [text[i], *program.exchanges(tuple(text), int(i))]
            ]
            rows = torch.tensor([[words.index("BOS"), *(words.index(w) for w in t)] for t in changed])
            with torch.no_grad():
                out = net(rows, torch.full((len(rows),), int(place)))[:, int(target)]
            if name == "sort_unique":
                assert (out > 0.9).all()
            else:
                torch.testing.assert_close(out, out[:1].expand_as(out), atol=1e-3, rtol=0)


def test_a_text_is_explained_with_its_place() -> None:
    data = made("reverse")
    model = predictor_for(registry.get("model", "tracr_transformer").function(data), data)
    texts = [row[row >= 0] for row in data.test_inputs]
    given = {"model": model, "inputs": texts, "context": data.test_context, "targets": data.test_targets}
    background = [row[row >= 0] for row in data.train_inputs]
    maps = xb.explain("feature_ablation", masker="mean", background=background, **given)
    mask = data.test_mask[:, : maps.shape[1]]
    assert (np.nanargmax(maps, axis=1) == mask.argmax(axis=1)).mean() > 0.95
