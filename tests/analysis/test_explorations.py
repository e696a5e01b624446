"""Each exploration decodes the latents that it says, in the order that it says, whatever the model is capable of."""

import math

import numpy as np
import pytest
import torch
from latent_models import Coder, KnownPosterior, asked, lost, space_of

from lightning_gen import models
from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.holes import decoded_places, gaussian_draws, partners
from lightning_gen.analysis.interpolation import lerp, nearer_labels, slerp
from lightning_gen.analysis.kinds import KINDS, obstacles, refuse_unheeded
from lightning_gen.analysis.latent_arithmetic import matches
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.manifold import grid_quantiles
from lightning_gen.analysis.scatter import colour_of, plane
from lightning_gen.analysis.sheets import BETWEEN, sheet
from lightning_gen.bijections.scaling import Scaling
from lightning_gen.cli.explore import KINDS as KINDS_OF_THE_COMMAND
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.evaluation.api import score
from lightning_gen.images import to_unit
from lightning_gen.noise import blocks

SHAPE = [1, 8, 8]


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def explore(space, kind, **request):
    with space.model.inference():
        assert obstacles(space, [KINDS[kind]], Request(**request)) == {}
        return KINDS[kind].draw(space, Request(**request))


def dcgan(**options):
    torch.manual_seed(0)
    return models.DCGAN(SHAPE, width=4, latent_dim=6, **options)


def vae(**options):
    torch.manual_seed(0)
    network = {"hidden": [16]}
    return models.VAE(
        SHAPE, num_bits=4, encoder={"class_path": "MLPEncoder", "init_args": network},
        decoder={"class_path": "MLPDecoder", "init_args": network}, **{"latent_dim": 4, **options},
    )  # fmt: skip


# The latent space.


class Drawn(Coder):
    """A coder that draws its latents as a test says."""

    def draw_latents(self, noise, *, labels=None):
        return self.draw(noise)


def drawn_by(draw, latent_dim=3):
    model = Drawn(SHAPE, latent_dim)
    model.draw = draw
    return model


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda noise: noise.normal("z", (3,)), True),
        (lambda noise: torch.cat([noise.normal("top", (1,)), noise.normal("z", (2, 1)).flatten(1)], dim=1), True),
        (lambda noise: 2 * noise.normal("z", (3,)), False),
        (lambda noise: noise.normal("z", (3,)) + noise.normal("more", (3,)), False),
        (lambda noise: 2 * noise.uniform("z", (3,)) - 1, False),
    ],
)
def test_a_standard_normal_prior_is_known_by_its_draws(draw, expected):
    space = space_of(drawn_by(draw))
    assert space.is_standard_normal is expected
    assert (space.scale.source == "standard normal prior") is expected


@pytest.mark.parametrize("conditional", [False, True])
def test_drawn_latents_are_those_of_the_samples_with_the_same_numbers(conditional):
    space = space_of(dcgan(num_classes=10, conditional=conditional), seed=7)
    samples = space.model.sample(130, seed=7)
    with space.model.inference():
        assert torch.equal(space.decode(space.draw([3, 129, 64])), samples[[3, 129, 64]])


def test_dimensions_of_several_parts_are_named_by_their_part():
    space = space_of(Coder(SHAPE, latent_dim=5))
    assert [space.name_of(d) for d in range(2)] == ["z0", "z1"]
    space.model.latent_shapes = {"top": (2,), "z": (1, 3)}
    assert [space.name_of(d) for d in range(5)] == ["top[0]", "top[1]", "z[0]", "z[1]", "z[2]"]


# Traversal.


def test_a_traversal_moves_one_dimension_from_end_to_end_by_way_of_the_image():
    space = space_of(KnownPosterior(SHAPE))
    found = explore(space, "traversal", steps=7)
    rows = asked(space.model).view(3, 7, 3)
    for row, dimension in zip(rows, found.numbers["dimensions"], strict=True):
        others = [d for d in range(3) if d != dimension]
        assert torch.equal(row[:, others], KnownPosterior.MEANS[others].expand(7, -1))
        assert torch.equal(row[3], KnownPosterior.MEANS)
        assert row[[0, 6], dimension].tolist() == [-3, 3]
        assert (row[:, dimension].diff() >= 0).all()


def test_the_middle_column_shows_the_decoded_mean():
    space = space_of(vae())
    with space.model.inference():
        images, labels = space.images([4])
        mean = space.decode(space.encode((images, labels)))[0, 0]
    picture = explore(space, "traversal", steps=5, images=(4,), num_images=2).picture
    tile = mean.repeat_interleave(4, 0).repeat_interleave(4, 1)
    shown = picture[0].unfold(0, 32, 1).unfold(1, 32, 1)
    places = (shown == tile).all((2, 3)).nonzero()[:, 1]
    left = picture.shape[2] - 6 - 5 * (32 + BETWEEN)
    assert left + 2 * (32 + BETWEEN) in places.tolist()


def test_rows_are_sorted_by_the_kl_of_their_dimension():
    found = explore(space_of(KnownPosterior(SHAPE)), "traversal").numbers
    assert found["sorted_by"] == "KL"
    assert found["dimensions"] == [1, 2, 0]
    assert found["importance"] == pytest.approx([0.125, 4.5, 0.5])
    assert explore(space_of(KnownPosterior(SHAPE)), "traversal", num_images=2).numbers["dimensions"] == [1, 2]


def test_without_a_kl_the_variance_of_the_encoded_images_sorts():
    space = space_of(Coder(SHAPE))
    found = explore(space, "traversal").numbers
    z = space.encode(space.images(range(400))).z
    assert found["sorted_by"].startswith("variance")
    assert found["dimensions"] == z.var(0).argsort(descending=True).tolist()
    train = space.encode(space.images(range(997), "train")).z
    assert found["scale"] == "encoded training images"
    assert torch.allclose(space.scale.std, train.std(0))


def test_without_an_encoder_a_traversal_stays_within_the_range_of_the_prior():
    space = space_of(dcgan())
    found = explore(space, "traversal", images=(5, 9), num_images=6).numbers
    values = torch.tensor([traversal["values"] for traversal in found["traversals"]])
    assert values.shape == (2, 6, 11)
    assert values.abs().max() <= 1  # the paper's uniform z
    assert values.amax(2).min() > 0.99
    assert found["dimensions"] == torch.tensor(found["importance"]).argsort(descending=True).tolist()


def test_counts_are_not_traversed_below_zero():
    space = space_of(drawn_by(lambda noise: (4 * noise.uniform("z", (3,)).square()).floor()))
    with space.model.inference():
        assert space.scale.low.tolist() == [0, 0, 0]
    values = torch.tensor(explore(space, "traversal", steps=3).numbers["traversals"][0]["values"])
    own = space.encode(space.images([0])).z
    assert (values.min(1).values >= torch.minimum(own.min(), torch.tensor(0.0))).all()


def nice():
    """A flow that scales every number by another factor, towards a prior of one width."""
    model = models.NICE(SHAPE, num_bits=4, hidden=[4])
    with torch.no_grad():
        for scaling in (layer for layer in model.modules() if isinstance(layer, Scaling)):
            scaling.log_scale.copy_(torch.linspace(1, 4, 64).view_as(scaling.log_scale))
    return model


def test_the_dimensions_of_a_flow_are_sorted_by_how_much_the_picture_changes():
    """The variance of the codes grows with the scale; what a step of the prior's width does to the picture shrinks with it."""
    space = space_of(nice())
    found = explore(space, "traversal", num_images=64).numbers
    assert found["sorted_by"] == "mean squared change of the image from end to end"
    assert found["dimensions"][:20] != space.encoded.z.var(0).argsort(descending=True)[:20].tolist()
    ends = torch.tensor(found["traversals"][0]["values"])[:, [0, -1]]
    z = space.encode(space.images([0])).z
    with space.model.inference():
        for row in (0, 5, 63):
            moved = z.repeat(2, 1)
            moved[:, found["dimensions"][row]] = ends[row]
            first, second = to_unit(space.model.decode(moved))
            change = (first - second).square().mean().item()
            assert change == pytest.approx(found["importance"][found["dimensions"][row]], rel=1e-4, abs=1e-9)
    assert found["importance"][found["dimensions"][0]] > 2 * found["importance"][found["dimensions"][-1]]


# Manifold.


def test_the_manifold_is_a_grid_of_normal_quantiles():
    space = space_of(drawn_by(lambda noise: noise.normal("z", (2,)), 2))
    found = explore(space, "manifold", steps=5)
    quantiles = grid_quantiles(space, 5)
    distribution = 0.5 * (1 + torch.erf(quantiles / math.sqrt(2)))
    assert torch.allclose(distribution, torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).expand(2, -1))
    grid = asked(space.model).view(5, 5, 2)
    assert torch.equal(grid[..., 0], quantiles[0].expand(5, -1))  # grows to the right
    assert torch.equal(grid[..., 1], quantiles[1].flip(0).view(-1, 1).expand(-1, 5))  # grows upwards
    assert found.numbers["classes"] == []


def test_a_space_without_a_prior_has_the_quantiles_of_its_training_images():
    space = space_of(Coder(SHAPE, latent_dim=2))
    z = space.encode(space.images(range(997), "train")).z
    assert torch.allclose(grid_quantiles(space, 4), torch.quantile(z, torch.tensor([0.125, 0.375, 0.625, 0.875]), dim=0).T)


# Interpolation.


def test_slerp_turns_at_constant_speed_while_the_norm_changes_linearly():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 3.0])
    t = torch.linspace(0, 1, 7).view(-1, 1)
    z = slerp(a, b, t)
    assert torch.allclose(z.norm(dim=1), 2 + t[:, 0] * (math.sqrt(18) - 2))
    angles = torch.acos((z @ a / (z.norm(dim=1) * 2)).clamp(-1, 1))
    assert torch.allclose(angles, t[:, 0] * math.pi / 2, atol=1e-7)
    assert torch.allclose(z[[0, -1]], torch.stack([a, b]))


def test_slerp_of_parallel_opposite_and_zero_vectors_is_straight():
    a, t = torch.tensor([1.0, 2.0]), torch.linspace(0, 1, 5).view(-1, 1)
    for b in (a, 3 * a, -a, 0 * a, a + torch.tensor([0.0, 1e-9])):
        assert torch.allclose(slerp(a, b, t), lerp(a, b, t))
    assert torch.equal(slerp(0 * a, 0 * a, t), torch.zeros(5, 2))


def test_nearly_parallel_vectors_leave_no_seam():
    a, t = torch.tensor([1.0, 0.0]), torch.linspace(0, 1, 5).view(-1, 1)
    for angle in (0.9e-4, 1.1e-4):
        b = torch.tensor([math.cos(angle), math.sin(angle)])
        assert torch.allclose(slerp(a, b, t), lerp(a, b, t), atol=1e-8)


@pytest.mark.parametrize(("model", "way"), [(KnownPosterior, "spherical"), (Coder, "linear")])
def test_paths_lead_from_image_to_image(model, way):
    space = space_of(model(SHAPE))
    found = explore(space, "interpolation", images=(3, 8, 5, 5), steps=4)
    rows, ends = asked(space.model).view(2, 4, 3), space.encode(space.images([3, 8, 5, 5])).z
    assert torch.allclose(rows[:, [0, -1]].flatten(0, 1), ends)
    assert found.numbers["path"] == way
    assert found.numbers["images"] == [[3, 8], [5, 5]]


def test_a_conditional_model_joins_images_of_one_label_and_changes_the_label_in_the_middle():
    space = space_of(Coder(SHAPE, num_classes=10, conditional=True))
    pairs = explore(space, "interpolation", num_images=10).numbers["images"]
    labels = space.data.arrays("test")[1]
    assert [labels[first] for first, _ in pairs] == [labels[second] for _, second in pairs] == list(range(10))
    assert all(first != second for first, second in pairs)
    t = torch.linspace(0, 1, 4)
    assert nearer_labels(torch.tensor([1, 2, 3, 4]), t).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


# Arithmetic.


def test_arithmetic_adds_the_difference_of_the_means_to_the_third_group():
    space = space_of(Coder(SHAPE))
    found = explore(space, "arithmetic", labels=("3", "5", "8"), num_images=4)
    z, labels = space.encode(space.images(range(400)))
    a, b, c = (z[labels == label].mean(0) for label in (3, 5, 8))
    decoded = asked(space.model)
    assert torch.allclose(decoded[-1], c + a - b)
    assert torch.allclose(decoded[-5:-1], z[labels == 8][:4] + a - b)
    assert found.numbers["difference"] == pytest.approx((a - b).tolist(), rel=1e-5)
    assert found.numbers["sizes"] == [(labels == label).sum() for label in (3, 5, 8)]


def test_arithmetic_on_samples_averages_their_latents():
    space = space_of(drawn_by(lambda noise: noise.normal("z", (3,))), seed=2)
    explore(space, "arithmetic", samples=((0, 70), (1,), (2, 3, 4)))
    with space.model.inference():
        z = space.draw(range(71)).z
    assert torch.allclose(asked(space.model)[-1], z[2:5].mean(0) + z[[0, 70]].mean(0) - z[1])


@pytest.mark.parametrize(
    ("text", "expected"), [("0", [1, 3]), ("-0", [0, 2]), ("0-1", [1]), ("0+1", [3]), ("-0-1-2", [0])]
)  # fmt: skip
def test_attributes_are_asked_for_and_excluded(text, expected):
    labels = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0]])
    assert np.flatnonzero(matches(text, labels, 3)).tolist() == expected


@pytest.mark.parametrize("text", ["", "x", "3", "1,2", "1--2"])
def test_a_group_that_nobody_can_belong_to_is_refused(text):
    with pytest.raises(UserError, match=r"labels: expected .*, got "):
        matches(text, np.zeros((2, 3), np.int64), 3)


# Holes.


def test_midpoints_lie_between_partners_and_reconstructions_where_the_images_are():
    space = space_of(Coder(SHAPE))
    places = decoded_places(space, 50)
    order = space.mixed(50)
    z = space.encode(space.images(order)).z
    places["midpoints of pairs"](range(50))
    assert torch.allclose(asked(space.model), (z + z.roll(-1, 0)) / 2)
    places["reconstructions"](range(10, 30))
    assert torch.allclose(asked(space.model), z[10:30])


def test_partners_of_one_label_are_a_permutation_within_it():
    labels = torch.tensor([2, 0, 2, 1, 0, 2])
    assert partners(labels, True).tolist() == [2, 4, 5, 3, 1, 0]
    assert partners(labels, False).tolist() == [1, 2, 3, 4, 5, 0]


def test_a_space_without_a_prior_is_drawn_from_with_its_own_moments():
    space = space_of(Coder(SHAPE))
    z, drawn = space.encoded_training.z, gaussian_draws(space)(range(20000))
    error = 5 * z.std(0) / math.sqrt(20000)
    assert ((drawn.mean(0) - z.mean(0)).abs() < error).all()
    covariance = torch.cov(z.T)
    spread = torch.sqrt((covariance.diag().outer(covariance.diag()) + covariance**2) / 20000)
    assert ((torch.cov(drawn.T) - covariance).abs() < 5 * spread).all()
    assert torch.equal(gaussian_draws(space)([7, 300]), drawn[[7, 300]])


@pytest.mark.parametrize("model", [Coder, KnownPosterior])
def test_scores_of_holes_are_repeatable_and_name_the_extractor(model):
    first, second = (explore(space_of(model(SHAPE)), "holes").numbers for _ in range(2))
    assert first == second
    draws = "draws of the prior" if model is KnownPosterior else "draws of a Gaussian with the moments of the encoded images"
    assert {name: [*values] for name, values in first["scores"].items()} == {
        "FD(digits-cnn) to digits (test)": [draws, "midpoints of pairs", "reconstructions"],
        "FD(digits-cnn) to reconstructions": [draws, "midpoints of pairs"],
    }


def test_a_flow_has_no_reconstructions_among_its_holes():
    found = explore(space_of(nice()), "holes", num_images=16)
    assert {name: [*values] for name, values in found.numbers["scores"].items()} == {
        "FD(digits-cnn) to digits (test)": ["draws of the prior", "midpoints of pairs"],
    }
    assert "reconstruction" not in found.summary
    three = explore(space_of(Coder(SHAPE)), "holes", num_images=16).picture
    assert 3 * found.picture.shape[1] == 2 * three.shape[1]


def test_scores_of_holes_are_the_engines():
    space = space_of(Coder(SHAPE))
    found = explore(space, "holes").numbers["scores"]
    with space.model.inference():
        places = decoded_places(space, 400)
        images = {name: torch.cat([draw(block) for block in blocks(400)]).numpy() for name, draw in places.items()}
    test = torch.cat([space.images(block)[0] for block in blocks(400)]).numpy()
    options = {"metrics": "fid", "extractor": "digits-cnn"}
    draws, middle, reconstructions = images.values()
    to_split = score(draws, test, **options).value("FD(digits-cnn)")
    assert to_split == pytest.approx(next(iter(found["FD(digits-cnn) to digits (test)"].values())), rel=1e-5)
    to_reconstructions = score(middle, reconstructions, **options).value("FD(digits-cnn)")
    assert to_reconstructions == pytest.approx(found["FD(digits-cnn) to reconstructions"]["midpoints of pairs"], rel=1e-5)


# Scatter and reconstruction.


def test_longer_latents_are_shown_in_their_principal_components():
    z = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 2.0, 0.1, 3.0])
    points, axes, share = plane(z)
    variances = torch.linalg.svdvals(z - z.mean(0)).square()
    assert torch.allclose(points.square().sum(0), variances[:2])
    assert share == pytest.approx((variances[:2].sum() / variances.sum()).item())
    assert axes[0] == "principal component 1"
    assert torch.allclose(plane(-z)[0].abs(), points.abs())
    assert torch.equal(plane(z[:, :2])[0], z[:, :2])


def test_every_class_has_its_colour_and_every_image_its_dot():
    assert len({colour_of(label) for label in range(100)}) == 100
    found = explore(space_of(Coder(SHAPE, latent_dim=2)), "scatter", num_images=30)
    labels = set(space_of(Coder(SHAPE)).images(space_of(Coder(SHAPE)).mixed(30))[1].tolist())
    assert {*found.numbers["means"]} == {str(label) for label in labels}
    for label in labels:
        assert (found.picture == torch.tensor(colour_of(label)).view(3, 1, 1)).all(0).any()


def test_reconstruction_is_measured_over_the_split():
    space = space_of(vae())
    with space.model.inference():
        images, _ = space.images(range(400))
        expected = (to_unit(images) - to_unit(space.model.reconstruct(images))).square().mean().item()
    assert explore(space, "reconstruction").numbers["mse"] == pytest.approx(expected, rel=1e-5)


# Who can be explored by what.

POSSIBLE = {
    "vae": {"posterior", "traversal", "scatter", "interpolation", "arithmetic", "holes", "reconstruction", "temperature"},
    "coder": {"traversal", "scatter", "interpolation", "arithmetic", "holes"},
    "coder_2": {"traversal", "scatter", "interpolation", "arithmetic", "holes", "manifold"},
    "dcgan": {"traversal", "interpolation"},
}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", POSSIBLE)
def test_a_model_is_explored_by_what_it_is_capable_of(name, conditional):
    labels = {"num_classes": 10, "conditional": conditional}
    made = {"vae": vae, "dcgan": dcgan, "coder": lambda **o: Coder(SHAPE, **o), "coder_2": lambda **o: Coder(SHAPE, 2, **o)}
    space = space_of(made[name](**labels))
    explorers = [*KINDS.values()]
    with space.model.inference():
        refused = obstacles(space, explorers, Request())
        assert {*KINDS} - {*refused} == POSSIBLE[name]
        assert all("\n" not in reason and type(space.model).__name__ in reason for reason in refused.values())
        for kind in POSSIBLE[name] - {"holes"}:
            found = KINDS[kind].draw(space, Request())
            assert found.picture.dtype == torch.uint8
            assert found.picture.shape[0] == 3


def test_samples_by_number_need_a_prior():
    request = Request(samples=((0,), (1,), (2,)))
    explorers = [KINDS["arithmetic"]]
    assert obstacles(space_of(dcgan()), explorers, request) == {}
    assert obstacles(space_of(Coder(SHAPE)), explorers, request) == {"arithmetic": "Coder has no prior to draw samples from"}


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        ({"steps": 4}, "traversal", "odd number"),
        ({"images": (1, 2, 3)}, "interpolation", "two by two, got 3"),
        ({"images": (1, 400)}, "interpolation", "0 to 399, got 400"),
        ({"images": (-1,)}, "traversal", "0 to 399, got -1"),
        ({"labels": ("1", "2", "10")}, "arithmetic", "class from 0 to 9, got '10'"),
    ],
)
def test_what_makes_no_sense_is_refused(request_, kind, words):
    with pytest.raises(UserError, match=words):
        explore(space_of(Coder(SHAPE)), kind, **request_)


@pytest.mark.parametrize("options", [{"num_images": 0}, {"steps": 1}, {"labels": ("1", "2")}, {"samples": ((1,),)}])
def test_a_request_is_checked_before_anything_is_loaded(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Request(**options)


def test_an_option_that_no_kind_heeds_is_refused():
    with pytest.raises(UserError, match=r"labels: scatter, traversal takes none; .* arithmetic"):
        refuse_unheeded(Request(labels=("1", "2", "3")), [KINDS["scatter"], KINDS["traversal"]])
    refuse_unheeded(Request(labels=("1", "2", "3"), steps=3), [*KINDS.values()])


def test_the_command_knows_all_kinds():
    assert tuple(KINDS) == KINDS_OF_THE_COMMAND


def test_a_sheet_shows_each_image_in_its_row_and_column():
    rows = [torch.full((2, 1, 32, 32), 10, dtype=torch.uint8), torch.full((3, 1, 32, 32), 20, dtype=torch.uint8)]
    picture = sheet(rows, ["a", "a much longer name"], ["x", "", "z"])
    assert (picture == 10).all(0).sum() == 2 * 32 * 32
    assert (picture == 20).all(0).sum() == 3 * 32 * 32
    assert picture.shape[1] < 2 * 34 + 40


# What was trained on some classes, or has gone astray.


@pytest.mark.parametrize("kind", ["scatter", "traversal", "interpolation", "arithmetic", "holes", "reconstruction", "posterior"])
def test_a_model_of_nan_has_no_pictures(kind):
    with pytest.raises(UserError, match=r"VAE: some .* are NaN or infinite; expected a model that has been trained"):
        explore(space_of(lost(vae())), kind)


def only(classes, model):
    model.data_spec = {"class_path": "Digits", "init_args": {"only_classes": classes}}
    return LatentSpace(model.double().eval(), Digits(batch_size=64, only_classes=classes))


def test_arithmetic_groups_the_classes_that_occur():
    assert explore(only([3, 5, 8, 9], vae()), "arithmetic").numbers["groups"] == ["label 3", "label 5", "label 8"]
    assert explore(only([3, 5], vae()), "arithmetic").numbers["groups"] == ["label 3", "label 5", "label 3"]
    found = obstacles(only([7], vae()), [KINDS["arithmetic"]], Request())
    assert "all images of the test split are of class 7" in found["arithmetic"]


def test_the_manifold_has_a_grid_for_each_trained_class():
    space = only([1, 4, 9], Coder(SHAPE, 2, num_classes=10, conditional=True))
    with space.model.inference():
        assert KINDS["manifold"].draw(space, Request(steps=2)).numbers["classes"] == [1, 4, 9]
    assert torch.cat([labels for _, labels in space.model.asked]).unique().tolist() == [1, 4, 9]


def test_samples_by_number_show_the_third_group_once_whatever_the_model():
    heights = []
    for request in ({"samples": ((0,), (1,), (2,))}, {"labels": ("1", "2", "3")}):
        heights.append(explore(space_of(vae()), "arithmetic", **request).picture.shape[1])
    assert heights[1] - heights[0] > 8  # the row "C decoded"


@pytest.mark.parametrize(
    ("kind", "request_", "words"),
    [
        ("posterior", {"num_images": 1}, "expected at least 2 of them, got 1"),
        ("interpolation", {"images": (1, 2), "num_images": 4}, "got both"),
    ],
)
def test_a_request_that_says_too_little_or_too_much_is_an_obstacle(kind, request_, words):
    assert words in obstacles(space_of(vae()), [KINDS[kind]], Request(**request_))[kind]


def test_samples_are_no_way_out_where_nothing_can_be_decoded():
    space = LatentSpace(models.GAN([2]), ToyDensity("two_moons", batch_size=8))
    assert obstacles(space, [KINDS["arithmetic"]], Request()) == {"arithmetic": "GAN makes vectors, not images"}
