"""What Grad-CAM refuses because its layer is not there or its places cannot be followed; and tokens by hand."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.cam_nets import VGG, ResNet, ResNetBottleneck, build
from helpers.cam_transformers import Swin, ViT
from helpers.explainer_cases import run
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.explainers.cam_layers import feature_layer

SHAPE = (3, 16, 16)


class Net(nn.Module):
    """A network whose forward pass is a function of itself and its inputs."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, inputs):
        return self.function(self, inputs)


class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows, self.head = nn.LSTM(48, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, inputs):
        return self.head(self.rows(inputs.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


def view_of(net, n=3, shape=SHAPE):
    return make_view(net.eval(), make_inputs(shape, n), features="image")


WITHOUT_MAPS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 3)),
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3)),
    "mlp of scaled images": lambda: Net(lambda s, x: s.head(((x - 0.5) / 0.2).flatten(1)), head=nn.Linear(768, 3)),
    "mlp of normalised images": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(768, 3)),
    "mlp of pooled images": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(192, 3)),
    "mlp of padded images": lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(972, 3)),
    "mlp of enlarged images": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(3072, 3)),
    "mlp of shuffled images": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Flatten(), nn.Linear(768, 3)),
    "mlp of dropped out images": lambda: nn.Sequential(nn.Dropout2d(), nn.Flatten(), nn.Linear(768, 3)),
    "conv1d": lambda: nn.Sequential(
        nn.Flatten(2), nn.Conv1d(3, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3)
    ),
    "maps of one place": lambda: nn.Sequential(nn.Conv2d(3, 6, 16), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3)),
    "maps of one row": lambda: nn.Sequential(nn.Conv2d(3, 6, (16, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(84, 3)),
    "recurrent over rows": Reads,
}


@pytest.mark.parametrize("layer", [None, "convolution"])
@pytest.mark.parametrize("name", ["grad_cam", "guided_grad_cam"])
@pytest.mark.parametrize("net", WITHOUT_MAPS)
def test_networks_without_maps_are_refused(net, name, layer):
    if layer == "convolution" and net.startswith("maps"):
        return
    reason = "feature map with more than one place" if layer is None else "needs a convolution"
    if net == "recurrent over rows" and name == "guided_grad_cam":
        reason = ".*"  # Guided backpropagation refuses it first.
    torch.manual_seed(0)
    with pytest.raises(UnsupportedError, match=reason):
        run(name, view_of(WITHOUT_MAPS[net]()), layer=layer)


def _vgg(before):
    return Net(before, net=build(VGG))


def _sampled(self, x):
    grid = functional.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), x.shape, align_corners=False)
    return self.net(functional.grid_sample(x, grid, align_corners=False))


MOVED = {
    "mirrored and averaged": lambda: _vgg(lambda s, x: (s.net(x) + s.net(x.flip(-1))) / 2),
    "mirrored first and averaged": lambda: _vgg(lambda s, x: s.net(x.flip(-1)) + s.net(x)),
    "upside down": lambda: _vgg(lambda s, x: s.net(x.flipud() if x.ndim == 2 else torch.flip(x, (2,)))),
    "turned": lambda: _vgg(lambda s, x: s.net(torch.rot90(x, 1, (2, 3)))),
    "transposed": lambda: _vgg(lambda s, x: s.net(x.mT)),
    "rolled": lambda: _vgg(lambda s, x: s.net(x.roll(8, -1))),
    "sampled at other places": lambda: _vgg(_sampled),
    "cropped": lambda: _vgg(lambda s, x: s.net(functional.interpolate(x[:, :, 4:12, 4:12], scale_factor=2))),
    "columns in another order": lambda: _vgg(lambda s, x: s.net(x[..., torch.randperm(16)])),
    "maps and their mirror image": lambda: Net(
        lambda s, x: s.head((s.conv(x) + s.conv(x).flip(-1)).relu().mean((2, 3))),
        conv=nn.Conv2d(3, 4, 3), head=nn.Linear(4, 3),
    ),
    "an operation that cannot be followed": lambda: Net(
        lambda s, x: s.head(torch.tensordot(s.conv(x), torch.ones(4, 5), ([1], [0])).movedim(3, 1).relu().mean((2, 3))),
        conv=nn.Conv2d(3, 4, 3), head=nn.Linear(5, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("net", MOVED)
def test_maps_whose_places_moved_are_refused(net):
    with pytest.raises(UnsupportedError, match=r"cannot follow the places of feature maps through '[a-z0-9_]+'"):
        run("grad_cam", view_of(MOVED[net]()))


class Shuffled(ViT):
    """Tokens in a random order, as a masked autoencoder has them."""

    def embedded(self, inputs):
        order = torch.randperm(16, generator=torch.Generator().manual_seed(0))[None, :, None].expand(len(inputs), -1, 8)
        tokens = torch.gather(self.embed(inputs).flatten(2).transpose(1, 2), 1, order)
        return torch.cat([self.prefix.expand(len(inputs), -1, -1), tokens], dim=1) + self.positions


class Lost(ViT):
    """In their order, through an operation that is not followed."""

    def embedded(self, inputs):
        tokens = functional.conv1d(self.embed(inputs).flatten(2), torch.eye(8)[:, :, None]).transpose(1, 2)
        return torch.cat([self.prefix.expand(len(inputs), -1, -1), tokens], dim=1) + self.positions


class Queries(ViT):
    """Sixteen learned queries, as many as there are patches, read the patches."""

    def __init__(self):
        super().__init__()
        self.queries, self.read = nn.Parameter(torch.randn(1, 16, 8)), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, inputs):
        patches = self.embed(inputs).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.read(self.queries.expand(len(inputs), -1, -1), patches, patches)[0]).mean(1))


class QueriesByHand(Queries):
    def forward(self, inputs):
        patches = self.embed(inputs).flatten(2).transpose(1, 2)
        read = torch.softmax(self.queries @ patches.mT, dim=-1) @ patches
        return self.head(self.norm(read).mean(1))


class OwnNorm(nn.Module):
    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt()


class BatchNormOfTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def vit_with(norm):
    net = build(ViT)
    for block in net.blocks:
        block.norm1, block.norm2 = norm(), norm()
    net.norm = norm()
    return net


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (lambda: build(Shuffled), "which places of the image the tokens are about"),
        (lambda: build(Lost), "which places of the image the tokens are about"),
        (lambda: build(Queries), "which places of the image the tokens are about"),
        (lambda: build(QueriesByHand), "which places of the image the tokens are about"),
        (lambda: vit_with(OwnNorm), "needs a layer normalisation in a network of tokens"),
        (lambda: vit_with(BatchNormOfTokens), "needs a layer normalisation in a network of tokens"),
        (lambda: vit_with(nn.Identity), "needs a layer normalisation in a network of tokens"),
    ],
)
def test_tokens_that_cannot_be_followed_are_refused_and_not_taken_from_the_patch_embedding(net, reason):
    with pytest.raises(UnsupportedError, match=reason):
        run("grad_cam", view_of(net()))


def test_tokens_by_hand():
    lost, plain = build(Lost), build(ViT)
    lost.load_state_dict(plain.state_dict())
    known = run("grad_cam", view_of(plain))
    torch.testing.assert_close(run("grad_cam", view_of(lost), tokens=(4, 4, 1)), known)
    torch.testing.assert_close(run("grad_cam", view_of(plain), tokens=(4, 4, 1)), known)
    torch.testing.assert_close(run("grad_cam", view_of(lost), layer="blocks.1.norm1", tokens=(4, 4, 1)), known)
    layer = feature_layer(view_of(lost), tokens=(2, 8, 1))
    assert (layer.grid, layer.before) == ((2, 8), 1)
    assert feature_layer(view_of(vit_with(lambda: nn.RMSNorm(8)))).label == "blocks.1.norm1 rms_norm (17, 8)"


@pytest.mark.parametrize("tokens", [(0, 4, 1), (4, 0, 1), (4, 4, -1)])
def test_numbers_of_tokens_must_be_possible(tokens):
    with pytest.raises(UsageError, match="not a grid"):
        run("grad_cam", view_of(build(ViT)), tokens=tokens)


@pytest.mark.parametrize(("net", "tokens"), [(ViT, (4, 4, 0)), (ViT, (5, 5, 1)), (VGG, (4, 4, 1))])
def test_tokens_that_the_network_does_not_have_are_refused(net, tokens):
    with pytest.raises(UnsupportedError, match="layer normalisation of tokens"):
        run("grad_cam", view_of(build(net)), tokens=tokens)


@pytest.mark.parametrize(
    ("net", "layer", "reason"),
    [
        (VGG, "8", "maps or tokens"),
        (ResNet, "pool", "more than one place"),
        (ResNet, "head", "maps or tokens"),
        (ResNetBottleneck, "stages.0.relu", "run once"),
        (ViT, "head", "maps or tokens"),
        (ViT, "second", "run once"),
        (Lost, "blocks.0", "maps or tokens"),
    ],
)
def test_named_layers_without_maps_or_tokens_are_refused(net, layer, reason):
    with pytest.raises(UnsupportedError, match=reason):
        run("grad_cam", view_of(build(net)), layer=layer)


def test_a_named_layer_that_gives_a_tuple_or_is_not_there():
    net = Net(lambda s, x: s.head(s.split(s.conv(x))[0].mean((2, 3))), conv=nn.Conv2d(3, 4, 3), head=nn.Linear(2, 3),
              split=Net(lambda _s, x: x.chunk(2, 1)))  # fmt: skip
    with pytest.raises(UnsupportedError, match="run once and gives maps or tokens"):
        run("grad_cam", view_of(net), layer="split")
    with pytest.raises(UsageError, match=r"no layer 'blocks\.1\.norm3'"):
        run("grad_cam", view_of(build(ViT)), layer="blocks.1.norm3")


def test_a_layer_that_the_output_does_not_depend_on_is_refused():
    net = Net(lambda s, x: (s.side(x), s.head(s.conv(x).mean((2, 3))))[1],
              conv=nn.Conv2d(3, 4, 3), side=nn.Conv2d(3, 4, 3), head=nn.Linear(4, 3))  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"side conv2d .* is not used"):
        run("grad_cam", view_of(net), layer="side")
    assert torch.equal(run("grad_cam", view_of(net)), run("grad_cam", view_of(net), layer="conv"))


def test_a_named_layer_with_channels_last_is_not_read_as_channels_first():
    layer = feature_layer(view_of(build(Swin)), layer="stages.4")
    assert layer.axes == (1, 2)
    assert layer.maps(torch.zeros(2, 4, 4, 16)).shape == (2, 16, 4, 4)


def test_networks_that_take_another_way_for_other_samples_are_refused():
    net = Net(lambda s, x: s.net(x) if len(x) == 1 else s.net(s.conv(x)), net=build(VGG), conv=nn.Conv2d(3, 3, 1))
    with pytest.raises(UnsupportedError, match="same for every sample"):
        run("grad_cam", view_of(net))


@pytest.mark.slow
def test_compiled_modules_and_constant_outputs_are_refused():
    with pytest.raises(UnsupportedError, match="compiled"):
        run("grad_cam", view_of(torch.compile(build(VGG), backend="eager")))
    with pytest.raises(UnsupportedError, match="output has a gradient"):
        run("grad_cam", view_of(Net(lambda s, x: s.net(x).detach(), net=build(VGG))))


FOLLOWED = {
    "joined branches": (
        lambda: Net(lambda s, x: s.head(torch.cat([s.a(x).relu(), s.b(x).relu()], 1).mean((2, 3))),
                    a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 5, 3, padding=1), head=nn.Linear(9, 3)),
        "cat (9, 16, 16)",
    ),
    "a mask": (
        lambda: Net(lambda s, x: s.head((s.conv(x) * (s.conv(x) > 0)).mean((2, 3))),
                    conv=nn.Conv2d(3, 4, 3), head=nn.Linear(4, 3)),
        "mul (4, 14, 14)",
    ),
    "cropped behind the maps": (
        lambda: Net(lambda s, x: s.head(s.conv(x)[:, :, 4:12, 4:12].flatten(1)),
                    conv=nn.Conv2d(3, 2, 3, padding=1), head=nn.Linear(128, 3)),
        "conv conv2d (2, 16, 16)",
    ),
    "reflected borders": (
        lambda: nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReflectionPad2d(1),
                              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        "2 relu (4, 18, 18)",
    ),
    "attention between all places": (
        lambda: Net(lambda s, x: s.head((lambda h: h + (torch.softmax(h.flatten(2).mT @ h.flatten(2), -1)
                                                        @ h.flatten(2).mT).mT.view_as(h))(s.conv(x)).mean((2, 3))),
                    conv=nn.Conv2d(3, 4, 3, 2), head=nn.Linear(4, 3)),
        "add (4, 7, 7)",
    ),
    "tokens mixed over places": (
        lambda: Net(lambda s, x: s.head(s.norm((lambda t: t + s.mix(t.mT).mT)(s.conv(x).flatten(2).mT)).mean(1)),
                    conv=nn.Conv2d(3, 8, 4, 4), mix=nn.Linear(16, 16), norm=nn.LayerNorm(8), head=nn.Linear(8, 3)),
        "norm layer_norm (16, 8)",
    ),
    "a sum in place": (
        lambda: Net(lambda s, x: s.head(s.a(x).add_(s.b(x)).mean((2, 3))),
                    a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1), head=nn.Linear(4, 3)),
        "add (4, 16, 16)",
    ),
    "a gate of one place": (
        lambda: Net(lambda s, x: s.head((s.conv(x) * s.gate(s.conv(x).mean((2, 3), keepdim=True))).mean((2, 3))),
                    conv=nn.Conv2d(3, 4, 1), gate=nn.Conv2d(4, 4, 1), head=nn.Linear(4, 3)),
        "mul (4, 16, 16)",
    ),
    "a gate of one channel": (
        lambda: Net(lambda s, x: s.head((s.gate(s.conv(x).amax(1, keepdim=True)) * s.conv(x)).mean((2, 3))),
                    conv=nn.Conv2d(3, 4, 1), gate=nn.Conv2d(1, 1, 3, padding=1), head=nn.Linear(4, 3)),
        "mul (4, 16, 16)",
    ),
    "coordinates as channels": (
        lambda: Net(lambda s, x: s.head(s.conv(torch.cat([x, torch.ones_like(x[:, :1])], 1)).relu().mean((2, 3))),
                    conv=nn.Conv2d(4, 5, 3), head=nn.Linear(5, 3)),
        "relu (5, 14, 14)",
    ),
    "every second place": (
        lambda: Net(lambda s, x: s.head(s.b(s.a(x)[:, :, ::2, ::2]).flatten(1)),
                    a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 2, 1), head=nn.Linear(128, 3)),
        "b conv2d (2, 8, 8)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWED)
def test_other_ways_to_compute_maps_are_followed(name):
    torch.manual_seed(0)
    build_net, label = FOLLOWED[name]
    view = view_of(build_net())
    assert feature_layer(view).label == label
    assert torch.isfinite(run("grad_cam", view)).all()


def test_images_without_a_channel():
    torch.manual_seed(0)
    net = Net(
        lambda s, x: s.head(s.conv(x.unsqueeze(1)).relu().mean((2, 3))), conv=nn.Conv2d(1, 4, 3), head=nn.Linear(4, 3)
    )
    assert feature_layer(view_of(net, shape=(12, 10))).label == "relu (4, 10, 8)"
