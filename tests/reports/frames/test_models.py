import json

import pandas as pd
import pytest

from copy_eval.reports.frames.models import add_labels, shorten


def labels(*models, setups=None):
    frame = pd.DataFrame(models, columns=["model", "revision"])
    frame["setup"] = [json.dumps(setup) for setup in setups or [{"adapter": "pythia"}] * len(models)]
    return add_labels(frame)["label"].tolist()


def test_a_path_shows_its_last_component_and_a_hub_id_all():
    assert labels(("/runs/a/final/", "main"), ("./b", "main"), ("c:\\d\\e", "main"), ("org/name", "main")) == [
        "final", "b", "e", "org/name",
    ]  # fmt: skip


def test_paths_with_the_same_last_component_are_shown_whole():
    assert labels(("/runs/a/final", "main"), ("/runs/b/final", "main")) == ["/runs/a/final", "/runs/b/final"]


def test_a_path_may_not_take_the_name_of_another_model():
    assert labels(("/runs/tiny", "main"), ("tiny", "main")) == ["/runs/tiny", "tiny"]


def test_revisions_show_unless_they_are_main():
    assert labels(("m", "main"), ("m", "step1")) == ["m", "m@step1"]


def test_setups_of_one_model_show_what_differs_and_nothing_else():
    setups = [
        {"adapter": "pythia", "dtype": "float32", "max_length": "64"},
        {"adapter": "hf", "dtype": "float32", "max_length": "64", "load_in_8bit": "True"},
    ]
    assert labels(("m", "main"), ("m", "main"), ("n", "main"), setups=[*setups, {"adapter": "hf"}]) == [
        "m (pythia)", "m (hf, load_in_8bit=True)", "n",
    ]  # fmt: skip


@pytest.mark.parametrize("models", [[("m@step1", "main"), ("m", "step1")], [("a\nb", "main"), ("a\\nb", "main")]])
def test_two_models_never_share_a_label(models):
    assert len(set(labels(*models))) == 2


def test_legends_drop_organisations_and_the_middle_of_long_names():
    long = "org/" + "a" * 30 + "b" * 30
    assert shorten(["org/one", "two", long]) == {"org/one": "one", "two": "two", long: "a" * 17 + "…" + "b" * 17}


def test_short_names_stay_unique():
    assert shorten(["x/one", "y/one", "z/two"]) == {"x/one": "x/one", "y/one": "y/one", "z/two": "two"}
    alike = ["a" * 30 + middle + "b" * 30 for middle in "xy"]
    assert shorten(alike) == dict(zip(alike, alike, strict=True))
