from copy_eval.reports.writing.markdown import escape


def test_names_of_models_stay_readable():
    assert escape("state-spaces/mamba_130m-hf@step3000") == "state-spaces/mamba_130m-hf@step3000"


def test_what_markdown_would_run_or_lay_out_is_text():
    assert escape("<b>&|`[a](b)*~$\\") == r"&lt;b&gt;&amp;\|\`\[a\](b)\*\~\$" + "\\\\"


def test_the_text_is_one_line():
    assert escape("a\nb\r\x1b\u202e") == r"a\\nb\\r\\x1b\\u202e"
