"""Attention and sequence-to-sequence learning, the same in four frameworks.

Import one framework's module, as the chapters do:

    from d2l_ext import torch as d2l  # or mxnet, jax, tensorflow

Those four modules are generated from the chapters. `compat`, `corpora`, `devices`, `metrics`,
`plots` and `weights` are written by hand and need no framework. This file imports none of them, so
that `import d2l_ext` costs nothing.
"""

__version__ = "0.1.0"
