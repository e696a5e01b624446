"""Self-attention over pixels: what a loop over them says, and nothing at first."""

import pytest
import torch

from lightning_gen.nn.adversarial import ResNetDiscriminator, ResNetGenerator
from lightning_gen.nn.adversarial.attention import SelfAttention


def attended(layer, x, pooled):
    """SAGAN's layer, pixel by pixel; keys and values are the largest of each 2x2 pixels where ``pooled``."""

    def linear(convolution, vector):
        return convolution.weight[:, :, 0, 0] @ vector

    images = []
    for image in x:
        _, height, width = image.shape
        places = [(row, column) for row in range(height) for column in range(width)]
        step = 2 if pooled else 1
        keys, values = [], []
        for row, column in [(r, c) for r in range(0, height, step) for c in range(0, width, step)]:
            square = [image[:, row + i, column + j] for i in range(step) for j in range(step)]
            keys.append(torch.stack([linear(layer.key, pixel) for pixel in square]).amax(0))
            values.append(torch.stack([linear(layer.value, pixel) for pixel in square]).amax(0))
        out = torch.empty_like(image)
        for row, column in places:
            query = linear(layer.query, image[:, row, column])
            scores = torch.stack([(query * key).sum() for key in keys]).exp()
            mixed = sum(score * value for score, value in zip(scores / scores.sum(), values, strict=True))
            out[:, row, column] = image[:, row, column] + layer.gain * linear(layer.out, mixed)
        images.append(out)
    return torch.stack(images)


@pytest.mark.parametrize(("sides", "pooled"), [((4, 4), True), ((4, 6), True), ((3, 4), False), ((3, 3), False)])
def test_attention_is_the_softmax_over_pooled_keys_of_every_pixel(sides, pooled, float64):
    layer, x = SelfAttention(8), torch.randn(2, 8, *sides)
    with torch.no_grad():
        layer.gain.fill_(0.7)
        torch.testing.assert_close(layer(x), attended(layer, x, pooled))


def test_attention_adds_nothing_at_first_and_learns_to():
    layer, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.gain.grad != 0


def test_queries_and_keys_have_an_eighth_of_the_channels_and_values_a_half():
    layer = SelfAttention(32)
    assert [tuple(part.weight.shape[:2]) for part in (layer.query, layer.key, layer.value, layer.out)] == [
        (4, 32),
        (4, 32),
        (16, 32),
        (32, 16),
    ]
    assert all(part.bias is None for part in (layer.query, layer.key, layer.value, layer.out))


@pytest.mark.parametrize(
    ("shape", "map_shape"), [((3, 32, 32), (16, 16)), ((1, 8, 8), (4, 4)), ((1, 28, 28), (14, 14)), ((1, 16, 8), (8, 4))]
)
def test_attention_stands_behind_the_maps_of_half_the_images_sides(shape, map_shape):
    seen = []
    for network, inputs in (
        (ResNetGenerator(6, shape, width=4, attention=True), torch.randn(2, 6)),
        (ResNetDiscriminator(shape, width=4, attention=True), torch.randn(2, *shape)),
    ):
        (layer,) = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
        layer.register_forward_hook(lambda _, given, out: seen.append(tuple(out.shape[2:])))
        network(inputs)
    assert seen == [map_shape] * 2
