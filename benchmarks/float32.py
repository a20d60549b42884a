"""For pytest: PyTorch multiplies in float32 itself, not in TF32; see benchmarks/gpu.py."""


def pytest_configure():
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
