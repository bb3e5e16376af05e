from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tiny_model import TinySamples

from maetoolkit.evaluate.callback import Reporter
from maetoolkit.evaluate.chart import Line, line_chart
from maetoolkit.evaluate.curves import smooth, thin, training_curves
from maetoolkit.evaluate.findings import Effort, look
from maetoolkit.evaluate.report import report_on, write_report
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import build_model, open_samples, pretrain

SMALL = Effort(pictures=2, masks=2, errors=2, compared=4, averaged=4)
RGB = {"type": "rgb", "size": 32, "patch": 8}
DEPTH = {"type": "depth", "size": 32, "patch": 8}
LABELS = {"type": "semantic", "size": 32, "patch": 8, "stride": 2, "num_classes": 7, "class_dim": 4}


def recipe_of(tmp_path, num_validation=4, **modalities):
    return load_recipe(
        {
            "name": "tiny <run>",
            "run": str(tmp_path / "run"),
            "steps": 3,
            "batch": 4,
            "modalities": modalities or {"rgb": RGB, "depth": DEPTH, "semantic": LABELS},
            "masking": {"type": "dirichlet", "num_visible": 8},
            "encoder": {"type": "vit", "dim": 24, "depth": 1, "heads": 2},
            "decoder": {"type": "cross", "dim": 16, "depth": 1, "heads": 2},
            "data": {"type": "scenes", "size": 32, "num_train": 8, "num_validation": num_validation, "workers": 0},
            "log": {"every": 1},
            "report": {"samples": 2, "masks": 2},
        }
    )


def report_of(tmp_path, recipe, samples):
    (tmp_path / "run").mkdir()
    path = report_on(tmp_path / "run", recipe, build_model(recipe), samples, step=2, num_steps=3, effort=SMALL)
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what a browser would fetch, and whether every element is closed."""

    VOID = ("meta", "img", "link", "br", "input", "path", "rect", "line", "circle")

    def __init__(self, html):
        super().__init__()
        self.resources, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.resources += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]
        self.resources += [tag] if tag in ("script", "link", "iframe", "object") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def assert_self_contained(html):
    page = Page(html)
    assert page.open == []
    assert all(resource.startswith("data:image/") for resource in page.resources)
    assert not re.search(r"https?:|@import|url\(|<script", html)


def test_a_run_ends_with_a_report_that_needs_nothing_else(tmp_path):
    recipe = recipe_of(tmp_path)
    reporter = Reporter()
    pretrain(recipe, callbacks=[reporter])
    html = reporter.written.read_text(encoding="utf-8")
    assert_self_contained(html)
    for heading in (
        "Reconstructions",
        "From one modality alone",
        "One patch, another hue",
        "Beside simple predictors",
        "Training",
        "Masks",
    ):
        assert f"<h2>{heading}</h2>" in html
    assert "tiny &lt;run&gt;" in html
    assert "validation/" in html
    again = write_report(tmp_path / "run", SMALL)
    assert again == tmp_path / "run" / "report.html"
    assert_self_contained(again.read_text(encoding="utf-8"))


def test_reporting_changes_no_number_of_the_run(tmp_path):
    logs = []
    for name, callbacks in (("with", [Reporter()]), ("without", [])):
        document = recipe_of(tmp_path / name, rgb=RGB).document()
        recipe = load_recipe({**document, "checkpoint": {"every": 1}})
        pretrain(recipe, callbacks=callbacks)
        records = [json.loads(line) for line in (tmp_path / name / "run" / "log.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in record.items() if k.startswith("loss")} for record in records])
    assert logs[0] == logs[1]


def test_one_modality_and_no_validation_set_make_a_report(tmp_path):
    recipe = recipe_of(tmp_path, num_validation=0, rgb=RGB)
    html = report_of(tmp_path, recipe, recipe.data.open(recipe.modality_set, "train"))
    assert_self_contained(html)
    assert "training set" in html
    assert "From one modality alone" not in html
    assert "another hue" not in html


def test_a_report_without_colour_has_no_hues_and_one_without_labels_has_no_numbers_of_them(tmp_path):
    for name, entries in (("none", {"depth": DEPTH, "semantic": LABELS}), ("pictures", {"rgb": RGB, "depth": DEPTH})):
        (tmp_path / name).mkdir()
        recipe = recipe_of(tmp_path / name, **entries)
        html = report_of(tmp_path / name, recipe, recipe.data.open(recipe.modality_set, "train"))
        assert_self_contained(html)
        assert ("One patch, another hue" in html) == (name == "pictures")
        assert "at the same distance" not in html


def test_absent_entries_are_named_and_keys_cannot_inject_anything(tmp_path):
    recipe = recipe_of(tmp_path, num_validation=0)
    html = report_of(tmp_path, recipe, TinySamples(missing=("depth",), prefix="<script>x</script>"))
    assert_self_contained(html)
    assert "<small>absent</small>" in html
    assert "&lt;script&gt;" in html


def test_an_output_that_is_never_given_has_no_input_picture(tmp_path):
    recipe = recipe_of(tmp_path, rgb={**RGB, "role": "input"}, depth={**DEPTH, "role": "target"})
    html = report_of(tmp_path, recipe, recipe.data.open(recipe.modality_set, "train"))
    assert_self_contained(html)
    assert 'alt="depth, predicted"' in html
    assert 'alt="depth, input"' not in html
    assert 'alt="rgb, predicted"' not in html


def test_curves_follow_the_log_and_skip_what_is_missing():
    records = [{"step": step, "loss": 1 / step, "loss/a": 2 / step, "loss/b": None} for step in range(1, 60)]
    charts = training_curves(records)
    assert [chart.title for chart in charts] == ["loss, all together", "a"]
    assert training_curves([]) == []


def test_smoothing_keeps_a_constant_and_ignores_what_is_not_finite():
    assert smooth([3.0] * 9, 4) == pytest.approx([3.0] * 9)
    assert smooth([1.0, float("nan"), 1.0], 4) == pytest.approx([1.0, 1.0, 1.0])


def test_thinning_keeps_the_mean_and_the_number_of_points():
    xs, ys = thin(list(range(1000)), [1.0] * 1000, most=100)
    assert len(xs) == len(ys) == 100
    assert set(ys) == {1.0}
    assert thin([], []) == ([], [])


@pytest.mark.parametrize(
    "ys", [[1.0], [0.0, 0.0], [float("nan"), 2.0], [float("inf")], [1e-12, 1e12], [-3.0, -1.0], []]
)
@pytest.mark.parametrize("log_y", [False, True])
def test_a_chart_stands_whatever_the_numbers(ys, log_y):
    svg = line_chart([Line(list(range(len(ys))), ys, "red", "<name>")], title="a & b", log_y=log_y)
    assert "nan" not in svg.lower().replace("<name>", "")
    assert "a &amp; b" in svg
    assert "<name>" not in svg


def test_the_masks_of_a_report_are_those_of_the_share_of_the_run_that_is_done(tmp_path: Path) -> None:
    phases = [{"sampler": {"type": "share", "ratio": 0.25}, "to": {"ratio": 0.75}}]
    recipe = load_recipe(
        {
            "run": str(tmp_path / "run"),
            "steps": 4,
            "batch": 2,
            "modalities": {"rgb": {"type": "rgb", "size": 16, "patch": 4}},
            "masking": {"type": "schedule", "phases": phases},
            "encoder": {"type": "vit", "dim": 16, "depth": 1, "heads": 2},
            "decoder": {"type": "joint", "dim": 16, "depth": 1, "heads": 2},
            "data": {"type": "scenes", "size": 16, "num_train": 4, "num_validation": 4, "workers": 0},
        }
    )
    model, samples = build_model(recipe), open_samples(recipe)
    visible = [
        int(look(model, samples, None, Effort(pictures=1), 0, progress).masks[0].plan.visible["rgb"].sum())
        for progress in (0.0, 0.5, 1.0)
    ]
    assert visible == [12, 8, 4]
