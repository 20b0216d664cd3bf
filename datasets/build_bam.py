"""Build the pictures of datasets/bam from the packages named on its card, and write their checksums into it.

    pip install OpenEXR==3.5.3 resvg-py==0.5.0
    python datasets/build_bam.py [--archives FOLDER]           # read or download, build, write
    python datasets/build_bam.py [--archives FOLDER] --check   # the same, compare with what is shipped

Archives that ``npm pack`` left in FOLDER are used; the others are downloaded. Every file that is read
is verified against the card.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import resvg_py
from PIL import Image
from scipy import ndimage

from xaibench.datasets.bam_pictures import BAND, DRAWING_STYLES, GLYPHS, OBJECTS, SCENES
from xaibench.datasets.cards import Origin, card, check
from xaibench.datasets.fetch import download, read_members

HERE = Path(__file__).resolve().parent
HORIZON = 128
"""Row of the horizon in the panoramas, 256 rows high."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
BLOCK = 8
"""Side of the blocks that the panoramas' lossy compression (DWAB) works in."""
GLYPH_SIDE = 64
FAINT = 32
"""Alpha, of 255, below which a pixel of a drawing is left out."""


def read(origin: Origin, archives: Path | None) -> dict[str, bytes]:
    """Members of a package by file name, verified."""
    file = origin.package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz"
    if archives is None or not (archives / file).is_file():
        return download(origin)
    members = read_members(archives / file, list(origin.members))
    for member, sha256 in origin.members.items():
        check(members[member], sha256, f"{member} in {file}", "fetch the archive again")
    return {Path(member).name: content for member, content in members.items()}


def decode_exr(script: bytes) -> Any:
    """Radiance (256, 512, 3) of a panorama that is packed as base64 in a JavaScript module."""
    packed = script.decode().split("base64,")[1].split("'")[0]
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(packed))
        file.flush()
        with OpenEXR.File(file.name) as opened:
            channels = opened.channels()
            pixels = channels["RGB"].pixels if "RGB" in channels else np.stack([channels[c].pixels for c in "RGB"], -1)
    return pixels.astype(np.float64)


def repair(radiance: Any) -> Any:
    """Replace what the compression has spoilt around lamps and the sun by a blur of the sound pixels around it.

    A block's error grows with its brightest pixel: around a lamp dark pixels ring down to below 0,
    which would show as black rings, and colours of the sun drop out, which would show as a blue dot.
    Sound pixels are clipped for the blur, so that lamps do not spread.

    Parameters
    ----------
    radiance : array (H, W, 3)
        1 is a little brighter than white paper.
    """
    h, w = radiance.shape[:2]
    blocks = radiance.max(axis=-1).reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK).max(axis=(1, 3))
    peak = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    low = radiance.min(axis=-1)
    sound = ~((low < 0) | ((low < 0.004 * peak) & (peak > 3)))

    def blur(values: Any) -> Any:
        return ndimage.gaussian_filter(values, 1.2, mode=("nearest", "wrap"))

    weight = np.maximum(blur(sound.astype(np.float64)), 1e-4)
    around = np.stack([blur(np.clip(radiance[..., c], 0, 1.2) * sound) for c in range(3)], axis=-1) / weight[..., None]
    return np.where(sound[..., None], radiance, around)


def tone_map(radiance: Any) -> Any:
    """A picture (H, W, 3) of uint8: exposed by the log-average, highlights compressed (Reinhard et al. 2002, Eq. 4)."""
    band = np.clip(radiance, 0, None)[HORIZON - BAND // 2 : HORIZON + BAND // 2] @ LUMINANCE
    exposure = 0.18 / np.exp(np.log(np.maximum(band, 1e-3)).mean())
    exposed = repair(radiance * exposure)
    white = np.clip(np.percentile(band, 97) * exposure, 1.2, 4)
    luminance = np.maximum(exposed @ LUMINANCE, 1e-6)
    mapped = luminance * (1 + luminance / white**2) / (1 + luminance)
    linear = np.clip(exposed * (1.35 * mapped / luminance)[..., None], 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def scenes(members: dict[str, bytes]) -> Any:
    """The bands around the horizon of all scenes, one below the other: (10 * BAND, 512, 3) of uint8."""
    rows = slice(HORIZON - BAND // 2, HORIZON + BAND // 2)
    return np.concatenate([tone_map(decode_exr(members[f"{name}.exr.js"]))[rows] for name in SCENES])


def drawing(icons: dict[str, Any], name: str) -> Any:
    """An icon, cut to its extent, its longer side scaled to GLYPH_SIDE: (h, w, 4) of uint8."""
    icon = icons["icons"][name]
    box = [icon.get(k, icons.get(k, 0)) for k in ("left", "top", "width", "height")]
    for zoom in (8, None):
        # Drawn twice: large to find its extent, then that extent at its final size.
        scale = zoom or GLYPH_SIDE / max(box[2:])
        width, height = (max(round(side * scale), 1) for side in box[2:])
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width}" height="{height}" preserveAspectRatio="none" '
            f'viewBox="{" ".join(f"{v:.6g}" for v in box)}">{icon["body"]}</svg>'
        )
        pixels = np.asarray(Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA"))
        if zoom:
            inked = pixels[..., 3] >= FAINT
            ys, xs = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
            box = [
                box[0] + xs[0] / zoom,
                box[1] + ys[0] / zoom,
                (xs[-1] - xs[0] + 1) / zoom,
                (ys[-1] - ys[0] + 1) / zoom,
            ]
    kept = pixels[..., 3:] >= FAINT
    return np.where(kept, pixels, 0).astype(np.uint8)


def objects(icons: dict[str, dict[str, Any]]) -> Any:
    """All drawings, a row per object and a column per style, each in the corner of its cell: RGBA of uint8."""
    sheet = np.zeros((len(OBJECTS) * GLYPH_SIDE, len(DRAWING_STYLES) * GLYPH_SIDE, 4), dtype=np.uint8)
    for glyph in GLYPHS:
        drawn = drawing(icons[glyph.style], glyph.icon)
        y, x = glyph.row * GLYPH_SIDE, glyph.column * GLYPH_SIDE
        sheet[y : y + drawn.shape[0], x : x + drawn.shape[1]] = drawn
    return sheet


def png(pixels: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--archives", type=Path, help="folder of downloaded npm archives")
    given = parser.parse_args()
    origins = {o.package.rpartition("@")[0]: o for o in card("bam").origins}
    panoramas = read(origins["@pmndrs/assets"], given.archives)
    icons = {s: json.loads(read(origins[f"@iconify-json/{s}"], given.archives)["icons.json"]) for s in DRAWING_STYLES}
    different = 0
    for file, pixels in (("scenes.png", scenes(panoramas)), ("objects.png", objects(icons))):
        content = png(pixels)
        sha256 = hashlib.sha256(content).hexdigest()
        same = sha256 == card("bam").files[file]
        different += not same
        print(f"bam/{file}: {len(content)} bytes, sha256 {sha256}, {'as' if same else 'not as'} on the card")
        if not given.check:
            (HERE / "bam" / file).write_bytes(content)
            path = HERE / "bam" / "card.toml"
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(rf'("{re.escape(file)}" = )"\w*"', rf'\1"{sha256}"', text), encoding="utf-8")
    return 1 if given.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
