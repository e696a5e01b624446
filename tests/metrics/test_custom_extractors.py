"""A user's callable: its answers are taken as they are, and its hash follows what it computes."""

import functools
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
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


def test_a_lambda_is_told_how_to_be_named(images):
    with pytest.raises(UserError, match=r"a lambda has no name .* CallableExtractor\(f, name=\.\.\.\)"):
        CallableExtractor(lambda images: images.flatten(1))
    assert CallableExtractor(lambda images: images.flatten(1), name="pixels")(images).features.shape == (9, 108)


# What a function depends on is part of its identity.

weights, scale, head = torch.ones(3), 1.0, nn.Linear(3, 2)


def halved(images):
    return images.float().mean((2, 3)) * weights / 2


def reads_weights(images):
    return halved(images)


def reads_a_default(images, factor=None):
    return images


def reads_a_scale(images, *, factor=1.0):
    return images.float() * scale * factor


def reads_a_network(images):
    return head(images.float().mean((2, 3)))


def itself(images, depth=0):
    return images if depth > 3 else itself(images, depth + 1)


def imports_within(images):
    import helpers_of_this_test as own
    from helpers_of_this_test import offset

    return own.network(images) + offset


def sha(function):
    extractor = CallableExtractor(function, name="own")
    assert extractor.has_identity
    return extractor.sha256


def test_the_identity_of_a_function_follows_the_globals_it_reads_also_in_the_functions_it_calls(monkeypatch):
    before = [sha(function) for function in (reads_weights, reads_a_scale, reads_a_network)]
    assert [sha(function) for function in (reads_weights, reads_a_scale, reads_a_network)] == before
    monkeypatch.setitem(globals(), "weights", torch.tensor([1.0, 1.0, 1 + 1e-6]))
    monkeypatch.setitem(globals(), "scale", 2.0)
    with torch.no_grad():
        head.bias += 1
    after = [sha(function) for function in (reads_weights, reads_a_scale, reads_a_network)]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_the_identity_follows_defaults_and_closures_and_attributes(monkeypatch):
    def closed_over(value):
        return lambda images: images.float() * value

    def with_default(value):
        return lambda images, factor=value: images.float() * factor

    def with_keyword(value):
        return lambda images, *, factor=value: images.float() * factor

    def with_attribute(value):
        def function(images):
            return images

        function.factor = value
        return function

    arrays = [np.arange(4.0), np.arange(4.0, dtype=np.float32), np.arange(4.0).reshape(2, 2)]
    values = [1, 1.0, "1", [1], (1,), {1}, {1: 2}, {1: 3}, None, torch.ones(1), torch.ones(1, 1), *arrays, nn.Dropout(0.1), nn.Dropout(0.2)]
    for make in (closed_over, with_default, with_keyword, with_attribute):
        hashes = [sha(make(value)) for value in values]
        assert len({*hashes}) == len(values)
        assert [sha(make(value)) for value in values] == hashes


def test_a_function_that_calls_itself_has_an_identity():
    assert sha(itself) == sha(itself)


def test_another_network_in_eval_mode_or_of_another_activation_is_another():
    class Small(nn.Module):
        def __init__(self, power, activation):
            super().__init__()
            self.power, self.activation = power, activation

        def forward(self, images):
            return self.activation(images.float().mean((2, 3))) ** self.power

    assert len({sha(Small(power, activation)) for power in (1, 2) for activation in (torch.relu, torch.tanh)}) == 4
    before = sha(reads_a_network)
    head.eval()
    assert sha(reads_a_network) != before
    head.train()


@pytest.mark.filterwarnings("ignore")
def test_the_file_of_a_torchscript_network_is_its_identity():
    nets = [torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 4)) for _ in range(2)]
    one, again, other = sha(nets[0]), sha(nets[0]), sha(nets[1])
    assert one == again != other


def test_a_users_own_module_is_known_by_what_is_read_from_it_and_an_installed_one_by_its_version(tmp_path, monkeypatch):
    (tmp_path / "helpers_of_this_test.py").write_text(
        "import math\noffset = unused = 1\ndef network(x):\n    return x * math.pi * offset\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import helpers_of_this_test as own

    monkeypatch.setitem(globals(), "own", own)
    exec("def through_a_module(images):\n    return own.network(images)", globals())
    functions = (imports_within, globals().pop("through_a_module"))
    before = [sha(function) for function in functions]
    own.unused = 2
    assert [sha(function) for function in functions] == before
    own.offset = 3
    after = [sha(function) for function in functions]
    assert not {*before} & {*after}
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert sha(reads_a_network) not in before
    assert sha(functools.partial(torch.flatten, start_dim=1)) != before


FUNCTION = """
    import torch, numpy as np
    from lightning_gen.metrics.extractors import CallableExtractor
    names, table = {"one", "two", "three", "four"}, {"x": [torch.arange(3), np.ones(2), frozenset("abcdef")]}
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fixed = torch.nn.Buffer(torch.ones(3))
        def forward(self, x):
            return x
    net = Net()
    def f(x):
        return net(x).float() * len(names) if "one" in {"one", "two", "six"} else torch.relu(x) + table["x"][0]
    print(CallableExtractor(f).sha256)
"""


def test_the_identity_is_the_same_in_every_process(tmp_path):
    file = tmp_path / "their_net.py"
    file.write_text(textwrap.dedent(FUNCTION))
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    found = {subprocess.run([sys.executable, file], env=one, capture_output=True, text=True, check=True).stdout for one in environments}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


calls = 0


def counts(images):
    global calls
    calls += 1
    return images.float().flatten(1) + calls


def evaluates(images):
    return eval("weights") * images


def locked(images, lock=threading.Lock()):
    return images


@pytest.mark.parametrize(
    ("function", "reason"), [(counts, "changes 'calls'"), (evaluates, "calls eval"), (locked, "lock cannot be hashed")]
)
def test_what_depends_on_something_without_content_has_no_identity_and_its_scores_are_its_own(function, reason, caplog):
    one, other = (CallableExtractor(function, name=f"own-{function.__name__}") for _ in range(2))
    assert (one.has_identity, one.sha256) == (False, None)
    assert one.protocol == one.protocol != other.protocol
    assert one.protocol["extractor"] == f"own-{function.__name__}"
    assert reason in caplog.text


def test_a_function_is_identified_anew_before_every_use(monkeypatch):
    extractor = CallableExtractor(reads_weights)
    before = extractor.protocol
    monkeypatch.setitem(globals(), "weights", torch.zeros(3))
    extractor.prepare((3, 6, 6))
    assert extractor.protocol != before


# What it answers.


@pytest.mark.parametrize("dtype", [np.float64, ">f4", np.uint16, np.int64])
def test_an_array_of_numpy_is_taken_as_features(images, dtype):
    expected = images.numpy().mean((2, 3)).astype(dtype)
    features, logits = CallableExtractor(lambda images: (expected, expected[:, :2]), name="own")(images)
    np.testing.assert_array_equal(features.numpy(), expected.astype(np.float32))
    assert logits.shape == (9, 2)


@pytest.mark.parametrize("answer", [None, 3.0, (1, 2), (None, torch.zeros(9, 2)), [torch.zeros(9, 2)] * 3, np.array(["a"])])
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
