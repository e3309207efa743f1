"""What the documentation says: commands parse, links lead somewhere, and examples run as they stand there."""

import argparse
import ast
import functools
import importlib
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import copy_eval.cli
import copy_eval.tasks
from copy_eval.adapter_names import MODELS
from copy_eval.runs.suite import known_settings, load_suite, packaged_suites
from copy_eval.runs.task_loading import TASKS, tasks_by_name
from tests.reports.result_files import write_results

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "copy_eval"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted(TASKS.glob("*/README.md")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

FOREIGN = {"ray", "mkdocs", "pre-commit", "transformers"}
"""Commands of others that the documentation shows and no test here can parse."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page that are in one language."""
    return blocks_of(page.read_text(), language)


def blocks_of(text: str, language: str) -> list[str]:
    return [content for found, content in _BLOCK.findall(text) if found == language]


def prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text())


def table_under(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, a list a row."""
    section = page.read_text().split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def workflows(page: Path) -> list[dict]:
    return [content for text in blocks(page, "yaml") if "jobs" in (content := _load(text))]


def _load(text: str) -> dict:
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!function", lambda _, node: node.value)
    return yaml.load(text, loader)


def commands() -> Iterator[tuple[str, str]]:
    """Every command with the page that shows it: in console blocks, in the workflows' steps, and within sentences."""
    for page in PAGES:
        shown = [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
        for workflow in workflows(page):
            shown += [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
        shown += re.findall(r"`((?:lm_eval|make|python|accelerate) [^`]*|copy-eval \w+ [^`]+)`", prose(page))
        yield from ((page.name, command) for command in shown)


def cli_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="copy-eval", exit_on_error=False)
    subcommands = parser.add_subparsers()
    for module in pkgutil.iter_modules(copy_eval.cli.__path__):
        importlib.import_module(f"copy_eval.cli.{module.name}").add_parser(subcommands)
    return parser


def tasks_that_are_shown() -> set[str]:
    """The names of our tasks, and of those that the pages define."""
    defined = {_load(text).get("task") for page in PAGES for text in blocks(page, "yaml")}
    return tasks_by_name().keys() | {name for name in defined if isinstance(name, str)}


def check_copy_eval(words: list[str]) -> None:
    options = cli_parser().parse_args(words)
    if suite := getattr(options, "suite", None):
        assert suite in packaged_suites() or suite.endswith(".yaml"), suite


def check_lm_eval(words: list[str]) -> None:
    from lm_eval._cli.harness import HarnessCLI

    options = HarnessCLI()._parser.parse_args(words)
    assert set(options.tasks) <= tasks_that_are_shown()
    assert options.model in (*MODELS, None, "hf"), options.model
    assert (options.metadata or {}).keys() <= known_settings().keys()


def check_make(words: list[str]) -> None:
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    assert "constraints.txt" in words or "./copy-eval" in words[-1]
    for extras in re.findall(r"\[(.*)\]", words[-1]):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def check_python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "<command>", "exec")
    else:
        assert words[0] == "-m"
        assert importlib.util.find_spec(words[1])


def check_accelerate(words: list[str]) -> None:
    assert words[:3] == ["launch", "-m", "lm_eval"]
    check_lm_eval(words[3:])


CHECKS = {
    "copy-eval": check_copy_eval,
    "lm_eval": check_lm_eval,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "accelerate": check_accelerate,
}


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_every_command_that_is_shown_parses_and_names_what_there_is(page, command):
    name, *words = shlex.split(command, comments=True)
    assert name in CHECKS or name in FOREIGN, f"{page} shows {name}, which this test does not know"
    if name in CHECKS:
        CHECKS[name](words)


def test_every_subcommand_and_every_target_is_named_on_some_page():
    text = "\n".join(page.read_text() for page in PAGES)
    for module in pkgutil.iter_modules(copy_eval.cli.__path__):
        assert f"copy-eval {module.name}" in text
    for target in re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split():
        assert f"`make {target}`" in text


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_picture_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_stands_in_the_navigation_and_on_both_front_pages():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert {name for entry in navigation for name in entry.values()} == pages
    for name in pages - {"README.md"}:
        assert f"](docs/{name})" in (ROOT / "README.md").read_text()
        assert f"]({name})" in (ROOT / "docs" / "README.md").read_text()


def test_the_tables_of_the_tasks_name_every_group_metric_and_setting():
    page = ROOT / "docs" / "tasks.md"
    groups = {name for name, members in tasks_by_name().items() if members != (name,)}
    assert {row[0] for row in table_under(page, "## The groups")} == groups
    kinds = {
        "phonebook": "phonebook",
        "C4": "c4",
        "SQuAD": "squad",
        "string copy": "string_copy",
        "n-gram lookup": "ngram_lookup",
        "mqar": "mqar",
    }
    shown: dict[str, set[str]] = {}
    headlines = {}
    kind = ""
    for task, metric, _ in table_under(page, "## The metrics"):
        kind = kinds[task] if task else kind  # a task is named in its first row alone
        name = re.match(r"\w+", metric)[0]
        shown.setdefault(kind, set()).add(name)
        if "(headline)" in metric:
            headlines[kind] = name
    assert shown.keys() == {file.parent.name for file in TASKS.glob("*/_*_yaml")}
    for kind, metrics in shown.items():
        definition = _load((TASKS / kind / f"_{kind}_yaml").read_text())
        assert metrics == {entry["metric"] for entry in definition["metric_list"]}
        assert headlines[kind] == definition["metadata"]["copy_eval"].get("headline_metric", "exact_match")
    settings = table_under(page, "## Settings")
    assert {row[0] for row in settings} == known_settings().keys()
    assert {row[0]: row[1] for row in settings}["num_samples"] == "200"


def test_the_rule_of_the_ranking_is_the_one_that_stands_beside_every_leaderboard():
    from copy_eval.reports.statistics.summaries import RANK_RULE

    assert f"> {RANK_RULE}\n" in (ROOT / "docs" / "reports.md").read_text()


def texts_of_the_code() -> str:
    """Every text in the package, a line each; one with values filled in has a line for each part between them."""
    nodes = [node for file in sorted(PACKAGE.rglob("*.py")) for node in ast.walk(ast.parse(file.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(texts)


def test_every_line_that_the_troubleshooting_page_quotes_is_one_that_the_program_prints():
    known = texts_of_the_code()
    quoted = re.findall(r"\*\*`([^`]+)`", (ROOT / "docs" / "troubleshooting.md").read_text())
    assert len(quoted) > 15
    for line in quoted:
        for part in line.replace("\n", " ").split("…"):
            assert part in known, line


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """A folder with the results of two models, with samples."""
    results = tmp_path / "results"
    for name, scores in {"model-a": {10: 0.98, 20: 0.96}, "model-b": {10: 0.9, 20: 0.5}}.items():
        write_results(results, scores, model=name, log_samples=True)
    return results


def test_the_comparison_that_is_shown_has_the_columns_and_the_legend_of_a_real_one(two_runs, capsys):
    from copy_eval.cli import main

    shown = next(block for block in blocks(ROOT / "docs" / "comparing.md", "console") if "$ copy-eval compare" in block)
    assert main(["compare", str(two_runs / "model-a"), str(two_runs / "model-b")]) == 0
    printed = capsys.readouterr().out
    assert _columns(shown, "length") == _columns(printed, "length")
    legend = printed[printed.index("A, B:") :].strip()
    assert legend in shown


def test_the_summary_of_the_gate_that_is_shown_has_the_columns_of_a_real_one(two_runs, capsys):
    from copy_eval.cli import main

    shown = (ROOT / "docs" / "comparing.md").read_text().replace("\n> ", "\n")
    baseline = str(two_runs.parent / "baseline.json")
    assert main(["gate", str(two_runs / "model-a"), "--baseline", baseline, "--update"]) == 0
    assert main(["gate", str(two_runs / "model-b"), "--baseline", baseline]) == 1
    printed = capsys.readouterr().out
    assert _columns(shown, "| task") == _columns(printed, "| task")
    rule = next(line for line in printed.splitlines() if "adjusted by Holm's method" in line)
    assert rule[: rule.index("method")] in shown


def _columns(text: str, beginning: str) -> list[str]:
    head = next(line for line in text.splitlines() if line.strip().startswith(beginning))
    return re.split(r"\s*\|\s*|\s{2,}", head.strip(" |"))


def test_every_suite_that_is_shown_is_read(tmp_path, monkeypatch):
    suites = [text for page in PAGES for text in blocks(page, "yaml") if "models" in _load(text)]
    assert len(suites) >= 2
    for checkpoint in ("my-mamba", "checkpoints/step1000", "checkpoints/step2000"):
        (tmp_path / checkpoint).mkdir(parents=True)
        (tmp_path / checkpoint / "config.json").write_text("{}")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    for number, text in enumerate(suites):
        file = tmp_path / f"suite-{number}.yaml"
        file.write_text(text)
        assert load_suite(str(file), {}).cells()


def test_a_length_of_ones_own_is_a_file_of_three_lines(tmp_path):
    from lm_eval.tasks import TaskManager

    text = next(text for text in blocks(ROOT / "docs" / "tasks.md", "yaml") if "COPY_EVAL" in text)
    (tmp_path / "phonebook_copy_240.yaml").write_text(text.replace("COPY_EVAL", str(PACKAGE)))
    manager = TaskManager(include_path=tmp_path, include_defaults=False, metadata={"num_samples": 1})
    task = manager.load(["phonebook_copy_240"])["tasks"]["phonebook_copy_240"]
    assert task.eval_docs[0]["entries"] == 240


def test_the_walk_to_a_new_task_leads_from_its_three_files_to_a_page_and_a_gate(tmp_path, monkeypatch, capsys):
    from copy_eval.cli import main
    from copy_eval.reports.report import build_report

    text = (ROOT / "CONTRIBUTING.md").read_text()
    walk = text[text.index("## Walk 1") : text.index("## Walk 2")]
    places = re.findall(r"`(passkey/\w+(?:\.\w+)?)`", walk)
    found = _BLOCK.findall(walk)
    assert len(places) == 3
    (tmp_path / "passkey").mkdir()
    for place, (_, content) in zip(places, found[:3], strict=True):
        (tmp_path / place).write_text(content)
    monkeypatch.chdir(tmp_path)
    [(_, console)] = [block for block in found if block[0] == "console"]
    shown = [shlex.split(line)[2:] for line in console.splitlines()]
    assert [words[0] for words in shown] == ["run", "run", "report", "compare"]

    assert main([*shown[0], "--dry-run"]) == 0
    assert re.search(r"tiny-pythia +passkey_10 +20 ", capsys.readouterr().out)
    for words in shown:
        assert main(words) == 0, words
    printed = capsys.readouterr().out
    assert "passkey, by filler sentences" in printed
    page = (tmp_path / "report" / "index.html").read_text()
    assert "A number stands somewhere among filler sentences; the answer is the number." in page
    assert "by filler sentences" in page
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert {"passkey.svg", "depth_passkey.svg", "leaderboard.csv"} <= names
    report = build_report([tmp_path / "results"])
    assert report.accuracy[["task", "length", "n"]].to_numpy().tolist() == [["passkey", 10, 20]] * 2
    assert report.depths["n"].sum() == 40

    assert main(shown[0]) == 0
    assert "evaluated: 0, done before: 1" in capsys.readouterr().out
    assert main(["gate", "results/pythia", "--baseline", "baseline.json", "--update"]) == 0
    assert main(["gate", "results/pythia", "--baseline", "baseline.json"]) == 0


def test_the_walk_to_a_new_architecture_decodes_as_the_adapter_does():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from copy_eval.model_adapters.decoding import StopRule, decode_greedily
    from copy_eval.model_adapters.drafting import Trust
    from copy_eval.packaged import PACKAGED

    text = (ROOT / "CONTRIBUTING.md").read_text()
    [code] = [content for _, content in _BLOCK.findall(text) if "class WholeTextRun" in content]
    names = {"torch": torch}
    exec(code, names)
    model = AutoModelForCausalLM.from_pretrained(PACKAGED / "tiny-pythia", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED / "tiny-pythia")
    prompts = ["Ann Lee: 8123456789\nBob Ray: 7098765432\n\nBob Ray:", "one two three one two"]
    tokens = [tokenizer.encode(prompt) for prompt in prompts]
    stop = StopRule(tokenizer, ["\n"], [])
    answers = {}
    for trust in (None, Trust()):
        run = names["WholeTextRun"](model)
        with torch.no_grad():
            answers[trust is None] = decode_greedily(run, tokens, [12, 12], stop, trust)
    plain = [
        model.generate(torch.tensor([each]), max_new_tokens=12, do_sample=False)[0, len(each) :].tolist()
        for each in tokens
    ]
    for alone, drafted, expected in zip(answers[True], answers[False], plain, strict=True):
        assert alone == drafted
        assert alone.tokens == expected[: len(alone.tokens)]
        assert alone.ended or len(alone.tokens) == 12


def test_the_walk_to_a_new_chart_leads_to_its_files_the_page_and_the_api(two_runs, monkeypatch):
    from copy_eval.reports import chart, report_files
    from copy_eval.reports.charts import catalogue
    from copy_eval.reports.page import sections
    from copy_eval.reports.report import build_report

    text = (ROOT / "CONTRIBUTING.md").read_text()
    walk = text[text.index("## Walk 3") :]
    module, entry = blocks_of(walk, "python")
    names: dict = {"ChartKind": catalogue.ChartKind}
    exec(module, names)
    kind = eval(entry, names)
    charts = (*catalogue.CHARTS, kind)
    for place in (catalogue, report_files, sections):
        monkeypatch.setattr(place, "CHARTS", charts)
    report = build_report([two_runs])
    files = report_files.render_files(report)
    for name in re.findall(r"digits\w*\.(?:png|csv)", walk):
        assert name in files
    assert b"model-b" in files["digits_phonebook_copy.svg"]
    assert b"model-b" in files["digits.csv"]
    page = files["index.html"].decode()
    assert '<h2 id="digits">Digits</h2>' in page
    assert "chart-digits-phonebook_copy-1" in page
    assert chart(report, "digits").to_dict()["encoding"]["x"]["title"] == "entries in the phonebook"


def test_the_python_that_is_shown_runs(two_runs, monkeypatch, capsys):
    from lm_eval import evaluator

    # lm-eval's own 14,000 tasks, which it would index for 8 seconds, are left out.
    manager = functools.partial(evaluator.TaskManager, include_path=TASKS, include_defaults=False)
    monkeypatch.setattr(evaluator, "TaskManager", manager)
    monkeypatch.chdir(two_runs.parent)
    names: dict = {}
    for code in blocks(ROOT / "docs" / "python-api.md", "python"):
        exec(code, names)
    assert names["comparison"]["p_adjusted"].notna().any()
    assert list(two_runs.parent.glob("*.pdf"))
    frames = re.findall(r"`report\.(\w+)`", prose(ROOT / "docs" / "python-api.md"))
    assert set(frames) == vars(names["report"]).keys()
    assert "drop" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.name)
def test_the_workflows_install_with_constraints_and_run_targets_that_exist(file):
    jobs = yaml.safe_load(file.read_text())["jobs"]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    for step in steps:
        if step.startswith("make "):
            check_make(shlex.split(step)[1:])
        if "pip install" in step:
            assert "--constraint constraints.txt" in step


def test_the_citation_and_the_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == copy_eval.__version__
    assert f"## {copy_eval.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"copy-eval {copy_eval.__version__}" in (ROOT / "README.md").read_text()
