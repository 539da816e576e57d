"""Tables that commands put into the documents."""

import pytest
from conftest import ROOT

from castfield.documents import fill


def test_a_table_replaces_itself_on_its_page_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: one -->\nold\n<!-- end: one -->\nafter\n<!-- table: two -->\n<!-- end: two -->\n")
    for _ in range(2):
        fill(page, "one", "| a |\n| b |\n")
        expected = "before\n<!-- table: one -->\n| a |\n| b |\n<!-- end: one -->\nafter\n<!-- table: two -->\n<!-- end: two -->\n"
        assert page.read_text() == expected
    with pytest.raises(ValueError, match="no place for the table 'three'"):
        fill(page, "three", "| c |")
    assert page.read_text() == expected


@pytest.mark.parametrize(
    ("page", "names"), [("ablation", ["modules"]), ("tracking", ["cast", "identity", "focal", "speed"]), ("speed", ["bench"])]
)
def test_every_measured_table_has_its_place(page, names, tmp_path):
    copy = tmp_path / "page.md"
    copy.write_text((ROOT / f"docs/{page}.md").read_text())
    for name in names:
        fill(copy, name, "| measured |")
    assert copy.read_text().count("| measured |") == len(names)
