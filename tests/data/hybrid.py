"""Writes hybrid.npz: float networks with 8-bit weights, inputs step by step, and what LiteRT answers.

usage: python hybrid.py     (as streams.py)
"""
import os

import numpy as np
from streams import HERE, answers, lstm

MODELS = {
    "symmetric": lstm("hybrid", 2, 3, 16, 12),
    "symmetric_clipped": lstm("hybrid", 3, 4, 37, 41, True, 0.8),
    "symmetric_step": lstm("hybrid", 1, 1, 64, 40),
    "asymmetric": lstm("hybrid", 2, 3, 16, 12, asymmetric=True),
    "asymmetric_clipped": lstm("hybrid", 3, 4, 37, 41, True, 0.8, asymmetric=True),
    "asymmetric_step": lstm("hybrid", 1, 1, 64, 40, asymmetric=True),
}
if __name__ == "__main__":
    pack = {}
    for name, model in MODELS.items():
        pack[f"{name}/model"] = np.frombuffer(model, np.uint8)
        pack |= {f"{name}/{k}": v for k, v in answers(model, 6).items()}
    np.savez_compressed(os.path.join(HERE, "hybrid.npz"), **pack)
    print({k: v.shape for k, v in pack.items()})
