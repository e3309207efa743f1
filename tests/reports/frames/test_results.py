import json
import logging
import re
import subprocess
import sys

import pandas as pd
import pytest

from copy_eval.errors import UserError
from copy_eval.reports.frames.results import COLUMNS, add_labels, read_results, shorten
from tests.reports.result_files import write_results

HOSTILE = "=cmd()|'/c calc',\"q\"\n<script>alert(1)</script>\ud800\u202e"


def accuracies(frame):
    return frame[frame["metric"] == "exact_match"]


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def test_a_row_for_each_length_and_metric_of_our_tasks_alone(tmp_path):
    frame = read_results([write_results(tmp_path, {10: 1.0, 20: 0.5})])
    assert frame.dtypes.astype(str).to_dict() == COLUMNS
    assert frame[["task", "length", "metric", "value"]].to_numpy().tolist() == [
        ["phonebook_copy", 10, "digit_accuracy", 1.0],
        ["phonebook_copy", 10, "exact_match", 1.0],
        ["phonebook_copy", 20, "digit_accuracy", 0.5],
        ["phonebook_copy", 20, "exact_match", 0.5],
    ]
    assert set(frame["n"]) == {50}


def test_a_folder_is_searched_and_the_newest_result_counts(tmp_path):
    write_results(tmp_path, {10: 0.1}, date=1.0)
    write_results(tmp_path, {10: 0.9}, date=2.0)
    assert accuracies(read_results([tmp_path]))["value"].tolist() == [0.9]


def test_a_file_named_twice_counts_once(tmp_path):
    file = write_results(tmp_path, {10: 0.5})
    assert len(accuracies(read_results([file, tmp_path, tmp_path / "." / "some__model"], pool=True))) == 1


def test_samples_among_the_paths_are_passed_over(tmp_path):
    write_results(tmp_path, {10: 0.5}, log_samples=True)
    assert len(accuracies(read_results((tmp_path / "some__model").iterdir()))) == 1


def test_a_file_of_an_output_path_that_names_a_json_file_is_found(tmp_path):
    file = write_results(tmp_path, {10: 0.5})
    file.rename(file.with_name(file.name.replace("results", "mine")))
    assert len(accuracies(read_results([tmp_path]))) == 1


def test_over_context_is_no_accuracy(tmp_path):
    frame = read_results([write_results(tmp_path, {10: 1.0, 1280: "over context"})])
    rows = frame[frame["length"] == 1280]
    assert rows["over_context"].all()
    assert rows["value"].isna().all()
    assert not frame.loc[frame["length"] == 10, "over_context"].any()


@pytest.mark.parametrize("value", [float("nan"), "N/A", None])
def test_what_is_no_number_is_missing_and_not_over_context(tmp_path, value):
    file = edit(
        write_results(tmp_path, {10: 0.5}),
        lambda content: content["results"]["phonebook_copy_10"].update({"exact_match,none": value}),
    )
    rows = accuracies(read_results([file]))
    assert rows["value"].isna().tolist() == [True]
    assert rows["over_context"].tolist() == [False]


@pytest.mark.parametrize(("value", "read"), [(0.07, 0.07), (float("nan"), None), ("N/A", None)])
def test_a_standard_error_may_be_missing(tmp_path, value, read):
    file = edit(
        write_results(tmp_path, {10: 0.5}),
        lambda content: content["results"]["phonebook_copy_10"].update({"exact_match_stderr,none": value}),
    )
    stderr = accuracies(read_results([file]))["stderr"]
    assert stderr.isna().tolist() == [read is None]
    assert stderr.dropna().tolist() == ([] if read is None else [read])


@pytest.mark.parametrize(("length", "below", "name"), [(0, 100, "0-100"), (100, 150, "100-150"), (400, None, "400+")])
def test_a_bucket_is_placed_at_its_lower_bound_and_named_by_the_data(tmp_path, length, below, name):
    file = write_results(tmp_path, {length: 0.5}, task="squad_by_length", below={length: below})
    # What the task is called says nothing.
    file.write_text(file.read_text().replace(f"squad_by_length_{length}", "squad_by_length_7_8"))
    frame = read_results([file])
    assert set(frame["task"]) == {"squad_by_length"}
    assert set(frame["length"]) == {length}
    assert set(frame["length_name"]) == {name}


def test_a_task_without_a_description_has_defaults(tmp_path):
    frame = read_results([write_results(tmp_path, {10: 0.5, 20: 0.4}, task="mine")])
    assert set(frame["task"]) == {"mine"}
    assert set(frame["unit"]) == {"length"}
    assert frame["description"].isna().all()
    assert sorted(set(frame["length_name"])) == ["10", "20"]


def test_a_task_says_its_title_its_unit_and_its_headline(tmp_path):
    about = {"title": "keys", "unit": "sentences\n", "headline_metric": "digit_accuracy", "of_a_newer_version": 1}
    frame = read_results([write_results(tmp_path, {10: 0.5}, task="mine", about=about)])
    assert frame[["task", "unit", "headline"]].drop_duplicates().to_numpy().tolist() == [
        ["keys", "sentences\\n", "digit_accuracy"]
    ]


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"unit": 7}, "mine_10: configs.metadata.copy_eval.unit should be a valid string, not 7"),
        ({"title": ""}, "mine_10: configs.metadata.copy_eval.title string should have at least 1 character, not ''"),
        ([1], "mine_10: configs.metadata.copy_eval should be a valid dictionary or instance"),
    ],
)
def test_a_description_that_is_none_costs_its_task_and_is_named(tmp_path, about, line):
    file = write_results(tmp_path, {10: 0.5}, task="mine", metadata={"copy_eval": about})
    with pytest.raises(UserError, match=re.escape(line)):
        read_results([file])


def test_a_task_that_takes_the_title_and_the_length_of_another_is_left_out_and_named(tmp_path, caplog):
    write_results(tmp_path, {10: 0.5})
    write_results(tmp_path, {10: 0.9, 20: 0.9}, task="include_of_a_user", about={"title": "phonebook_copy"}, date=2.0)
    frame = accuracies(read_results([tmp_path]))
    assert frame[["length", "value"]].to_numpy().tolist() == [[10, 0.5], [20, 0.9]]
    assert caplog.messages == [
        "skipped include_of_a_user_10: it calls itself phonebook_copy of length 10, as another task does; "
        "give it a title of its own"
    ]


def test_revisions_are_models_of_their_own_and_tell_the_training_step(tmp_path):
    for date, revision in enumerate(("main", "step3000", "step143000", "v1")):
        write_results(tmp_path, {10: 0.5}, model_revision=revision, date=date)
    rows = accuracies(read_results([tmp_path]))
    assert rows["label"].tolist() == [
        "some/model@step3000", "some/model@step143000", "some/model", "some/model@v1",
    ]  # fmt: skip
    assert rows["step"].fillna(-1).tolist() == [3000, 143000, -1, -1]


@pytest.mark.parametrize(
    ("model", "config", "architecture"),
    [
        ("a", {"model_architecture": "gpt_neox"}, "transformer"),
        ("b", {"model_architecture": "mamba2"}, "state space"),
        ("c", {"model_architecture": "jamba"}, "hybrid"),
        ("c", {"model_architecture": "copy_eval_lstm"}, "recurrent"),
        ("d", {"model_architecture": "something_new"}, None),
        ("e", {"adapter": "mamba_ssm"}, "state space"),
        ("EleutherAI/pythia-410m", {"adapter": "hf"}, "transformer"),
        ("f", {"adapter": "vllm"}, None),
    ],
)
def test_the_architecture_is_told_where_it_is_safe(tmp_path, model, config, architecture):
    known = read_results([write_results(tmp_path, {10: 0.5}, model=model, **config)])["architecture"]
    assert known.dropna().unique().tolist() == ([architecture] if architecture else [])


def test_what_one_backend_knows_of_a_model_holds_for_its_other_results(tmp_path):
    write_results(tmp_path, {10: 0.5}, model_num_parameters=7, model_architecture="llama")
    write_results(tmp_path, {20: 0.5}, date=2.0, model_num_parameters=-1)
    frame = read_results([tmp_path])
    assert set(frame["parameters"]) == {7}
    assert set(frame["architecture"]) == {"transformer"}


def test_model_arguments_may_be_a_text_and_the_revision_stands_there(tmp_path):
    file = write_results(tmp_path, {10: 0.5}, model_args="pretrained=some/model,revision=step7")
    assert set(read_results([file])["revision"]) == {"step7"}


def test_texts_stay_apart_and_one_text_is_one_series_on_every_machine(tmp_path):
    here = {"text_source": "/home/me/c4.jsonl", "text_sha256": "b" * 64}
    there = {"text_source": "/mnt/c4.jsonl", "text_sha256": "b" * 64}
    other = {"text_source": "/mnt/c4.jsonl", "text_sha256": "c" * 64}
    for place, (model, metadata) in enumerate([("a", here), ("b", there), ("a", other)]):
        write_results(tmp_path, {25: 0.5}, model=model, task="c4_copy", metadata=metadata, date=place)
    rows = accuracies(read_results([tmp_path]))
    assert rows.groupby("title")["model"].apply(list).to_dict() == {
        "c4_copy on c4.jsonl (SHA-256 bbbbbbbb)": ["a", "b"],
        "c4_copy on c4.jsonl (SHA-256 cccccccc)": ["a"],
    }
    assert rows["series"].nunique() == 2


def test_lengths_that_two_tokenizers_measured_are_two_series_and_other_tasks_do_not_care(tmp_path):
    neox = {"length_tokenizer": "EleutherAI/gpt-neox-20b", "length_tokenizer_sha256": "a" * 64}
    tiny = {"length_tokenizer": "tiny-pythia", "length_tokenizer_sha256": "b" * 64}
    not_measured = {"length_tokenizer": "tiny-pythia"}
    for place, (task, metadata) in enumerate([("tokens", neox), ("tokens", tiny), ("entries", not_measured)]):
        write_results(tmp_path, {1024: 0.5}, task=task, metadata=metadata, date=place)
    assert accuracies(read_results([tmp_path]))["title"].tolist() == [
        "entries",
        "tokens",
        "tokens on generated text, measured with tiny-pythia (SHA-256 bbbbbbbb)",
    ]


def test_a_hostile_name_stays_one_line_and_can_be_written(tmp_path):
    file = edit(write_results(tmp_path, {10: 0.5}), lambda content: content.update(model_name=HOSTILE))
    (label,) = read_results([file])["label"].unique()
    assert label.isprintable()
    label.encode()


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no such file or folder: .*nowhere"):
        read_results([tmp_path / "nowhere"])


def test_a_folder_without_our_results_says_what_to_name(tmp_path):
    with pytest.raises(UserError, match="--output_path"):
        read_results([tmp_path])


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "\xff"])
def test_a_damaged_file_is_named(tmp_path, content):
    file = write_results(tmp_path, {10: 1.0})
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=f"no usable results found: .*{file.name}: not a whole JSON file") as error:
        read_results([file])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["config", "versions", "n-samples", "date"])
def test_a_result_file_that_lacks_something_is_named(tmp_path, key):
    file = edit(write_results(tmp_path, {10: 1.0}), lambda content: content.pop(key))
    with pytest.raises(UserError, match=rf"no usable results found: .*{file.name}.*: {key} is missing"):
        read_results([file])


def _set(content, place, value):
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] = value


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("results", "phonebook_copy_10", "exact_match,none"), 1.5, "results.exact_match"),
        (("results", "phonebook_copy_10", "exact_match,none"), float("inf"), "results.exact_match"),
        (("results", "phonebook_copy_10", "exact_match,none"), True, "results.exact_match"),
        (("results", "phonebook_copy_10"), {"alias": "x"}, "results has no exact_match"),
        (("configs", "phonebook_copy_10", "dataset_kwargs", "length"), -10, "configs.dataset_kwargs.length"),
        (("configs", "phonebook_copy_10", "dataset_kwargs", "length"), 2.5, "configs.dataset_kwargs.length"),
        (("configs", "phonebook_copy_10", "metadata", "prompts_sha256"), 7, "configs.metadata.prompts_sha256"),
        (("n-samples", "phonebook_copy_10", "effective"), 0, "n-samples.effective"),
        (("n-samples", "phonebook_copy_10", "effective"), 10**19, "n-samples.effective"),
    ],
)
def test_a_task_that_is_unusable_is_named_in_one_line_and_the_others_are_reported(
    tmp_path, caplog, place, value, problem
):
    file = edit(write_results(tmp_path, {10: 1.0, 20: 0.5}), lambda content: _set(content, place, value))
    with caplog.at_level(logging.WARNING):
        assert accuracies(read_results([file]))["length"].tolist() == [20]
    (line,) = caplog.messages
    assert line.startswith(f"skipped {file}, phonebook_copy_10: {problem}")
    assert "\n" not in line


def test_a_file_that_is_unusable_costs_no_other(tmp_path, caplog):
    write_results(tmp_path, {10: 1.0}, model="whole")
    broken = edit(write_results(tmp_path, {10: 1.0}, model="broken"), lambda content: content.update(date="yesterday"))
    cut = write_results(tmp_path, {10: 1.0}, model="cut")
    cut.write_text(cut.read_text()[:-1])
    with caplog.at_level(logging.WARNING):
        assert read_results([tmp_path])["model"].unique().tolist() == ["whole"]
    assert [line.split(": ")[0] for line in caplog.messages] == [
        f"skipped {broken}",
        f"skipped {cut}",
    ]


@pytest.mark.parametrize(
    ("run", "checked"),
    [
        ({"adapter": "pythia"}, True),
        ({"adapter": "hf"}, False),
        ({"adapter": "hf", "metadata": {"context_checked": True}}, True),
        ({"adapter": "hf", "metadata": {"context_checked": False}}, False),
        ({"adapter": "mamba_ssm", "copy_eval": None}, False),  # lm-eval's own
    ],
)
def test_it_is_known_whether_a_backend_could_have_cut_prompts(tmp_path, run, checked):
    assert set(read_results([write_results(tmp_path, {10: 0.5}, **run)])["context_checked"]) == {checked}


def test_results_of_other_tasks_are_skipped_and_named(tmp_path, caplog):
    write_results(tmp_path, {10: 0.5})
    foreign = tmp_path / "results_foreign.json"
    foreign.write_text(json.dumps({"results": {"arc_easy": {"acc,none": 0.5}}, "configs": {"arc_easy": {}}}))
    other = tmp_path / "results_other.json"
    other.write_text("[1]")
    with caplog.at_level(logging.WARNING):
        assert len(accuracies(read_results([tmp_path]))) == 1
    assert caplog.messages == [f"no results of copy-eval's tasks, skipped: {foreign}, {other}"]


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


def test_reports_need_neither_torch_nor_lm_eval():
    script = """
import sys
import copy_eval.reports.report, copy_eval.reports.report_files
heavy = {"torch", "lm_eval", "transformers", "datasets", "tokenizers"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)
