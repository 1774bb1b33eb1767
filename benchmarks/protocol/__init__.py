"""The paper's protocol: few annotations, nine tasks, fair rivals; run by `sparse_shot.py`."""
