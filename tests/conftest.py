"""What tests share: no test may reach the network, and copy-eval can be installed into a fresh environment."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports huggingface_hub, which reads it once

ROOT = Path(__file__).parents[1]

# An example that takes longer on a machine with other work is no failure.
settings.register_profile("any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("it needs a GPU: make gpu")


def _succeed(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


class Environment:
    """A real virtual environment, which copy-eval can be installed into as its users do it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.folder = folder
        self.bin = folder / "bin"
        self.site_packages = next(folder.glob("lib/python*/site-packages"))

    def install_wheel(self, wheel: Path) -> None:
        self._pip("install", "--no-index", "--no-deps", str(wheel))
        self._share_dependencies()

    def install_editable(self) -> None:
        self._share_dependencies()  # the build backend is among them
        self._pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))

    def uninstall(self) -> None:
        self._pip("uninstall", "--yes", "copy-eval")

    def _pip(self, *arguments: str) -> None:
        _succeed(sys.executable, "-m", "pip", "--python", str(self.bin / "python"), *arguments)

    def _share_dependencies(self) -> None:
        # The .pth files of a folder that a .pth file adds are not run: an outer copy-eval does not plug itself in.
        (self.site_packages / "shared.pth").write_text(sysconfig.get_path("purelib"))

    def run(self, command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment outside the repository, with nothing of ours on ``PYTHONPATH``."""
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        inherited.pop("COPY_EVAL_AUTOLOAD", None)
        return subprocess.run(
            [str(self.bin / command), *arguments],
            cwd=self.folder,
            env=inherited | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def python(self, script: str, **variables: str) -> str:
        """Run a script that must succeed, and return what it printed."""
        done = self.run("python", "-c", script, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive, which is built from the repository."""
    folder = tmp_path_factory.mktemp("dist")
    _succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel in it, for tests that only look."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install_wheel(wheel)
    return environment


@pytest.fixture
def editable(tmp_path: Path) -> Environment:
    """An environment that uses the package where it stands in the repository."""
    environment = Environment(tmp_path / "environment")
    environment.install_editable()
    return environment


@pytest.fixture
def new_environment(wheel: Path, tmp_path: Path) -> Callable[[], Environment]:
    """Makes an environment with the wheel in it, for a test that changes it."""

    def make() -> Environment:
        environment = Environment(tmp_path / "environment")
        environment.install_wheel(wheel)
        return environment

    return make
