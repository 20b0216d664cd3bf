"""Recognises autograd graphs of ReLU networks: affine steps, ReLU, pooling, normalisation, softmax.

What is listed is what is known to be no activation. Everything else is refused, however an activation is
written: by its name, as a fused kernel, or with products, powers and exponentials.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.explainers.engines.tracing import graph_nodes

_MOVING = frozenset({
    "Alias", "AsStrided", "ChannelShuffle", "Clone", "Contiguous", "Copy", "DiagEmbed", "Diagonal", "Expand", "Flip",
    "Gather", "Im2Col", "Index", "IndexSelect", "MaskedSelect", "NativeChannelShuffle", "Permute", "PixelShuffle",
    "PixelUnshuffle", "ReflectionPad1D", "ReflectionPad2D", "ReflectionPad3D", "Repeat", "ReplicationPad1D",
    "ReplicationPad2D", "ReplicationPad3D", "ReshapeAlias", "Roll", "Rot90", "Select", "Slice", "Split",
    "SplitWithSizes", "Squeeze", "T", "Take", "ToCopy", "Transpose", "Unbind", "Unfold", "UnsafeSplit",
    "UnsafeSplitWithSizes", "UnsafeView", "Unsqueeze", "View",
})  # fmt: skip
"""Move numbers of one tensor."""
_JOINING = frozenset({
    "Cat", "ConstantPadNd", "Fill", "IndexCopy", "IndexFill", "IndexPut", "MaskedFill", "MaskedScatter", "Scatter",
    "SelectScatter", "SliceScatter", "Stack", "Tril", "Triu", "Where", "Zero",
})  # fmt: skip
"""Put numbers of several tensors, or constants, beside each other."""
_LINEAR = frozenset({
    "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "Add", "AvgPool2D", "AvgPool3D", "Col2Im", "Cumsum", "IndexAdd",
    "Lerp", "Mean", "MkldnnAdaptiveAvgPool2D", "Neg", "Rsub", "ScatterAdd", "Sub", "Sum", "Trace",
    "UpsampleBicubic2D", "UpsampleBilinear2D", "UpsampleLinear1D", "UpsampleNearest1D", "UpsampleNearest2D",
    "UpsampleNearest3D", "UpsampleNearestExact1D", "UpsampleNearestExact2D", "UpsampleNearestExact3D",
    "UpsampleTrilinear3D",
})  # fmt: skip
"""Linear in all their tensors together."""
_FACTORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Bmm", "Dot", "Mm", "Mul", "Mv"), (0, 1)),
    **dict.fromkeys(("Addbmm", "Addcmul", "Addmm", "Addmv", "Addr", "Baddbmm"), (1, 2)),
    "Trilinear": (0, 1, 2),
}
"""Linear in any one of the factors at these positions, the others being constants."""
_FIRST_ONLY = frozenset({
    "Convolution", "CudnnBatchNorm", "CudnnConvolution", "Div", "FusedRmsNorm", "GridSampler2D", "GridSampler3D",
    "Linear", "MiopenBatchNorm", "NativeBatchNorm", "NativeGroupNorm", "NativeLayerNorm",
})  # fmt: skip
"""Linear in their first tensor, or normalisations of it, all others being constants."""
_POOLING = frozenset({
    "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Amax", "Amin", "Max", "MaxPool2DWithIndices", "MaxPool3DWithIndices",
    "Min",
})  # fmt: skip
_OTHERS = frozenset({"Relu", "Softmax", "LogSoftmax", "AccumulateGrad"})


def check_relu_graph(method: str, output: Tensor, known: Collection[Any]) -> None:
    """Raise UnsupportedError for what may be another activation than ReLU.

    Parameters
    ----------
    method : str
        Name for messages.
    output : Tensor
        End of the graph. Only what depends on the input may have a gradient.
    known : collection of autograd nodes
        To be passed over.
    """
    for node in graph_nodes(output):
        if node not in known:
            reason = _objection(node)
            if reason:
                raise UnsupportedError(
                    f"{method} is defined for ReLU networks, and this model {reason}",
                    "gradient and integrated_gradients support every activation",
                )


def kind_of(node: Any) -> str:
    """Name of the operation behind a node of the autograd graph, such as Relu."""
    name: str = node.name().rpartition("::")[2]
    return name.split("Backward")[0]


def nodes_between(results: Iterator[Tensor], ends: Collection[Any]) -> set[Any]:
    """Nodes of the graph behind some tensors, before it comes to other nodes."""
    found: set[Any] = set()
    waiting = [t.grad_fn for t in results]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in ends and node not in found:
            found.add(node)
            waiting.extend(parent for parent, _ in node.next_functions)
    return found


def _objection(node: Any) -> str | None:
    kind = kind_of(node)
    depending = [i for i, (parent, _) in enumerate(node.next_functions) if parent is not None]
    if kind in _FACTORS:
        if sum(i in _FACTORS[kind] for i in depending) > 1:
            return f"multiplies two values that depend on the input ({kind})"
    elif kind in _FIRST_ONLY:
        if depending != [0]:
            return f"uses {kind} with weights or a divisor that depend on the input"
    elif kind in _POOLING:
        if not _pools_alike(node):
            return f"uses {kind} between values that are not of one kind, as an activation"
    elif kind == "Lerp":
        if 2 in depending:
            return "uses Lerp with a weight that depends on the input"
    elif kind == "CopySlices":
        return "changes a part of a tensor in place by an operation that cannot be seen"
    elif kind not in _MOVING | _JOINING | _LINEAR | _OTHERS:
        return f"uses {kind}"
    return None


def _pools_alike(pooling: Any) -> bool:
    """Whether a maximum is one over places, and not, like ``stack([h, zeros]).amax(0)``, over different functions.

    Constants and several tensors may be put together before it only where all of them come from ReLUs.
    """
    waiting = [(parent, False) for parent, _ in pooling.next_functions]
    seen = set()
    while waiting:
        node, joined = waiting.pop()
        if node is None or (node, joined) in seen:
            continue
        seen.add((node, joined))
        kind = kind_of(node)
        if kind in _MOVING | _JOINING | {"CopySlices"} or (joined and kind in _POOLING):
            joined = joined or kind in _JOINING or kind == "CopySlices"
            waiting.extend((parent, joined) for parent, _ in node.next_functions)
        elif joined and kind != "Relu":
            return False
    return True
