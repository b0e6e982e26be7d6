"""Other people's lab frameworks, a file for each; nothing of them is imported unless it is used.

The extras `pyats`, `nornir`, `robot` and `labgrid` bring it: `pip install ".[pyats]"` in a checkout.
"""
