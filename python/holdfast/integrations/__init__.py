"""Other people's lab frameworks, a file for each; nothing of them is imported unless it is used.

`pip install holdfast[pyats]`, `holdfast[nornir]`, `holdfast[robot]`, `holdfast[labgrid]`.
"""
