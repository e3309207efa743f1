import pkgutil

import pytest

import copy_eval.cli
from copy_eval.cli import main


@pytest.mark.parametrize("command", [module.name for module in pkgutil.iter_modules(copy_eval.cli.__path__)])
def test_every_subcommand_prints_its_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"copy-eval {command}" in capsys.readouterr().out
