"""Draw the pictures of the suite pages: ``python docs/draw.py STORE [SUITE ...]``.

``docs/suites/SUITE-data.png`` shows what the data look like, made by the generators themselves;
``docs/suites/SUITE-result.png`` shows scores with their 95 % intervals, from the leaderboard of a
store that ``xaibench run SUITE --store STORE`` filled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xaibench as xb
from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.core.programs.black_box import BlackBox
from xaibench.functions.dictionaries.generation import synth_sae
from xaibench.functions.influence.generation import influence_digits
from xaibench.functions.scenes.pictures import draw_pictures
from xaibench.functions.scenes.predicates import FACTORS
from xaibench.functions.superposition.autoencoder import train_autoencoder
from xaibench.functions.superposition.theory import closed_form_losses, switching_probability
from xaibench.report.braille import y_range

mpl.use("Agg")
FOLDER = Path(__file__).parent / "suites"
INK, MUTED, ACCENT, TRUTH = "#1b1f24", "#8a929c", "#0b62a8", "#c4420d"
COLOURS = ("#0b62a8", "#c4420d", "#2f855a", "#805ad5", "#b7791f", "#4a5568")
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "savefig.dpi": 130,
        "figure.constrained_layout.use": True,
        "legend.frameon": False,
    }
)


def load(name: str, seed: int = 11, **params: Any) -> Data:
    """A registered data set."""
    spec = registry.get("dataset", name)
    found: Data = spec.function(seed=seed, **spec.bind(params))
    return found


def images(rows: Sequence[tuple[str, Data]], n: int = 8) -> Figure:
    """Test images, one row per data set, the truth outlined."""
    figure, axes = plt.subplots(len(rows), n, figsize=(1.05 * n, 1.25 * len(rows)), squeeze=False)
    for line, (label, data) in zip(axes, rows, strict=True):
        for axis, image, mask in zip(line, data.test_inputs, _masks(data, n), strict=False):
            picture = image.transpose(1, 2, 0)
            low, high = (0, 1) if image.min() >= 0 and image.max() <= 1 else (image.min(), image.max())
            axis.imshow(np.squeeze(np.clip((picture - low) / (high - low), 0, 1)), cmap="gray", vmin=0, vmax=1)
            if mask is not None:
                fine = np.pad(np.kron(mask, np.ones((8, 8))), 1)
                height, width = mask.shape
                x, y = (np.linspace(-0.5, n - 0.5, fine.shape[i]) for n, i in ((width, 1), (height, 0)))
                axis.contour(x, y, fine, levels=[0.5], colors=[TRUTH], linewidths=0.9)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def _masks(data: Data, n: int) -> list[Any]:
    return [None] * n if data.test_mask is None else [m.astype(float) for m in data.test_mask[:n]]


def matrix(data: Data, n: int = 24, label: str = "feature") -> Figure:
    """Test rows as an image, features across, the truth marked."""
    figure, axis = plt.subplots(figsize=(7, 3.4))
    rows = data.test_inputs[:n].reshape(n, -1)
    limit = np.abs(rows).max()
    shown = axis.imshow(rows, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    if data.test_mask is not None:
        y, x = np.nonzero(data.test_mask[:n].reshape(n, -1))
        axis.scatter(x, y, s=14, marker="s", facecolors="none", edgecolors=INK, linewidths=0.9, label="truth")
        axis.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2)
    axis.set_xlabel(label)
    axis.set_ylabel("test sample")
    figure.colorbar(shown, ax=axis, label="value")
    return figure


def scatter(panels: Sequence[tuple[str, Data]], n: int = 800) -> Figure:
    """Two-column data, coloured by class."""
    figure, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.7), sharex=True, sharey=True)
    for axis, (label, data) in zip(np.atleast_1d(axes), panels, strict=True):
        for value in np.unique(data.test_targets):
            rows = data.test_inputs[:n][data.test_targets[:n] == value]
            axis.scatter(rows[:, 0], rows[:, 1], s=4, alpha=0.5, color=COLOURS[int(value)], label=f"class {value}")
        axis.set_title(label)
        axis.set_xlabel("feature 1: the signal")
    np.atleast_1d(axes)[0].set_ylabel("feature 2: the suppressor")
    np.atleast_1d(axes)[-1].legend(markerscale=3)
    return figure


# What a row of a board is about, whichever suite asked for it.
CELL = ["dataset", "model", "selection", "explainer", "explainer_params", "metric", "params", "asked_output"]


def dots(
    board: pd.DataFrame, series: dict[str, pd.Series], label: str, *, lines: dict[str, float] | None = None
) -> Figure:
    """Values with intervals, one line per explainer, one colour per series (rows of the board).

    An explainer that a series has with several parameters has a line for each of them.
    """
    board = board.assign(explainer=names_with_parameters(board, series))
    parts = {name: board[rows].set_index("explainer") for name, rows in series.items()}
    for name, part in parts.items():
        if part.index.has_duplicates:
            raise ValueError(f"several values of {sorted(set(part.index[part.index.duplicated()]))} in {name!r}")
    first = pd.concat([part[part["value"].notna()] for part in parts.values()])
    first = first[~first.index.duplicated()]
    order = first["value"].sort_values().index
    figure, axis = plt.subplots(figsize=(7, 0.26 * len(order) + 1.1))
    for i, (name, part) in enumerate(parts.items()):
        part = part.reindex(order)
        y = np.arange(len(order)) + (i - (len(parts) - 1) / 2) * 0.22
        low, high = part["ci_low"].fillna(part["value"]), part["ci_high"].fillna(part["value"])
        axis.hlines(y, low, high, color=COLOURS[i], lw=1.5)
        axis.plot(part["value"], y, "o", ms=4, color=COLOURS[i], label=name)
    for text, x in (lines or {}).items():
        axis.axvline(x, color=MUTED, lw=1, ls="--")
        axis.text(x, len(order) - 0.4, f" {text}", color=MUTED, va="bottom", fontsize=8)
    axis.set_yticks(np.arange(len(order)), order)
    for tick, name in zip(axis.get_yticklabels(), order, strict=True):
        tick.set_color(MUTED if first.loc[name, "control"] else INK)
    axis.set_xlabel(label)
    if len(parts) > 1:
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def names_with_parameters(board: pd.DataFrame, series: dict[str, pd.Series]) -> pd.Series:
    """Names of explainers, with the parameters that differ where a series has one explainer more than once."""
    names = board["explainer"].copy()
    shown = board[np.any([rows.to_numpy() for rows in series.values()], axis=0)]
    several = {name for rows in series.values() for name in names[rows][names[rows].duplicated()]}
    for name in several:
        given = shown.loc[shown["explainer"] == name, "explainer_params"].map(json.loads)
        differ = [key for key in given.iloc[0] if given.map(lambda p, key=key: repr(p.get(key))).nunique() > 1]
        names[given.index] += given.map(lambda p, keys=differ: "".join(f", {key} {p.get(key)}" for key in keys))
    return names


def curves(axis: Axes, board: pd.DataFrame, explainers: Sequence[str], x_of: Callable[[str], float]) -> None:
    """Value against a number in the name of the data set, one line per explainer."""
    for colour, name in zip(COLOURS, explainers, strict=False):
        rows = board[board["explainer"] == name].assign(x=lambda b: b["dataset"].map(x_of)).sort_values("x")
        axis.fill_between(rows["x"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.18, lw=0)
        axis.plot(rows["x"], rows["value"], "o-", ms=3.5, lw=1.3, color=colour, label=name)


def has(board: pd.DataFrame, **wanted: str) -> pd.Series:
    """Rows of a leaderboard whose columns contain these texts."""
    kept = pd.Series(True, board.index)
    for column, text in wanted.items():
        kept &= board[column].str.contains(text, regex=False)
    return kept


def number_in(label: str) -> float:
    """The number in the parameters of a data set's label."""
    return float(label.partition("=")[2].rstrip(")"))


def _leakage_data() -> Figure:
    return matrix(load("leakage_blocks"), label="ten blocks of ten numbers; the signal is in one of the first five")


def _leakage(board: pd.DataFrame) -> Figure:
    game = has(board, metric="pointing_game", dataset="onehot")
    series = {"standard": game & has(board, model="one_hidden(width"), "robust": game & has(board, model="robust")}
    return dots(board, series, "share of one-hot samples whose largest attribution is the signal")


def _suppressor_data() -> Figure:
    return scatter([(f"c = {c}", load("suppressor", c=c)) for c in (0.0, 0.4, 0.8)])


def _suppressor(board: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 3.6))
    rows = board[has(board, metric="distractor_mass") & has(board, model="bayes_linear")]
    names = ["gradient", "kernel_shap", "conditional_shapley", "permutation_importance", "pattern", "m_plot"]
    curves(axis, rows, names, number_in)
    c = np.linspace(0, 0.9, 91)
    axis.plot(c, c * 0.8 / (c * 0.8 + 0.5), color=INK, lw=1, ls=":", label="closed form of slopes")
    axis.set_xlabel("correlation c of the noise in the two columns")
    axis.set_ylabel("share of the suppressor")
    axis.legend(bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def _xai_tris_data() -> Figure:
    scenarios = ("linear", "multiplicative", "translations_rotations", "xor")
    grid = [(s, b) for s in scenarios for b in ("white", "correlated")]
    return images([(f"{s.partition('_')[0]},\n{b}", load("xai_tris", scenario=s, background=b)) for s, b in grid], n=10)


def _xai_tris(board: pd.DataFrame) -> Figure:
    rank = has(board, metric="relevance_rank", model="logistic_regression", dataset="scenario=linear")
    series = {b: rank & has(board, dataset=f"background={b}") for b in ("white", "correlated")}
    return dots(board, series, "precision: share of the 8 true pixels among the 8 of largest magnitude")


def _impossibility_data() -> Figure:
    data = load("piecewise", cells=10, features=4, functions=2)
    knots, slopes = data.facts["knots"], data.facts["slopes"][0]
    figure, axis = plt.subplots(figsize=(7, 2.9))
    ends = np.concatenate([knots, [knots[-1] + 1]])
    starts = np.concatenate([[0.0], knots])[: slopes.shape[1]]
    for colour, line in zip(COLOURS, slopes, strict=False):
        widths = np.diff(np.concatenate([starts, [ends[slopes.shape[1] - 1]]]))
        x = np.concatenate([starts, [starts[-1] + widths[-1]]])
        y = np.concatenate([[0.0], np.cumsum(widths * line[: len(widths)])])
        inside = x <= 13
        axis.plot(x[inside], y[inside], color=colour, lw=1.3)
    axis.axvline(10, color=INK, lw=1, ls=":")
    axis.text(10, axis.get_ylim()[1], " the sample", va="top")
    axis.text(0, axis.get_ylim()[1], " the baseline", va="top")
    axis.set_xlabel("x_j")
    axis.set_ylabel("g_j(x_j)")
    return figure


def _impossibility(board: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 3.4))
    near = has(board, metric="slope_test", params='"radius":0.5', dataset="piecewise(cells=")
    names = ["gradient", "finite_difference", "integrated_gradients", "shapley_sampling", "random"]
    curves(axis, board[near & board["explainer"].isin(names)], names, number_in)
    m = np.geomspace(2, 100, 60)
    axis.plot(m, 1 + 2 * np.arcsin(1 / np.sqrt(m)) / np.pi, color=INK, ls=":", lw=1, label="theory of sums")
    axis.set_xscale("log")
    axis.set_xlabel("cells between baseline and sample")
    axis.set_ylabel("sensitivity + specificity")
    axis.legend(bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def _synthgauss_data() -> Figure:
    data = load("synthgauss")
    figure, axis = plt.subplots(figsize=(7, 3.2))
    weights = data.facts["weights"]
    shown = axis.imshow(weights, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axis.set_xlabel("feature")
    axis.set_ylabel("cluster")
    figure.colorbar(shown, ax=axis, label="true weight")
    return figure


def _synthgauss(board: pd.DataFrame) -> Figure:
    model = has(board, model="clusterwise")
    series = {n: model & (board["metric"] == n) for n in ("feature_agreement", "signed_rank_agreement")}
    return dots(board, series, "agreement with the weights of the sample's cluster")


def _neighbourhood(board: pd.DataFrame) -> Figure:
    rows = board[has(board, metric="neighbourhood_fit") & (board["model"] == "mlp") & ~board["control"]]
    place = rows["params"].str.extract(r'"neighbourhood":"(\w+)"')[0]
    table = rows.assign(place=place).pivot_table(index="explainer", columns="place", values="value")
    places = [
        "point",
        "gaussian_gradient",
        "gaussian",
        "point_path",
        "uniform_path",
        "one_hot",
        "binary_lime",
        "binary_shapley",
    ]
    own = [
        "gradient",
        "smoothgrad",
        "c_lime",
        "input_x_gradient",
        "integrated_gradients",
        "feature_ablation",
        "lime",
        "kernel_shap",
    ]
    table = table.reindex(index=own, columns=places)
    figure, axis = plt.subplots(figsize=(7, 4))
    best_of = table.min()
    excess = (table - best_of) / (table.max() - best_of)
    axis.imshow(excess, cmap="Blues", vmax=2.5, aspect="auto")
    for i, j in np.ndindex(*table.shape):
        best = excess.iloc[i, j] < 1e-9
        axis.text(
            j,
            i,
            f"{table.iloc[i, j]:.2g}",
            ha="center",
            va="center",
            color=TRUTH if best else INK,
            weight="bold" if best else None,
        )
    axis.set_xticks(range(len(places)), [p.replace("_", "\n") for p in places], fontsize=8)
    axis.set_yticks(range(len(own)), own)
    axis.set_xlabel("neighbourhood; the smallest loss of each is set in colour")
    return figure


def _fdr_data() -> Figure:
    return matrix(load("interesting_features", task="nn"), n=30)


def _fdr(board: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2))
    tests = board[
        (board["model"] == "exact_function") & has(board, dataset="task=nn") & board["explainer"].isin(["irt", "osft"])
    ]
    q = tests["params"].str.extract(r'"q":([0-9.]+)')[0].astype(float)
    sided = tests["explainer_params"].str.contains("true").map({True: "two-sided", False: "one-sided"})
    tests = tests.assign(q=q, name=tests["explainer"] + ", " + sided)
    for axis, metric, label in zip(
        axes, ("false_discovery_proportion", "discovery_power"), ("false discoveries", "power"), strict=True
    ):
        right = tests["explainer"].map({"irt": "benjamini_hochberg", "osft": "symmetric"})
        used = np.array([r in p for r, p in zip(right, tests["params"], strict=True)])
        for colour, (name, rows) in zip(
            COLOURS, tests[(tests["metric"] == metric) & used].groupby("name"), strict=False
        ):
            rows = rows.sort_values("q")
            axis.errorbar(
                rows["q"],
                rows["value"],
                yerr=[rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]],
                color=colour,
                marker="o",
                ms=3.5,
                lw=1.2,
                label=name,
            )
        axis.set_xlabel("q asked for")
        axis.set_ylabel(label)
    axes[0].plot([0.05, 0.2], [0.05, 0.2], color=INK, ls=":", lw=1)
    axes[1].legend()
    return figure


def _scaffold_data() -> Figure:
    data = load("scaffold_table")
    figure, axis = plt.subplots(figsize=(6, 3.4))
    rows = data.train_inputs[:, :8]
    centre = rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows - centre, full_matrices=False)
    noise = rows + np.random.default_rng(0).normal(0, 1, rows.shape)
    first, last = axes[0], axes[-1]
    for points, colour, name in ((noise, MUTED, "rows that LIME makes up"), (rows, ACCENT, "real rows")):
        axis.scatter((points - centre) @ first, (points - centre) @ last, s=4, alpha=0.5, color=colour, label=name)
    axis.set_xlabel("first principal component of the eight numeric columns")
    axis.set_ylabel("last principal component")
    axis.legend(markerscale=3)
    return figure


def _scaffold(board: pd.DataFrame) -> Figure:
    rows = board[has(board, metric="pointing_game", dataset="scaffold_table")].copy()
    rows = rows[rows["explainer"].isin(["tabular_lime", "kernel_shap"])]
    told = {"tabular_lime": "LIME", "kernel_shap": "SHAP"}
    kind = rows["explainer_params"].str.extract(r'"references":"(\w+)"')[0].fillna("zeros")
    near = rows["explainer_params"].str.contains('"neighbours":200')
    detail = np.where(rows["explainer"] == "tabular_lime", np.where(near, "on real neighbours", "plain"), kind)
    rows["explainer"] = rows["explainer"].map(told) + ", " + detail
    series = {
        m: rows["model"].str.contains(m, regex=False)
        for m in ("biased", "attack=lime,detector=forest", "attack=shap,detector=forest")
    }
    return dots(rows, series, "share of rows in which the sensitive bit comes first")


def _selection_data() -> Figure:
    return matrix(load("switched_regimes"), label="column; the first one switches")


def _selection(board: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 3.2))
    truth = board[(board["metric"] == "auprc") & ~board["control"]].set_index(["explainer", "explainer_params"])[
        "value"
    ]
    taus = {}
    for metric in ("deletion", "insertion", "comprehensiveness", "sufficiency"):
        for masker in ("zero", "mean", "marginal", "conditional"):
            rows = board[(board["metric"] == metric) & has(board, params=f'"masker":"{masker}"') & ~board["control"]]
            value = rows.set_index(["explainer", "explainer_params"])["value"] * np.where(
                rows["higher_is_better"], 1, -1
            )
            taus[metric, masker] = pd.concat([truth, value], axis=1, keys=["a", "b"]).corr("kendall").loc["a", "b"]
    table = pd.Series(taus).unstack()[["zero", "mean", "marginal", "conditional"]]
    table.plot.bar(ax=axis, rot=0, color=COLOURS[:4], width=0.75)
    axis.axhline(0, color=INK, lw=0.8)
    axis.set_ylabel("Kendall's tau with the\nranking by the truth")
    axis.legend(title="masker", bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def _blockmnist_data() -> Figure:
    kinds = {
        "null block drawn anew": {},
        "one fixed null block": {"null": "fixed"},
        "digit always on top": {"position": "top"},
    }
    return images([(label.replace(" ", "\n", 1), load("blockmnist", **params)) for label, params in kinds.items()], n=9)


def _blockmnist(board: pd.DataFrame) -> Figure:
    share = has(board, metric="distractor_share") & ~has(board, dataset="fixed") & ~has(board, dataset="top")
    series = {
        "MLP": share & has(board, model="mlp") & ~has(board, model="robust"),
        "MLP, robust": share & has(board, model="robust_mlp"),
        "CNN": share & has(board, model="cnn") & ~has(board, model="robust"),
        "CNN, robust": share & has(board, model="robust_cnn"),
    }
    return dots(board, series, "share of the strongest 5 % of pixels that lie in the null block", lines={"chance": 0.5})


def _diffroar_data() -> Figure:
    data = load("mnist")
    figure, axes = plt.subplots(2, 9, figsize=(9.4, 2.4))
    for column, image in enumerate(data.test_inputs[:9, 0]):
        ink = image >= np.sort(image.ravel())[-int(0.1 * image.size)]
        for axis, picture in zip(axes[:, column], (image, ink & (image > 0)), strict=True):
            axis.imshow(picture, cmap="gray")
            axis.set_axis_off()
    axes[0, 0].set_title("digits")
    axes[1, 0].set_title("the shape of their brightest 10 %, which tells the class too")
    return figure


def _diffroar(board: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 3.2))
    rows = board[(board["metric"] == "diffroar") & (board["explainer"] == "gradient")]
    rows = rows.assign(k=rows["params"].str.extract(r'"shares":\[([0-9.]+)')[0].astype(float))
    for colour, (name, part) in zip(COLOURS, rows.groupby("model"), strict=False):
        part = part.sort_values("k")
        axis.fill_between(part["k"], part["ci_low"], part["ci_high"], color=colour, alpha=0.18, lw=0)
        axis.plot(part["k"], part["value"], "o-", ms=3.5, lw=1.3, color=colour, label=name)
    axis.axhline(0, color=INK, lw=0.8)
    axis.set_xlabel("share k of the pixels that is kept")
    axis.set_ylabel("DiffROAR of the gradient")
    axis.legend(bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def _bam_data() -> Figure:
    return images(
        [(name.removeprefix("bam_").replace("_", " "), load(name)) for name in ("bam_object", "bam_scene_only")], n=9
    )


def _bam(board: pd.DataFrame) -> Figure:
    contrast = board["metric"] == "model_contrast"
    series = {
        "difference": contrast & has(board, params="false"),
        "relative": contrast & has(board, params="true"),
    }
    return dots(board, series, "model contrast: brightness of the object, object model less scene model")


def _flowers_data() -> Figure:
    return images([("flowers", load("flowers", train=1, test=360))], n=8)


def _flowers(board: pd.DataFrame) -> Figure:
    started = board["explainer"] == "integrated_gradients"
    starts = board["explainer_params"].map(lambda given: f" from {json.loads(given).get('baseline')}")
    board = board.assign(explainer=board["explainer"] + starts.where(started, ""))
    return dots(board, {"rank": board["metric"] == "relevance_rank"}, "share of the signal part that is found")


def _find_data() -> Figure:
    functions = registry.get("functions", "find_numeric").function(seed=11, n=200)
    clean = [f for f in functions if f.noise == "none" and not f.intervals]
    chosen = [next(f for f in clean if f.family == name) for name in ("gaussian", "sine", "rational", "compound")]
    chosen += [f for f in functions if f.intervals and f.noise == "none"][:2]
    chosen += [f for f in functions if f.noise != "none" and not f.intervals][:2]
    x = np.linspace(-128, 128, 1025)
    figure, axes = plt.subplots(2, 4, figsize=(9.4, 3.8))
    for axis, f in zip(axes.flat, chosen, strict=True):
        y = f.call(x)
        axis.plot(x, y, lw=0.9, color=INK)
        axis.set_ylim(*y_range(y))
        for low, high in f.intervals:
            axis.axvspan(low, high, color=TRUTH, alpha=0.18, lw=0)
        axis.set_title(f"{f.name[-4:]}: {f.family}{'' if f.noise == 'none' else f' + {f.noise} noise'}")
        axis.tick_params(labelsize=7)
    return figure


def _find(board: pd.DataFrame) -> Figure:
    whole = board["dataset"] == "find_numeric(n=1000)"
    names = {"r2": "R2", "find_official": "FIND's own score", "query_efficiency": "R2 over budgets from 8 to 128"}
    series = {label: whole & (board["metric"] == metric) for metric, label in names.items()}
    return dots(board, series, "share of 1,000 functions that pass, or of their variance that is explained")


def _find_strings_data() -> Figure:
    functions = registry.get("functions", "find_string").function(seed=11, n=1000)
    rows = [(f.family, *(f"{x}  \u2192  {y}" for x, y in _short_examples(f))) for f in functions]
    figure, axis = plt.subplots(figsize=(9.4, 2.6))
    axis.axis("off")
    shown = [row for row in rows if len(row) == 3][:8]
    table = axis.table(shown, colLabels=["function", "", ""], cellLoc="left", edges="horizontal", loc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(7.5)
    table.scale(1, 1.25)
    return figure


def _short_examples(f: BlackBox) -> list[tuple[str, str]]:
    """Two test inputs with their outputs that fit into a column."""
    pairs = zip(f.test_inputs, f.program(f.test_inputs), strict=True)
    return [(x, y) for x, y in pairs if len(x + y) <= 36 and x != y and y == y.strip() and y][:2]


def _find_strings(board: pd.DataFrame) -> Figure:
    whole = board["dataset"] == "find_string(n=1000)"
    series = {
        "exactly right": has(board, metric="string_exact", params='"whole":false'),
        "edit similarity": board["metric"] == "string_similarity",
        "exactly right, over budgets from 1 to 20": board["metric"] == "string_query_efficiency",
    }
    series = {label: whole & rows for label, rows in series.items()}
    return dots(board, series, "share of held-out inputs, 1,000 string functions")


def _circuits_data() -> Figure:
    names = ("induction", "constant", "backup")
    chosen = {c.parameters["program"]: c for c in registry.get("functions", "compiled").function(seed=11)}
    figure, axes = plt.subplots(1, len(names), figsize=(9.4, 2.9))
    places = {"tok": (0, 1), "pos": (0, 0), "h00": (1, 1), "h01": (1, 0), "m0": (2, 0.5), "h10": (3, 1), "h11": (3, 0)}
    places |= {"m1": (4, 0.5), "out": (5, 0.5)}
    for axis, name in zip(axes, names, strict=True):
        case = chosen[name]
        order = np.argsort(case.truth.values.numpy(), kind="stable")
        for i in order:
            edge, level = case.given.edges[i], int(case.truth.values[i])
            (x, y), (to_x, to_y) = places[edge.sender], places[edge.receiver]
            bend = {"q": 0.18, "k": 0.06, "v": -0.06}.get(edge.channel, 0.0)
            style = {"color": ("#d5dae0", COLOURS[0], TRUTH)[level], "lw": (0.4, 1.6, 1.6)[level]}
            arrow = {"arrowstyle": "-|>" if level else "-", "connectionstyle": f"arc3,rad={bend}", **style}
            axis.annotate("", (to_x, to_y), (x, y), arrowprops={**arrow, "shrinkA": 8, "shrinkB": 9})
        for node, (x, y) in places.items():
            used = node in {*case.parameters["nodes"], "out", "tok", "pos"}
            axis.text(x, y, node, ha="center", va="center", color=INK if used else MUTED, fontsize=8)
        axis.set_title(name)
        axis.set_xlim(-0.4, 5.4)
        axis.set_ylim(-0.4, 1.4)
        axis.axis("off")
    axes[0].plot([], [], color=TRUTH, label="variable")
    axes[0].plot([], [], color=COLOURS[0], label="constant")
    axes[0].plot([], [], color="#d5dae0", label="unused")
    axes[0].legend(loc="upper left", bbox_to_anchor=(0, 0.08), ncols=3, fontsize=7)
    return figure


def _circuits(board: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.6), sharey=True)
    params = board["explainer_params"]
    methods = {
        "EAP-IG": (board["explainer"] == "edge_attribution") & params.str.contains('"steps":8'),
        "subnetwork probing": board["explainer"] == "subnetwork_probing",
        "edge patching": board["explainer"] == "edge_patching",
        "ACDC": board["explainer"] == "acdc",
        "EAP": (board["explainer"] == "edge_attribution") & params.str.contains('"projection","steps":1'),
    }
    for axis, metric in zip(axes, ("edge_auroc_wiring", "edge_auroc_variable"), strict=True):
        rows = board["metric"] == metric
        for i, ablation in enumerate(("zero", "mean", "resample")):
            for y, chosen in enumerate(methods.values()):
                part = board[rows & chosen & params.str.contains(f'"ablation":"{ablation}"')]
                at = y + (i - 1) * 0.2
                label = ablation if y == 0 else None
                axis.plot(part["value"], [at] * len(part), "o", ms=5, color=COLOURS[i], label=label)
                axis.hlines([at] * len(part), part["ci_low"], part["ci_high"].clip(upper=1), color=COLOURS[i], lw=1.3)
        placebo = board[rows & board["control"] & (board["explainer"] != "oracle")]["value"].max()
        axis.axvline(placebo, color=MUTED, lw=1, ls="--")
        axis.text(placebo, 3.5, " best placebo", color=MUTED, fontsize=8)
        axis.set_xlabel(f"AUROC, {metric.removeprefix('edge_auroc_')}")
        axis.set_yticks(range(len(methods)), list(methods))
    axes[0].invert_yaxis()
    axes[1].legend(loc="upper left", bbox_to_anchor=(0.04, 1), title="ablation")
    return figure


def _superposition_data() -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(9.4, 2.5), sharey=True)
    grid = np.linspace(0.02, 0.9, 89)
    for axis, r in zip(axes, (0.1, 0.5, 2.0, 1.0), strict=True):
        for colour, kind in zip(COLOURS, ("both", "first only", "second only"), strict=False):
            losses = [closed_form_losses(p, r)[kind] for p in grid]
            axis.plot(grid, losses, color=colour, lw=1.3, label=kind)
        trained = [train_autoencoder(p, r, np.random.default_rng(11))[1] for p in grid[4::8]]
        axis.plot(grid[4::8], trained, "o", ms=3.5, color=INK, label="trained")
        axis.axvline(switching_probability(r), color=MUTED, lw=1, ls="--")
        axis.set_title(f"r = {r:g}")
        axis.set_xlabel("p")
        axis.set_ylim(0, 0.15)
    axes[0].set_ylabel("loss")
    axes[0].legend(fontsize=7)
    return figure


def _superposition(board: pd.DataFrame) -> Figure:
    series = {f"{kind} importances": has(board, dataset=f"importance={kind}") for kind in ("unequal", "equal")}
    return dots(board, series, "share of nets whose represented features are named")


def _synth_sae_data() -> Figure:
    (case,) = synth_sae(seed=11, n=1)
    directions, activations = case.hidden["directions"], case.hidden["activations"]
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
    rates = (activations > 0).double().mean(dim=0).numpy()
    axes[0].loglog(np.arange(1, len(rates) + 1), np.maximum(rates, 1e-4), ".", color=ACCENT, ms=3)
    axes[0].set(xlabel="feature", ylabel="rate of activity")
    cosines = (directions @ directions.T).numpy()[np.triu_indices(len(directions), 1)]
    axes[1].hist(cosines, bins=60, color=ACCENT)
    axes[1].set(xlabel="cosine of two features", yticks=[])
    return figure


def _synth_sae(board: pd.DataFrame) -> Figure:
    names = board["explainer_params"].map(json.loads).map(lambda p: p.get("architecture"))
    rows = board.assign(name=names.fillna(board["explainer"]))
    table = rows.pivot_table(index="name", columns="metric", values="value")
    controls = rows.groupby("name")["control"].any()
    figure, axis = plt.subplots(figsize=(7, 4.2))
    for name, row in table.drop(["random", "constant"], errors="ignore").iterrows():
        colour = TRUTH if name in ("oracle", "true_decoder") else MUTED if controls[name] else ACCENT
        place = (row["explained_variance"], row["dictionary_f1"])
        axis.plot(*place, "o", color=colour, ms=5)
        axis.annotate(str(name), place, (5, -3), textcoords="offset points", fontsize=7)
    axis.set(xlabel="explained variance", ylabel="F1 of firing", xlim=(-0.05, 1.1))
    return figure


def _find_scenes_data() -> Figure:
    specs = np.array(
        [[2, 4, 0, 0, 0], [2, 6, 1, 0, 3], [9, 8, 2, 1, 1], [1, 3, 0, 2, 2], [8, 2, 1, 3, 0], [3, 4, 0, 0, 3]]
    )
    figure, axes = plt.subplots(1, len(specs), figsize=(9, 1.9))
    for axis, image, spec in zip(axes, draw_pictures(specs), specs, strict=True):
        axis.imshow(image.transpose(1, 2, 0))
        axis.set(xticks=[], yticks=[])
        axis.set_title("\n".join(values[v] for values, v in zip(FACTORS.values(), spec, strict=True)), fontsize=6)
    return figure


def _find_scenes(board: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(9.4, 2.7), sharey=True)
    methods = {
        "exemplars": has(board, explainer="exemplars"),
        "64 pictures": has(board, explainer="passive", explainer_params="64"),
        "2,000 pictures": has(board, explainer="passive", explainer_params="2000"),
        "edits, blind": has(board, explainer="edited", explainer_params="blind"),
        "edits of exemplars": has(board, explainer="edited", explainer_params="exemplars"),
        "placebo": has(board, explainer="frequent_values"),
    }
    for axis, mode in zip(axes, ("mono", "or", "and"), strict=True):
        for i, (name, chosen) in enumerate(methods.items()):
            rows = board[chosen & has(board, metric="scene_auroc", dataset=f"mode={mode}")]
            x = rows["dataset"].str.extract(r"confounded=([\d.]+)")[0].astype(float)
            rows = rows.assign(x=x).sort_values("x")
            colour = MUTED if name == "placebo" else COLOURS[i]
            axis.plot(rows["x"] + (i - 2.5) * 0.006, rows["value"], "o-", color=colour, ms=3, lw=1.2, label=name)
        axis.set(title=mode, xlabel="scenes go with objects", ylim=(0.45, 1.03))
    axes[0].set_ylabel("AUROC on test pictures")
    axes[0].legend(fontsize=6)
    return figure


def _influence_data() -> Figure:
    (case,) = influence_digits(seed=11, n=1)
    given, effects = case.given, case.truth.tensors["values"][0].numpy()
    order = np.argsort(effects)
    shown = [("test row", given.test_inputs[0])]
    shown += [(f"{effects[i]:+.3f}", given.inputs[i]) for i in [*order[::-1][:4], *order[:4]]]
    figure, axes = plt.subplots(1, len(shown), figsize=(9, 1.5))
    for axis, (label, row) in zip(axes, shown, strict=True):
        axis.imshow(np.asarray(row)[:64].reshape(8, 8), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
        axis.set_title(label, fontsize=8, color=TRUTH if label == "test row" else INK)
    return figure


def _influence(board: pd.DataFrame) -> Figure:
    series = {
        "leaving one out": has(board, metric="leave_one_out_correlation"),
        "halves": has(board, metric="linear_datamodelling_score"),
    }
    return dots(_named_by_parameters(board), series, "correlation with the effect of training rows")


def _named_by_parameters(board: pd.DataFrame) -> pd.DataFrame:
    """The board with plain values of parameters in the names of explainers."""
    given = board["explainer_params"].map(json.loads)
    text = given.map(lambda p: ", ".join(f"{name}={value}" for name, value in p.items()))
    return board.assign(explainer=board["explainer"].where(text == "", board["explainer"] + " (" + text + ")"))


def _scorers_data() -> Figure:
    """Smaller of the two falls, in closed form, against the firing rate."""
    g = np.logspace(-4, np.log10(0.499), 100)
    falls = {
        "F1": np.full_like(g, 1 / 3),
        "IoU": np.full_like(g, 1 / 2),
        "AUPRC": (1 - g) / 2,
        "correlation": np.minimum(1 - np.sqrt((1 - g) / (2 - g)), 1 - np.sqrt((1 - 2 * g) / (2 - 2 * g))) / 2,
        "AUC": np.minimum(1 / 4, g / (2 * (1 - g))),
        "accuracy": g / 2,
    }
    figure, axis = plt.subplots(figsize=(6, 2.9))
    for colour, (name, fall) in zip(COLOURS, falls.items(), strict=True):
        axis.loglog(g, fall, color=colour, lw=1.4, label=name)
    axis.axhline(0.001, color=MUTED, lw=1, ls="--")
    axis.set(xlabel="firing rate", ylabel="fall, share of the range")
    axis.legend(fontsize=7, loc="lower right")
    return figure


def _scorers(board: pd.DataFrame) -> Figure:
    score = board["explainer_params"].map(json.loads).map(lambda p: p.get("score"))
    named = board.assign(explainer=score.fillna(board["explainer"]))
    kept = named["explainer"].isin(score.dropna()) & (named["metric"] == "description_sensitivity")
    series = {f"g = {g}": kept & has(named, dataset=f"rate={g})") for g in ("0.1", "0.01", "0.001")}
    return dots(named, series, "smaller fall when half is missing or as much is extra", lines={"passes": 0.001})


def main() -> None:
    """Draw what is asked for, or everything that the store has."""
    board = xb.leaderboard(sys.argv[1])
    suites = board["suite"].replace({"bam-fast": "bam", "find_full": "find", "find_strings_full": "find_strings"})
    board = board[~pd.concat([suites, board[CELL]], axis=1).duplicated()]  # cells that two such suites share
    suites = suites[board.index]
    for name in sys.argv[2:] or [name for name in PAGES if name in set(suites)]:
        for kind, draw in zip(("data", "result"), PAGES[name], strict=True):
            figure = draw() if kind == "data" else draw(board[suites == name])
            figure.savefig(FOLDER / f"{name}-{kind}.png")
            plt.close(figure)


PAGES: dict[str, tuple[Callable[[], Figure], Callable[[pd.DataFrame], Figure]]] = {
    "leakage": (_leakage_data, _leakage),
    "suppressor": (_suppressor_data, _suppressor),
    "xai_tris": (_xai_tris_data, _xai_tris),
    "impossibility": (_impossibility_data, _impossibility),
    "synthgauss": (_synthgauss_data, _synthgauss),
    "neighbourhood": (_synthgauss_data, _neighbourhood),
    "fdr": (_fdr_data, _fdr),
    "scaffold": (_scaffold_data, _scaffold),
    "selection": (_selection_data, _selection),
    "blockmnist": (_blockmnist_data, _blockmnist),
    "diffroar": (_diffroar_data, _diffroar),
    "bam": (_bam_data, _bam),
    "flowers": (_flowers_data, _flowers),
    "find": (_find_data, _find),
    "find_strings": (_find_strings_data, _find_strings),
    "circuits": (_circuits_data, _circuits),
    "superposition": (_superposition_data, _superposition),
    "synth_sae": (_synth_sae_data, _synth_sae),
    "find_scenes": (_find_scenes_data, _find_scenes),
    "influence": (_influence_data, _influence),
    "scorers": (_scorers_data, _scorers),
}


if __name__ == "__main__":
    main()
