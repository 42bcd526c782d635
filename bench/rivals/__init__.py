"""What a user would pick instead: each module reads the same list as the extract, the way its tool is meant to be used.

A module has ``read``, which is measured, and ``written``, which counts afterwards what came out. All but pandas run in
an environment of their own (tools/bootstrap_rivals.sh); the project's own has neither their packages nor needs them.
"""
