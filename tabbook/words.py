"""What the tool itself writes into notebooks, assignments and the book, in Chinese."""

from tabbook.project import LANGUAGE

CHINESE = {
    # Notebooks
    "{title}: click on the three dots to see the code.": "{title}：点击三个点查看代码。",
    "Open in Colab": "在 Colab 中打开",
    "Run the cell below first; it installs what the runtime lacks.": (
        "请先运行下面的单元格，它会安装运行环境中缺少的软件包。"
    ),
    "Run this first: it installs what this runtime lacks": (
        "先运行这里：安装运行环境中缺少的软件包"
    ),
    (
        "MXNet's last release knows CUDA 11 and older, and Colab has 12: on its Python 3.13 this "
        "notebook takes the wheel for the CPU, and asks for no GPU. What else can be tried is "
        "[here]({page})."
    ): (
        "MXNet 的最后一个版本只支持 CUDA 11 及更早的版本，而 Colab 用的是 CUDA 12："
        "在它的 Python 3.13 上，这个笔记本安装 CPU 版本，不需要 GPU。"
        "还可以尝试什么，请看[这里]({page})。"
    ),
    # Assignments
    "# Exercises: {title}": "# 练习：{title}",
    (
        "Write your code where it says `YOUR CODE HERE`, in place of the line below it, and run "
        "the tests under it: one that fails says what is wrong. You may add cells. Leave the "
        "tests and the other cells as they are, for grading puts them back. At the end restart "
        "the kernel, run all cells, and save the notebook under the same name."
    ): (
        "请把代码写在标有 `YOUR CODE HERE` 的地方，替换它下面的那一行，然后运行下方的测试："
        "没有通过的测试会指出问题所在。可以添加单元格。测试和其他单元格请保持原样，"
        "评分时它们会被还原。最后请重启内核，运行所有单元格，并用原来的文件名保存笔记本。"
    ),
    (
        "What you need to know stands in the chapter, {link}. When your work is graded, more "
        "tests run than you see here."
    ): "所需的知识都在这一章里：{link}。评分时运行的测试比这里看到的更多。",
    "* {title}: {points} points": "* {title}：{points} 分",
    "this cell waits for your code: write it in place of this line": (
        "这个单元格在等你的代码：请用代码替换这一行"
    ),
    "# More tests run here when your work is graded.": "# 评分时，这里还会运行更多测试。",
    # The book
    "Notebook": "笔记本",
    "Source of this page": "本页源文件",
    "runs in {seconds:.0f} s on one CPU core": "在一个 CPU 核上运行需 {seconds:.0f} 秒",
    "Solution": "参考答案",
}
# Before what nobody has translated yet, and on top of a page that is not in the edition
UNTRANSLATED = "〔英文〕"
ENGLISH_PAGE = "本页尚无中文译文，以下为英文原文。"


def say(language: str, english: str, **values: object) -> str:
    """A sentence of the tool's own in a language.

    Args:
        language: "" for English, or LANGUAGE.
        english: the sentence, with {name} for what varies.
        values: what varies.
    """
    words = CHINESE[english] if language == LANGUAGE else english
    return words.format(**values)
