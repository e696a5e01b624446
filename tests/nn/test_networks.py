"""Networks: what goes in comes out, labels reach every image, and no image sees another."""

import itertools

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn.base import ACTIVATIONS, Decoder, Encoder, LabelEmbedding, LabelKind
from lightning_gen.nn.conv import ConvDecoder, ConvEncoder, resolution_levels
from lightning_gen.nn.mlp import MLPDecoder, MLPEncoder, mlp

CLASSES, ATTRIBUTES = LabelKind(num_classes=4), LabelKind(num_attributes=3)
ENCODERS = [(MLPEncoder, {"hidden": [5]}), (ConvEncoder, {"width": 4})]
DECODERS = [(MLPDecoder, {"hidden": [5]}), (ConvDecoder, {"width": 4})]
SHAPES = [(1, 8, 8), (3, 12, 8), (1, 28, 28)]


def encoder(cls, options, shape=(1, 8, 8), labels=LabelKind()):
    return cls(shape, 6, labels, **options), torch.randn(4, *shape)


def decoder(cls, options, shape=(1, 8, 8), labels=LabelKind()):
    return cls(6, shape, labels, **options), torch.randn(4, 6)


MAKERS = [(encoder, *case) for case in ENCODERS] + [(decoder, *case) for case in DECODERS]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("cls", "options"), ENCODERS)
def test_an_encoder_gives_its_features_for_every_shape(cls, options, shape):
    network, x = encoder(cls, options, shape)
    assert isinstance(network, Encoder)
    assert network(x).shape == (4, 6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("cls", "options"), DECODERS)
def test_a_decoder_gives_the_shape_that_was_asked_for(cls, options, shape):
    network, z = decoder(cls, options, shape)
    assert isinstance(network, Decoder)
    assert network(z).shape == (4, *shape)


@pytest.mark.parametrize(("make", "cls", "options"), MAKERS)
def test_item_i_depends_on_input_i_alone_and_on_all_of_it(make, cls, options, float64):
    network, x = make(cls, options)
    x.requires_grad_()
    out = network(x).flatten(1)
    (gradient,) = torch.autograd.grad((out[1] * torch.randn_like(out[1])).sum(), x)
    assert (gradient[[0, 2, 3]] == 0).all()
    assert (gradient[1] != 0).all()


@pytest.mark.parametrize(("make", "cls", "options"), MAKERS)
def test_every_output_of_a_decoder_and_encoder_depends_on_the_input(make, cls, options, float64):
    network, x = make(cls, options)
    moved = network(x + torch.randn_like(x)) - network(x)
    assert (moved != 0).all()


@pytest.mark.parametrize(("make", "cls", "options"), MAKERS)
def test_the_label_of_an_item_changes_that_item_alone(make, cls, options):
    network, x = make(cls, options, labels=CLASSES)
    labels = torch.tensor([0, 1, 2, 3])
    before, after = network(x, labels), network(x, torch.tensor([0, 3, 2, 3]))
    changed = (before != after).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False]
    different = [network(x[:1], torch.tensor([label])) for label in range(4)]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(different, 2))


@pytest.mark.parametrize(("make", "cls", "options"), MAKERS)
def test_each_attribute_matters(make, cls, options):
    network, x = make(cls, options, labels=ATTRIBUTES)
    none = network(x, torch.zeros(4, 3, dtype=torch.int64))
    assert all(not torch.equal(network(x, torch.eye(3, dtype=torch.int64)[[i] * 4]), none) for i in range(3))


def test_without_labels_nothing_is_embedded():
    embedding, x = LabelEmbedding(LabelKind()), torch.randn(4, 6)
    assert (embedding.features, list(embedding.parameters())) == (0, [])
    assert embedding.append(x, None) is x


@pytest.mark.parametrize("kind", [CLASSES, ATTRIBUTES])
def test_the_embedding_stands_behind_the_input(kind):
    embedding, x = LabelEmbedding(kind, features=5), torch.randn(4, 6)
    labels = torch.arange(4) if kind.num_classes else torch.ones(4, 3, dtype=torch.int64)
    out = embedding.append(x, labels)
    assert out.shape == (4, 6 + embedding.features)
    assert torch.equal(out[:, :6], x)


def test_an_mlp_without_hidden_layers_is_linear_and_starts_without_bias(float64):
    network = mlp(3, [], 2, ACTIVATIONS["relu"]())
    x, y = torch.randn(2, 5, 3)
    torch.testing.assert_close(network(2 * x - 3 * y), 2 * network(x) - 3 * network(y))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_last_layer_of_an_mlp_has_no_activation(activation):
    network = mlp(3, [64], 2, ACTIVATIONS[activation]())
    out = network(100 * torch.randn(1000, 3)).detach()
    assert float(out.min()) < -2
    assert float(out.max()) > 2


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 8, 8), (2, 2, 2)), ((1, 28, 28), (2, 7, 7)), ((3, 32, 32), (3, 4, 4)), ((3, 64, 64), (4, 4, 4)), ((3, 12, 8), (2, 3, 2))],
)
def test_resolutions_halve_down_to_four_pixels_or_as_far_as_they_can(shape, levels):
    assert resolution_levels(shape) == levels


@pytest.mark.parametrize("shape", [(1, 50, 50), (1, 7, 7), (3, 31, 32), (1, 36, 36)])
def test_sizes_that_cannot_be_halved_are_refused_with_an_answer(shape):
    with pytest.raises(UserError, match="expected sides like 8, 28, 32 or 64"):
        resolution_levels(shape)


@pytest.mark.parametrize("cls", [ConvEncoder, ConvDecoder])
def test_convolutions_refuse_vectors(cls):
    with pytest.raises(UserError, match="use an MLP"):
        cls(**({"data_shape": (2,), "out_features": 3} if cls is ConvEncoder else {"in_features": 3, "out_shape": (2,)}))
