"""A model that was trained on some classes only is never asked for another one when nobody names any."""

import torch

from lightning_gen.callbacks.pictures import class_rows
from lightning_gen.models import DCGAN


def dcgan(**arguments):
    model = DCGAN([1, 8, 8], width=4, latent_dim=6, num_classes=10, conditional=True)
    model.data_spec = {"class_path": "Digits", "init_args": arguments}
    return model


def test_samples_take_the_trained_classes_in_turn():
    model = dcgan(only_classes=[3, 5, 9])
    labels = model.default_labels(range(64, 70))
    assert labels.tolist() == [5, 9, 3, 5, 9, 3]
    assert torch.equal(model.sample(6, first_index=64), model.sample(6, first_index=64, labels=labels))


def test_all_classes_are_trained_where_nothing_else_is_said():
    for model in (dcgan(), dcgan(only_classes=None), DCGAN([1, 8, 8], num_classes=10, conditional=True)):
        assert model.trained_classes == [*range(10)]


def test_a_grid_has_rows_of_trained_classes():
    labels, columns = class_rows([3, 5, 9], 16)
    assert labels.view(-1, columns)[:, 0].tolist() == [3, 5, 9]
    assert set(class_rows([3, 5, 9], 8)[0].tolist()) == {3, 5}
