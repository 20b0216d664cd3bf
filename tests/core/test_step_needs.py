"""Models that are a sum over steps say so, plans know it, and everything else is refused in a sentence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import xaibench as xb
from xaibench import suite as suites
from xaibench.core.context import Context
from xaibench.core.predictor import TorchPredictor
from xaibench.core.steps import OWN_STEPS, outputs_of_steps, require_own_steps, require_steps
from xaibench.models.first_look import first_look
from xaibench.plan import expand


def test_a_first_look_finds_out() -> None:
    own = xb.OwnStep(nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)).eval()
    x = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0))
    seen = first_look(TorchPredictor(own, "value"), x, own.context(x), given="value")
    assert seen.provides == {"gradients", "module", OWN_STEPS}
    other = xb.SumOfSteps(own.recurrent).eval()
    seen = first_look(TorchPredictor(other, "value"), x, other.context(x), given="value")
    assert seen.provides == {"gradients", "module"}


def test_outputs_of_steps_are_those_that_the_sum_is_of() -> None:
    own = xb.OwnStep(nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)).eval()
    summed = xb.SumOfSteps(nn.Sequential(nn.Linear(2, 2))).eval()
    x = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0))
    changed = x + 1
    with torch.no_grad():
        for module, context in ((own, own.context(x)), (summed, summed.context(x))):
            predictor = TorchPredictor(module, "value")
            found = outputs_of_steps(predictor, changed, context)
            classes = module.step_outputs(x).argmax(dim=2, keepdim=True)
            total = found.gather(2, classes).sum(dim=(1, 2))
            torch.testing.assert_close(predictor.predict(changed, context)[:, 0], total, atol=1e-5, rtol=1e-5)


def test_other_models_are_refused() -> None:
    plain: Context = {}
    predictor = TorchPredictor(nn.Sequential(nn.Flatten(), nn.Linear(10, 1)).eval(), "value")
    for refused in (require_steps, require_own_steps):
        with pytest.raises(xb.UnsupportedError, match="steps"):
            refused(predictor)
    with pytest.raises(xb.UnsupportedError, match="outputs of single steps"):
        outputs_of_steps(predictor, torch.zeros(1, 5, 2), plain)


def test_a_plan_knows_which_models_have_steps_of_their_own() -> None:
    units = [u for u in expand(suites.load("hmm_state")) if u.problem.seed == 11]
    models = {u.problem.model.spec.name for u in units if u.spec.name == "own_step_shapley"}
    assert models == {"gru_own_step"}
    for unit in units:
        lacking = [unit.unsupported(cell, unit.problem.capabilities()) for cell in unit.cells]
        assert not any(lacking), lacking
