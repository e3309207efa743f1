"""The bridge to lm-eval, in real environments and processes of its own."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MODELS_IN_REGISTRY = """
import json
from lm_eval.api.registry import get_model, model_registry
get_model("dummy")  # one of lm-eval's own
ours = ("mamba_ssm", "pythia", "copy_")
print(json.dumps({name: target for name, target in model_registry.items() if any(part in name for part in ours)}))
"""

OURS = {
    "mamba_ssm": "copy_eval.model_adapters.mamba:MambaLM",
    "copy_hf": "copy_eval.model_adapters.pythia:PythiaLM",
    "pythia": "copy_eval.model_adapters.pythia:PythiaLM",
    "copy_eval_mamba_ssm": "copy_eval.model_adapters.mamba:MambaLM",
    "copy_eval_pythia": "copy_eval.model_adapters.pythia:PythiaLM",
}

# Stands in for lm-eval's own 14,000 tasks, which take seconds to index: TaskManager scans the folder of its module.
INDEX = """
import json, sys
from pathlib import Path
from lm_eval.tasks import manager
manager.__file__ = str(Path("defaults", "manager.py").resolve())
def where(name, **arguments):
    entry = manager.TaskManager(**arguments).task_index.get(name)
    return entry and str(entry.yaml_path)
"""


@pytest.fixture
def folders(installed):
    """Task folders that ``INDEX`` reads: the defaults, and a user's with a task of our name."""
    for folder, task in {"defaults": "some_default", "users": "phonebook_copy_20"}.items():
        path = installed.folder / folder
        path.mkdir(exist_ok=True)
        (path / "task.yaml").write_text(f"task: {task}\ndataset_path: none\n")
    return installed.folder


def test_a_bare_lm_eval_lists_our_tasks(installed):
    listed = installed.run("python", "-m", "lm_eval", "ls", "tasks")
    assert listed.returncode == 0, listed.stderr
    names = [line.split("|")[1].strip() for line in listed.stdout.splitlines() if line.count("|") > 2]
    assert {"phonebook_copy_20", "hellaswag"} <= set(names)
    assert "overrides" not in listed.stderr


def test_the_models_names_are_served_by_our_adapters_and_lm_evals_own_still_load(installed):
    assert json.loads(installed.python(MODELS_IN_REGISTRY)) == OURS


def test_an_editable_install_plugs_in_too(editable):
    assert json.loads(editable.python(MODELS_IN_REGISTRY)) == OURS
    assert editable.python("import copy_eval; print(copy_eval.__file__)").strip() == str(ROOT / "copy_eval/__init__.py")


def test_our_tasks_are_scanned_before_the_users_own(installed, folders):
    script = f"""{INDEX}
print(where("phonebook_copy_20"))
print(where("phonebook_copy_20", include_path="users"))
print(where("phonebook_copy_20", include_path=["users"]))
print(where("phonebook_copy_10", include_path=Path("users")))
print(where("some_default"))
"""
    ours = installed.site_packages / "copy_eval" / "tasks" / "phonebook"
    default, user, users, other, own = installed.python(script).splitlines()
    assert Path(default).is_relative_to(ours)
    assert user == users == str(Path("users", "task.yaml"))
    assert Path(other).is_relative_to(ours)
    assert Path(own) == folders / "defaults" / "task.yaml"


@pytest.mark.usefixtures("folders")
def test_whoever_leaves_out_the_installed_tasks_leaves_out_ours(installed):
    script = f'{INDEX}print(where("phonebook_copy_10", include_path="users", include_defaults=False))'
    assert installed.python(script).strip() == "None"


def test_naming_our_own_folder_does_not_scan_it_twice(installed, folders):
    (folders / "link").unlink(missing_ok=True)
    (folders / "link").symlink_to(installed.site_packages / "copy_eval" / "tasks")
    done = installed.run("python", "-c", f'{INDEX}print(where("phonebook_copy_20", include_path="link"))')
    assert done.stdout.startswith("link/")
    assert "overrides" not in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "expected"),
    [
        ("UserError('no such folder')", 2, "copy-eval: no such folder\n"),
        ("ValueError('a bug')", 1, "ValueError: a bug\n"),
    ],
)
def test_bad_input_ends_in_one_line_and_a_bug_in_its_traceback(installed, raised, code, expected):
    script = f"""
from argparse import Namespace
from lm_eval.__main__ import HarnessCLI
from copy_eval.errors import UserError
def command(args):
    raise {raised}
HarnessCLI().execute(Namespace(func=command))
"""
    done = installed.run("python", "-c", script)
    assert done.returncode == code
    assert done.stderr.endswith(expected)
    assert ("Traceback" in done.stderr) == (code == 1)


def test_the_finder_leaves_when_its_work_is_done(installed):
    script = """
import sys
def finders():
    return [type(finder).__module__ for finder in sys.meta_path].count("copy_eval._autoload")
print(finders())
import lm_eval.api.registry, lm_eval.tasks.manager
print(finders())
import lm_eval._cli.harness, lm_eval.evaluator, lm_eval.models.huggingface
print(finders())
"""
    assert installed.python(script).split() == ["1", "1", "0"]


def test_switched_off_it_is_not_even_imported(installed):
    script = f"{MODELS_IN_REGISTRY}\nimport sys\nprint([name for name in sys.modules if name.startswith('copy_eval')])"
    models, ours = installed.python(script, COPY_EVAL_AUTOLOAD="0").splitlines()
    assert json.loads(models) == {"mamba_ssm": "lm_eval.models.mamba_lm:MambaLMWrapper"}
    assert ours == "[]"


@pytest.mark.usefixtures("folders")
def test_register_by_hand_reaches_modules_that_are_loaded_already(installed):
    script = f"""{INDEX}
import lm_eval._cli.harness, lm_eval.models, copy_eval
before = where("phonebook_copy_20")
copy_eval.register()
once = manager.TaskManager.__init__
copy_eval.register()
print(before, manager.TaskManager.__init__ is once, where("phonebook_copy_20") is not None)
{MODELS_IN_REGISTRY}
"""
    tasks, models = installed.python(script, COPY_EVAL_AUTOLOAD="0").splitlines()
    assert tasks == "None True True"
    assert json.loads(models) == OURS


# What lm-eval's main branch does with the entry points of other packages: a name that is taken stays as it is.
DISCOVERY = """
from importlib.metadata import entry_points
from lm_eval.api.registry import model_registry
import lm_eval.models
for point in entry_points(group="lm_eval.models"):
    if point.name not in model_registry:
        model_registry.register(point.name, target=point)
"""


def test_discovery_by_entry_points_finds_our_names_taken_by_us(installed):
    assert json.loads(installed.python(DISCOVERY + MODELS_IN_REGISTRY)) == OURS


def test_discovery_by_entry_points_without_the_bridge_serves_every_name_that_is_free(installed):
    script = f"""{DISCOVERY}
print(*(model_registry.get(name).__name__ for name in ("pythia", "copy_eval_pythia", "copy_eval_mamba_ssm")))
print(dict(model_registry.items())["mamba_ssm"])
"""
    served = installed.python(script, COPY_EVAL_AUTOLOAD="0").split()
    assert served == ["PythiaLM", "PythiaLM", "MambaLM", "lm_eval.models.mamba_lm:MambaLMWrapper"]


def test_the_doctor_names_the_alias_where_lm_evals_own_adapter_has_the_name(installed):
    script = f"{DISCOVERY}\nfrom copy_eval.cli import main\nprint(main(['doctor']))"
    said = installed.python(script, COPY_EVAL_AUTOLOAD="0")
    adapters = " ".join(said[said.index("FAIL  adapters") :].split())
    assert (
        "mamba_ssm = lm_eval.models.mamba_lm:MambaLMWrapper (not copy-eval's; use --model copy_eval_mamba_ssm) "
        "pythia = copy_eval.model_adapters.pythia:PythiaLM "
    ) in adapters


def test_a_package_that_does_not_even_parse_disturbs_neither_python_nor_lm_eval(new_environment):
    environment = new_environment()
    (environment.site_packages / "copy_eval" / "_autoload.py").write_text("def broken(:\n")
    start = environment.run("python", "-c", "print('started')")
    assert (start.returncode, start.stdout, start.stderr) == (0, "started\n", "")
    assert environment.run("python", "-m", "lm_eval", "--help").returncode == 0
    doctor = environment.run("copy-eval", "doctor")
    assert doctor.returncode == 2
    assert "FAIL  bridge       SyntaxError" in doctor.stdout


def test_a_hook_that_fails_is_reported_and_lm_eval_goes_on(new_environment):
    environment = new_environment()
    with (environment.site_packages / "copy_eval" / "_autoload.py").open("a") as file:
        file.write('\nHOOKS["lm_eval.api.registry"] = lambda registry: registry.no_such_thing\n')
    done = environment.run("python", "-c", "import lm_eval.api.registry; print('loaded')")
    assert done.stdout == "loaded\n"
    assert done.stderr == "could not plug into lm_eval.api.registry; `copy-eval doctor` says why\n"
    doctor = environment.run("copy-eval", "doctor")
    assert doctor.returncode == 2
    assert "FAIL  bridge       lm_eval.api.registry: AttributeError: " in doctor.stdout


def test_a_python_start_imports_nothing_but_the_bridge(installed):
    script = "import sys; print(*sorted(sys.modules))"
    with_bridge, without = (set(installed.python(script, COPY_EVAL_AUTOLOAD=on).split()) for on in "10")
    assert with_bridge - without == {"copy_eval", "copy_eval._autoload"}


def test_uninstalling_leaves_nothing_behind(new_environment):
    environment = new_environment()
    environment.python("import copy_eval.cli, copy_eval.tasks.phonebook.generator")  # writes bytecode
    environment.uninstall()
    (environment.site_packages / "shared.pth").unlink()
    shutil.rmtree(environment.site_packages / "__pycache__", ignore_errors=True)
    assert list(environment.site_packages.iterdir()) == []
    assert not (environment.bin / "copy-eval").exists()
