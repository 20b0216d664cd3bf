"""Maps that never look at the model: nearness to the middle, and hue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view, mlp
from helpers.explainer_cases import run

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.datasets.flower_pictures import hsv_to_rgb


def test_nearness_falls_with_the_squared_distance_in_pixels() -> None:
    view = make_view(mlp((1, 5, 9)), make_inputs((1, 5, 9), 2))
    found = run("centre_prior", view)[0]
    assert found.argmax() == 2 * 9 + 4
    assert found[0, 0] == found[4, 8] == 0
    torch.testing.assert_close(found[2, 4] - found[2, 3], (found[2, 4] - found[2, 2]) / 4)


def test_hues_outside_of_the_interval_count_by_their_distance_and_chroma() -> None:
    hues = np.array([0.0, 40.0, 120.0, 200.0, 280.0, 350.0])
    colours = hsv_to_rgb(hues, np.full(6, 0.5), np.full(6, 0.8))
    picture = torch.from_numpy(colours.T[:, None, :].copy()).unsqueeze(0)
    view = make_view(mlp((3, 1, 6)), picture, features="image")
    expected = torch.tensor([40, 0, 0, 0, 80, 50]) * 0.4
    # On the circle hues are up to 1.2 degrees from those on the hexagon of HSV.
    torch.testing.assert_close(run("input_hue", view)[0, 0], expected, rtol=0, atol=1.2 * 0.4)


def test_greys_have_no_hue_and_odd_channels_are_refused() -> None:
    assert not run("input_hue", make_view(mlp((1, 4, 4)), make_inputs((1, 4, 4), 2))).any()
    with pytest.raises(UnsupportedError, match="red, green and blue"):
        run("input_hue", make_view(mlp((2, 4, 4)), make_inputs((2, 4, 4), 2)))
    with pytest.raises(UsageError, match="above highest"):
        run("input_hue", make_view(mlp((3, 4, 4)), make_inputs((3, 4, 4), 2)), lowest=300.0)
