"""Texts of a file, with labels, as a classifier of the library transformers reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Gt, Lt
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.core.hugging_face import folder_digest, from_folder
from xaibench.core.text_readers import TextUnit, TokenizerReader
from xaibench.core.tokens import Tokens
from xaibench.core.types import Array
from xaibench.datasets.splits import generator, split

# Texts are taken as they are written: "null" and "1984" are words, and an empty one is not a number that is missing.
_READERS: dict[str, Callable[[str, str, str], pd.DataFrame]] = {
    ".csv": lambda path, text, label: pd.read_csv(
        path, dtype={text: str}, keep_default_na=False, na_values={label: [""]}
    ),
    ".parquet": lambda path, text, label: pd.read_parquet(path),
    ".jsonl": lambda path, text, label: pd.read_json(path, lines=True, dtype={text: object}),
}
_WHERE = "paths start from the folder in which xaibench runs"
MODEL_FOLDER = "model_folder"
"""The fact of these data that says for which model they were tokenised."""


@dataset("texts", features="tokens")
def texts(
    *,
    seed: int,
    path: str,
    model: str,
    unit: TextUnit = "word",
    length: PositiveInt = 64,
    text: str = "text",
    label: str = "label",
    test_share: Annotated[float, Gt(0), Lt(1)] = 0.25,
) -> Data:
    """Texts of a CSV, JSON Lines or Parquet file, read by the tokenizer of a model of transformers.

    Parameters
    ----------
    seed : int
        Splits the texts.
    path : str
        The file, with a column of texts and one of labels.
    model : str
        Folder of the model and its tokenizer, as ``save_pretrained`` writes it; the model `hugging_face` is given the
        same.
    unit : {"word", "token"}
        What a feature is.
    length : int
        Most features of a text; longer ones are refused.
    text, label : str
        Names of the columns. Labels are those of the model, by name or by number.
    test_share : float
        Share of the texts that is explained; the others are the background.

    Raises
    ------
    DataError
        If the file, a column or a label is not what the model knows.
    """
    frame = _frame(path, text, label)
    config, tokenizer = from_folder("AutoConfig", model), from_folder("AutoTokenizer", model)
    reader = TokenizerReader(tokenizer, unit, length, int(config.vocab_size))
    classes = [str(config.id2label[i]) for i in range(int(config.num_labels))]
    targets = _targets(frame[label].tolist(), classes)
    ids = reader.read(frame[text].tolist(), f"the texts of {Path(path).name}").astype(np.int32)
    train, test = split(ids, targets, test_share, generator("split", "texts", seed))
    if not len(train) or not len(test):
        raise DataError(f"{len(ids)} texts cannot be split", "give more texts, or another test_share")
    return Data(
        "tokens",
        ids[train],
        targets[train],
        ids[test],
        targets[test],
        class_names=tuple(classes),
        tokens=named_tokens(reader.tokens, tokenizer, int(config.vocab_size)),
        accuracy_floor=None,
        facts={MODEL_FOLDER: folder_digest(model)},
    )


def _frame(path: str, text: str, label: str) -> pd.DataFrame:
    read = _READERS.get(Path(path).suffix)
    if read is None:
        raise DataError(f"{path!r} is not a CSV, JSON Lines or Parquet file", f"endings: {', '.join(_READERS)}")
    try:
        frame = read(path, text, label)
    except (OSError, ValueError) as error:
        raise DataError(f"the texts {path!r} cannot be read: {str(error).partition(chr(10))[0]}", _WHERE) from error
    missing = [name for name in (text, label) if name not in frame.columns]
    if missing:
        raise DataError(f"{path!r} has no column {missing[0]!r}", f"columns: {', '.join(map(str, frame.columns))}")
    return frame


def _targets(labels: list[Any], classes: list[str]) -> Array:
    """Numbers (N,) of the model's classes, of labels by name or number.

    Names may look like numbers (stars from 1 to 5) and like truth values: where all labels can be read both ways, and
    that makes a difference, they are refused.
    """
    number = {name: i for i, name in enumerate(classes)}
    names = [number.get(_as_written(value)) for value in labels]
    numbers = [int(v) if isinstance(v, (int, float, np.integer)) and v in range(len(classes)) else None for v in labels]
    if all(isinstance(value, bool) for value in labels) and None not in names:
        numbers = names
    if None not in names and None not in numbers and names != numbers:
        raise DataError(
            f"the labels may be names or numbers of the model's classes, such as {labels[0]!r}, and these differ",
            f"names, in the order of their numbers: {', '.join(classes)}; write labels that are one of both only",
        )
    found = numbers if None in names and None not in numbers else names
    if None in found:  # some of both
        found = [n if isinstance(v, str) else i for v, n, i in zip(labels, names, numbers, strict=True)]
    for value, one in zip(labels, found, strict=True):
        if one is None:
            raise DataError(f"the model has no class {value!r}", f"classes: {', '.join(classes)}")
    targets: Array = np.array(found, dtype=np.int64)
    return targets


def _as_written(value: Any) -> str:
    """A label as text, a whole number without its decimal point; empty where it is missing."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def named_tokens(tokens: Tokens, tokenizer: Any, size: int) -> Tokens:
    """The tokens with their names, for reports."""
    known = min(size, len(tokenizer))
    names = [*map(str, tokenizer.convert_ids_to_tokens(list(range(known)))), *(f"[{i}]" for i in range(known, size))]
    return Tokens(names, tokens.mask, tokens.pad, tokens.unk, tokens.prefix, tokens.suffix)
