"""``copy-eval doctor`` on whole and on crippled installations."""

import importlib.metadata
import shutil


def test_a_whole_installation_is_found_well(installed):
    done = installed.run("copy-eval", "doctor")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    assert f"ok    lm-eval      {importlib.metadata.version('lm_eval')}\n" in done.stdout
    assert "ok    bridge       active, started with Python by copy_eval_autoload.pth\n" in done.stdout
    for name in ("mamba_ssm", "copy_eval_mamba_ssm"):
        assert f" {name} = copy_eval.model_adapters.mamba:MambaLM\n" in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:])) <= 100


def test_a_bridge_that_is_switched_off_is_a_fault_with_its_reason(installed):
    done = installed.run("copy-eval", "doctor", COPY_EVAL_AUTOLOAD="0")
    assert done.returncode == 2
    assert "FAIL  bridge       off, because COPY_EVAL_AUTOLOAD=0" in done.stdout
    assert "FAIL  adapters     mamba_ssm = lm_eval.models.mamba_lm:MambaLMWrapper (not copy-eval's)\n" in done.stdout
    assert "pythia = unknown to lm-eval" in done.stdout


def test_an_installation_without_its_hook_is_told_how_to_mend_it(new_environment):
    environment = new_environment()
    (environment.site_packages / "copy_eval_autoload.pth").unlink()
    done = environment.run("copy-eval", "doctor")
    assert done.returncode == 2
    assert "copy_eval_autoload.pth; install copy-eval with pip, or call copy_eval.register()" in " ".join(
        done.stdout.split()
    )


def test_a_missing_checkpoint_and_missing_tasks_are_named(new_environment):
    environment = new_environment()
    package = environment.site_packages / "copy_eval"
    shutil.rmtree(package / "checkpoints" / "tiny-mamba")
    for file in (package / "tasks").rglob("*.yaml"):
        file.unlink()
    done = environment.run("copy-eval", "doctor")
    assert done.returncode == 2
    assert "FAIL  checkpoints  missing: tiny-mamba\n" in done.stdout
    assert "FAIL  tasks" in done.stdout


def test_kernels_that_are_there_but_cannot_be_imported_are_named_with_the_reason(installed, tmp_path):
    for package in ("causal_conv1d", "mamba_ssm"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    done = installed.run("copy-eval", "doctor", PYTHONPATH=str(tmp_path))
    line = "ok kernels transformers' Mamba is used: causal-conv1d cannot be imported (undefined symbol: _ZN3c10)"
    assert line in " ".join(done.stdout.split())


def test_without_a_command_the_usage_is_shown_and_the_exit_code_is_2(installed):
    done = installed.run("copy-eval")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: copy-eval")
