"""Tables of runs for a paper or a page."""

from collections.abc import Callable
from pathlib import Path

import pytest

from annealtrain.errors import InputError
from annealtrain.runs.paper_tables import chosen, latex, markdown

HEAD = ["model", "n_bits", "test last"]
TABLE = (HEAD, [["le|net_1 50%", "8", "0.9600 +- 0.0040"], ["mlp \\ $x$ {a}~^#&<", "4", "0.5000"]])


def test_latex_is_escaped_and_of_booktabs() -> None:
    lines = latex(TABLE).splitlines()
    assert [line if line[0] in "%\\" else " ".join(line.split()) for line in lines] == [
        r"% \usepackage{booktabs}",
        r"% \pm: standard deviation (n - 1) over the runs of a group, which differ in their seed alone",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"model & n\_bits & test last \\",
        r"\midrule",
        r"le\textbar{}net\_1 50\% & 8 & $0.9600 \pm 0.0040$ \\",
        r"mlp \textbackslash{} \$x\$ \{a\}\textasciitilde{}\textasciicircum{}\#\&\textless{} & 4 & 0.5000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert len({len(line) for line in lines if " & " in line}) == 1  # aligned in the text too


def test_a_setting_with_the_sign_of_a_spread_is_text() -> None:
    assert r"a\_1 +- 50\%" in latex((["file"], [["a_1 +- 50%"], ["b +- 2"]]))
    assert "b +- 2" in latex((["file"], [["b +- 2"]]))


@pytest.mark.parametrize(
    ("text", "in_markdown", "in_latex"),
    [
        ("n_bits of le_net", "n_bits of le_net", r"n\_bits of le\_net"),
        ("_name_ my__net a_", r"\_name\_ my\_\_net a\_", r"\_name\_ my\_\_net a\_"),
        ("2*3*4 `code`", r"2\*3\*4 \`code\`", r"2*3*4 \textasciigrave{}code\textasciigrave{}"),
        (
            "<b> &lt; a|b \\",
            r"&lt;b> &amp;lt; a\|b \\",
            r"\textless{}b\textgreater{} \&lt; a\textbar{}b \textbackslash{}",
        ),
        ("[a](b) [0.1, 2]", r"[a\](b) [0.1, 2]", r"{[}a](b) [0.1, 2]"),
        ("*a", r"\*a", r"{*}a"),
        ("~~a~~", r"&#126;&#126;a&#126;&#126;", 2 * r"\textasciitilde{}" + "a" + 2 * r"\textasciitilde{}"),
        ("~/a", "~/a", r"\textasciitilde{}/a"),
        ("a---b", "a---b", "a-{}-{}-b"),
    ],
)
def test_names_come_out_as_they_are(text: str, in_markdown: str, in_latex: str) -> None:
    table = (["name", text], [[text, "x"]])
    lines = markdown(table).splitlines()
    assert lines[0].split(" | ")[1].rstrip(" |") == in_markdown.rstrip(" |")
    assert lines[2].startswith(f"| {in_markdown} ")
    assert any(line.startswith(f"{in_latex} ") for line in latex(table).splitlines())


def test_markdown_is_aligned() -> None:
    *lines, gap, note = markdown(TABLE).splitlines()
    assert (gap, note[:25]) == ("", "+-: standard deviation (n")
    assert "+-" not in markdown((HEAD, TABLE[1][1:]))
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| -------------------------- | -----: | ---------------: |"
    assert lines[2] == "| le\\|net_1 50%              |      8 | 0.9600 +- 0.0040 |"


def test_columns_are_chosen_by_their_heads() -> None:
    assert chosen(TABLE, ["test last", "model"]) == (["test last", "model"], [[r[2], r[0]] for r in TABLE[1]])
    assert chosen(TABLE, []) is TABLE
    with pytest.raises(InputError, match=r"there is no column 'test'; did you mean 'test last'.: model, n_bits"):
        chosen(TABLE, ["test"])
    with pytest.raises(InputError, match=r"--columns has 'model' twice: leave one out"):
        chosen(TABLE, ["model", "n_bits", "model"])


def test_runs_become_a_table(cli: Callable, refused: Callable, tree: Path) -> None:
    outcome = cli("collect", str(tree), "--format", "markdown", "--columns", "solver,runs,test last")
    assert (tree / "runs.md").read_text() in outcome.out
    assert outcome.out.endswith(f"4 runs: {tree / 'runs.md'}\n")
    assert outcome.out.splitlines()[0].split() == ["|", "solver", "|", "runs", "|", "test", "last", "|"]
    assert [line.split()[1] for line in outcome.out.splitlines()[2:4]] == ["CoordinateDescent", "SimulatedAnnealing"]
    assert cli("collect", str(tree), "--format", "latex", "--output", "x.tex").code == 0
    assert r"\begin{tabular}" in Path("x.tex").read_text()
    for columns in (" ", "solver,", "solver,,runs"):
        assert refused("collect", str(tree), "--format=latex", f"--columns={columns}").startswith(
            "--columns: a name is"
        )
    assert refused("collect", str(tree), "--format", "html") == "--format html is not one of csv, latex, markdown"
    assert refused("collect", str(tree), "--columns", "runs").startswith("--columns is for --format latex and markdown")
