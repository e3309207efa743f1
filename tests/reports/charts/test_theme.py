from copy_eval.reports.charts.theme import chart_title


def test_a_long_title_is_broken_into_lines():
    title = chart_title("phonebook_copy on " + "a text " * 20, "50 prompts at each length")
    assert max(map(len, title.text)) <= 72
    assert len(title.text) == 3
