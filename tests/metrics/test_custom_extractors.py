"""A user's callable: its answers are taken as they are, and its hash follows what it computes."""

import functools

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors import CallableExtractor, build_extractor


def corners(images):
    """The four corners of the first channel."""
    return images[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].double()


def classifier(images):
    x = images.float().mean((2, 3))
    return x, x @ torch.ones(images.shape[1], 5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        return self.drop(self.norm(images.float())).mean((2, 3))


@pytest.fixture
def images():
    return torch.randint(0, 256, (9, 3, 6, 6), dtype=torch.uint8)


def test_features_are_what_the_function_says_in_float32(images):
    extractor = CallableExtractor(corners)
    features, logits = extractor(images)
    assert torch.equal(features, corners(images).float())
    assert logits is None
    assert (extractor.name, extractor.num_features, extractor.num_classes, extractor.is_inception) == ("corners", 4, 0, False)


def test_a_pair_is_features_and_logits(images):
    extractor = CallableExtractor(classifier, name="five")
    found = extractor(images)
    assert all(torch.equal(one, other) for one, other in zip(found, classifier(images), strict=True))
    assert (extractor.num_features, extractor.num_classes) == (3, 5)
    assert extractor.protocol["extractor"] == "five"


def test_a_module_is_copied_and_evaluated_without_dropout(images):
    net = Net().train()
    extractor = CallableExtractor(net)
    first = extractor(images).features
    assert net.training
    with torch.no_grad():
        net.norm.weight.fill_(7.0)
    assert torch.equal(extractor(images).features, first)
    torch.testing.assert_close(first, images.float().mean((2, 3)) / (1 + 1e-5) ** 0.5)


def test_the_hash_of_a_module_follows_weights_and_buffers():
    net = Net()
    hashes = {CallableExtractor(net).sha256, CallableExtractor(Net()).sha256}
    assert len(hashes) == 1
    net.norm.running_mean[0] = 1e-7
    assert CallableExtractor(net).sha256 not in hashes
    assert set(CallableExtractor(net).protocol) == {"extractor", "weights_sha256", "preprocessing"}


def test_the_hash_of_a_function_follows_its_source():
    def images(x):
        return x + 1

    one, same = CallableExtractor(images), CallableExtractor(images, name="other")

    def images(x):
        return x + 2

    assert one.sha256 == same.sha256 != CallableExtractor(images).sha256


def test_a_function_without_source_is_known_by_its_code_wherever_that_lies_in_memory():
    def compiled(constant):
        scope = {}
        exec(f"def f(x):\n    g = lambda y: y + {constant}\n    return g(x)", scope)
        return scope["f"]

    functions = [compiled(constant) for constant in (1, 1, 2)]
    first, again, other = (CallableExtractor(function).sha256 for function in functions)
    assert first == again != other


def test_functools_partial_is_known_by_its_content():
    one, two = (CallableExtractor(functools.partial(torch.flatten, start_dim=dim), name="flat") for dim in (1, 2))
    assert one.sha256 != two.sha256


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images.flatten(1), "a lambda has no name"),
        (functools.partial(lambda images: images), "partial cannot be hashed"),
    ],
)
def test_what_cannot_be_named_or_hashed_is_refused(function, message):
    with pytest.raises(UserError, match=message):
        CallableExtractor(function)


@pytest.mark.parametrize("answer", [None, 3.0, (1, 2), [torch.zeros(9, 2)] * 3])
def test_another_answer_is_refused(images, answer):
    with pytest.raises(UserError, match="extractor 'own': expected features"):
        CallableExtractor(lambda images: answer, name="own")(images)


def test_a_file_and_an_attribute_name_a_callable(tmp_path, images):
    path = tmp_path / "my_embedding_of_tests.py"
    path.write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.float().amax((2, 3))\ntwo = 2\n"
    )
    extractor = build_extractor(f"{path}:Net")
    assert extractor.name == "my_embedding_of_tests:Net"
    assert torch.equal(extractor(images).features, images.amax((2, 3)).float())
    with pytest.raises(UserError, match=r"has no 'Nett'; did you mean 'Net'\?"):
        build_extractor(f"{path}:Nett")
    with pytest.raises(UserError, match="expected a callable, got int"):
        build_extractor(f"{path}:two")


def test_a_module_that_cannot_be_imported_is_one_line():
    with pytest.raises(UserError, match="no_such_module_anywhere"):
        build_extractor("no_such_module_anywhere:f")
