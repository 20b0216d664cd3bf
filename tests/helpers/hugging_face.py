"""Tiny random classifiers and tokenizers of the library transformers, made from configurations without downloads."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

WORDS = [
    "a", "fine", "dull", "film", "the", "plot", "is", "not", "very", "good", "bad", "and", "warm", "slow", "act",
    "##ing", "##s", "actor", "play", "joy", "##less", ".", ",", "!", "'",
]  # fmt: skip
SYMBOLS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "a fine film",
    "the acting is not very good, slow and joyless!",
    "warm",
    "dull plot, fine actors play",
    "a slow film and a dull plot",
]
NAMES = ["bert", "roberta", "distilbert", "modernbert", "gpt2"]


@cache
def word_piece() -> Any:
    """A fast tokenizer of words and their pieces, with [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*SYMBOLS, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip


@cache
def byte_level(*, around: bool) -> Any:
    """A fast byte-level tokenizer trained on a few texts; RoBERTa's kind with ``<s>`` and ``</s>``, or GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if around else ["<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    if not around:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[0])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


def tokenizer_of(name: str) -> Any:
    """The tokenizer that goes with a classifier."""
    if name in ("roberta", "gpt2"):
        return byte_level(around=name == "roberta")
    return word_piece()


def classifier(name: str, *, attention: str = "sdpa", seed: int = 0) -> Any:
    """A random classifier of three classes, two layers and two heads."""
    import transformers as tf

    size = len(tokenizer_of(name))
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    common = {"vocab_size": size, "num_labels": 3, "initializer_range": 0.4, "attn_implementation": attention}
    torch.manual_seed(seed)
    if name == "bert":
        net = tf.BertForSequenceClassification(tf.BertConfig(**small, **common, max_position_embeddings=40))
    elif name == "roberta":
        net = tf.RobertaForSequenceClassification(
            tf.RobertaConfig(**small, **common, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1)
        )
    elif name == "distilbert":
        net = tf.DistilBertForSequenceClassification(
            tf.DistilBertConfig(**common, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=40)
        )
    elif name == "modernbert":
        ids = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        more = {"local_attention": 4, "global_attn_every_n_layers": 2, "max_position_embeddings": 40}
        net = tf.ModernBertForSequenceClassification(tf.ModernBertConfig(**small, **common, **ids, **more))
    else:
        net = tf.GPT2ForSequenceClassification(
            tf.GPT2Config(**common, n_embd=16, n_layer=2, n_head=2, n_positions=40, bos_token_id=0, eos_token_id=0)
        )
    return net.eval()
