"""The hidden tests in Chinese, as a Chinese assignment imports them: `checks`."""

from classroom.language import load

checks = load(__name__.rpartition(".")[2])
