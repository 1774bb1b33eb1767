"""How fast it is, on the machine at hand: one module a benchmark, one command each (`commands`).

Above the widgets, because the latency that counts is that of the window. Nothing here is imported
by the rest of the package, and importing this loads neither torch nor Qt.
"""
