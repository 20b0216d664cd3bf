"""Models of the next token, against inseq: gradients, products and integrated gradients agree; occlusion differs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from helpers.hugging_face import tokenizer_of

import xaibench as xb

transformers = pytest.importorskip("transformers")
inseq = pytest.importorskip("inseq")
pytestmark = pytest.mark.filterwarnings("ignore")
PROMPT, NEXT = "a fine film and a dull", " plot"


def tokenizer() -> Any:
    """A copy, because inseq gives the tokenizer symbols: here the end of text stands for what is unknown or empty."""
    found = deepcopy(tokenizer_of("gpt2"))
    found.pad_token = found.unk_token = found.eos_token
    return found


@pytest.fixture(scope="module")
def net() -> Any:
    """A random generator of the GPT-2 kind."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer_of("gpt2")), n_embd=16, n_layer=2, n_head=2, n_positions=40, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel._from_config(config, attn_implementation="eager").eval()


def theirs(net: Any, method: str, **given: Any) -> np.ndarray:
    """Their attributions (n, D) or (n,) of the tokens of the prompt to the logit of the next token."""
    model = inseq.load_model(net, method, tokenizer=tokenizer())
    found = model.attribute(PROMPT, PROMPT + NEXT, attributed_fn="logit", show_progress=False, **given)
    maps: np.ndarray = found.sequence_attributions[0].target_attributions[:, 0].numpy()
    return maps[: len(tokenizer()(PROMPT)["input_ids"])]


def ours(net: Any, name: str, **params: Any) -> np.ndarray:
    found: np.ndarray = xb.explain(
        name, model=xb.text_model(net, tokenizer(), unit="token"), inputs=[PROMPT], output="logit",
        targets=[tokenizer()(NEXT)["input_ids"][0]], **params,
    )[0]  # fmt: skip
    return found


def test_gradients_are_those_of_inseq(net: Any) -> None:
    found = ours(net, "gradient", channels="norm")
    np.testing.assert_allclose(found, np.linalg.norm(theirs(net, "saliency"), axis=1), rtol=1e-4, atol=1e-5)


def test_input_times_gradient_is_that_of_inseq(net: Any) -> None:
    found = ours(net, "input_x_gradient")
    np.testing.assert_allclose(found, theirs(net, "input_x_gradient").sum(axis=1), rtol=1e-4, atol=1e-5)


def test_integrated_gradients_are_those_of_inseq_from_its_baseline(net: Any) -> None:
    """Its baseline is the embedding of the unknown token, here the end of text; its rule that of Gauss and Legendre."""
    found = ours(net, "integrated_gradients", baseline="unk", steps=512)
    expected = theirs(net, "integrated_gradients", n_steps=256).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_occlusion_of_inseq_has_no_sign(net: Any) -> None:
    """Captum's loss of output by its baseline without its sign: supporting and opposing words look alike."""
    found = ours(net, "feature_ablation", masker="unk")
    np.testing.assert_allclose(np.abs(found), theirs(net, "occlusion"), rtol=1e-4, atol=1e-5)
    assert (found < 0).any()
