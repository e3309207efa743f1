"""What the wheel carries, and whether the declared requirements are those of the code."""

import ast
import importlib.metadata
import re
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from copy_eval.adapter_names import MODELS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "copy_eval"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(requirement: str) -> str:
    """The name of a requirement, as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def pins(file: str = "constraints.txt") -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def floors(requirements: list[str]) -> dict[str, Version]:
    """The lowest version of each requirement that states one, or the only one."""
    found = {requirement: re.search(r"[>=]=([\w.]+)", requirement) for requirement in requirements}
    return {canonical(requirement): Version(match[1]) for requirement, match in found.items() if match}


def test_the_wheel_puts_only_our_package_and_the_hook_into_site_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert top == {"copy_eval", "copy_eval_autoload.pth", wheel.name.rsplit("-", 3)[0] + ".dist-info"}


def test_the_wheel_carries_every_file_of_the_package(wheel):
    here = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.is_file()}
    here = {name for name in here if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if name.startswith("copy_eval/")}
    assert carried == here
    assert any(name.endswith(".yaml") for name in carried)
    assert "copy_eval/py.typed" in carried


def test_the_doors_at_the_root_are_relative_links_into_the_package():
    for name in ("tasks", "model_adapters", "reports"):
        assert (ROOT / name).readlink() == Path("copy_eval", name)
        assert (ROOT / name).is_dir()


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-lowest.txt"])
def test_the_constraints_pin_exactly_and_hold_no_build_of_one_machine(file):
    for name, version in pins(file).items():
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}: {version}"
        assert not name.startswith(("nvidia", "cuda", "triton")), name


def test_the_constraints_hold_everything_that_is_required_directly_or_not():
    waiting = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    waiting += PROJECT["optional-dependencies"]["training"]
    seen = set()
    while waiting:
        requirement, _, marker = waiting.pop().partition(";")
        name = canonical(requirement)
        if name in seen or "extra ==" in marker:
            continue
        try:
            # Not from what setuptools puts on the path when torch compiles something in the same process.
            installed = importlib.metadata.Distribution.discover(name=name, path=[sysconfig.get_path("purelib")])
            needed = next(iter(installed)).requires
        except StopIteration:
            assert marker, f"{name} is required and not installed"  # for another platform
            continue
        seen.add(name)
        waiting += needed or []
    assert seen <= pins().keys()


def test_the_lowest_versions_that_are_tested_are_the_floors_of_every_requirement():
    stated = floors(PROJECT["dependencies"])
    assert stated.keys() == {canonical(requirement) for requirement in PROJECT["dependencies"]}
    for name in ("peft", "ray", "serving", "training"):
        stated |= floors(PROJECT["optional-dependencies"][name])
    tested = {name: Version(version) for name, version in pins("constraints-lowest.txt").items()}
    assert {name for name, floor in stated.items() if tested[name] != floor} == {"torch"}


def test_the_lowest_versions_are_no_higher_than_the_pinned_ones():
    lowest = pins("constraints-lowest.txt")
    for name in floors(PROJECT["dependencies"]):
        assert Version(lowest[name]) <= Version(pins()[name])


def test_the_entry_points_are_the_models_of_the_bridge():
    assert PROJECT["entry-points"]["lm_eval.models"] == MODELS


def test_every_package_that_the_code_imports_is_required():
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"copy_eval"}
    required = {canonical(name) for name in PROJECT["dependencies"]}
    extras = PROJECT["optional-dependencies"]
    optional = {canonical(name) for extra in ("cuda", "peft", "ray", "serving") for name in extras[extra]}
    names = importlib.metadata.packages_distributions()
    providers = {canonical(names.get(module, [module])[0]) for module in foreign}
    assert providers <= required | optional
    assert {"torch", "lm-eval"} <= providers
