"""Row LSTM and Diagonal BiLSTM: the paper's optimiser, and states that the colours share."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import DiagonalBiLSTM, RowLSTM

MODELS = [RowLSTM, DiagonalBiLSTM]


@pytest.mark.parametrize("model", MODELS)
def test_the_optimiser_is_the_papers(model):
    assert isinstance(model([1, 4, 4], width=6, head_width=12).configure_optimizers(), torch.optim.RMSprop)


@pytest.mark.parametrize("model", MODELS)
def test_states_that_the_colours_cannot_share_are_refused(model):
    with pytest.raises(UserError, match=r"model\.width: expected a multiple of 3, the colours of a pixel, got 16"):
        model([3, 4, 4])
