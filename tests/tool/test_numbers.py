"""Equations and figures are numbered as they are counted, and references lead to one of them."""

import pytest
from conftest import EXERCISE

from tabbook import numbers, source

BODY = r"""# Toy

$$
a = 1, \tag{2.1}
$$

and, after equation (2.1) and before Figure 2.1,

$$
\begin{aligned}
b &= 2
\end{aligned}
\tag{2.2}
$$

![A bar, and
beside it [0, 1]](img/a.svg)

*Figure 2.1. A bar
with $x^*$ above.*

For `$$` and equations (2.1), (2.2), and (3.1) see chapters 02 and 03, chapter XI (James, 1890),
equation (10) of the paper, and Figures 2.1 to 2.2.

```text
$$ ![x](y) Figure 9.9
```

![A line](img/b.svg)

*Figure 2.2. A line.*
"""


def problems(toy, old: str = "", new: str = "") -> list[str]:
    """What is wrong with the numbers of a toy of two chapters after a change of the first."""
    assert not old or BODY.count(old) == 1
    toy.write("02_toy", BODY.replace(old, new) if old else BODY)
    toy.write("03_toy", "# Other\n\n$$ c $$\n".replace("c $$", r"c \tag{3.1} $$"))
    return list(numbers.problems(source.read_all(toy.project)))


def test_numbers_that_are_right(toy):
    assert problems(toy) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (r", \tag{2.1}", "", 33, r"this equation has no number; end it with \tag{2.1}"),
        (r"a = 1, \tag{2.1}", r"\tag{2.1} a", 33, r"this equation has no number; end it with \ta"),
        (
            r"\tag{2.2}",
            r"\tag{2.3}",
            39,
            r"this equation has the number 2.3; end it with \tag{2.2}",
        ),
        (r"\tag{2.2}", r"\tag{02.2}", 39, "this equation has the number 02.2; end it with"),
        (
            "*Figure 2.2. A line.*",
            "",
            59,
            "this figure has no number; write '*Figure 2.2. What to see.*' as the paragraph below",
        ),
        (
            "*Figure 2.2. A",
            "So. *Figure 2.2. A",
            59,
            "this figure has no number; write '*Figure 2",
        ),
        (
            "*Figure 2.2. A",
            "*Figure 2.1. A",
            59,
            "this figure has the number 2.1; write '*Figure 2",
        ),
        ("$ above.*", "$ above.", 46, "this figure has no number; write '*Figure 2.1. What"),
        ("(2.1) and", "(2.4) and", 37, "refers to equation 2.4, which is not there; mend it"),
        ("and (3.1)", "and (3.2)", 52, "refers to equation 3.2, which is not there; mend it"),
        ("2.1 to 2.2", "2.1 to\n2.3", 53, "refers to figure 2.3, which is not there; mend it"),
        ("02 and 03", "02 and 04", 52, "refers to chapter 04, which is not there; mend it"),
    ],
)
def test_numbers_that_are_wrong(toy, old, new, line, message):
    (found,) = problems(toy, old, new)
    assert found.startswith(f"notebooks/02_toy.md, cell 5 (line {line}): {message}")


def test_every_number_behind_a_new_equation_is_wrong(toy):
    found = problems(toy, "# Toy\n", "# Toy\n\n$$ d $$\n")
    assert [problem.partition(": ")[2] for problem in found] == [
        r"this equation has no number; end it with \tag{2.1}",
        r"this equation has the number 2.1; end it with \tag{2.2}",
        r"this equation has the number 2.2; end it with \tag{2.3}",
    ]


def test_a_task_refers_to_its_own_equations_only(toy):
    own = EXERCISE.replace("as [above]", "$$ 2 x \\tag{2.1} $$\n\nequation (2.1), as [above]")
    toy.write("02_toy", own)
    chapters = source.read_all(toy.project)
    assert list(numbers.problems(chapters)) == []
    toy.write(
        "02_toy", "$$ 2 x \\tag{2.1} $$\n\n" + EXERCISE.replace("as [", "equation (2.1), as [")
    )
    chapters = source.read_all(toy.project)
    assert list(numbers.problems(chapters)) == [
        "notebooks/02_toy.md, cell 6 (line 36): refers to equation 2.1 in a task, which students "
        "get alone; write it out"
    ]


def test_check_reports_them(executed):
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace("# Toy\n", "# Toy\n\n$$ x $$\n"))
    executed.run("build")
    assert executed.run("check").stderr == (
        "notebooks/02_toy.md, cell 5 (line 33): this equation has no number; end it with "
        "\\tag{2.1}\n"
    )
