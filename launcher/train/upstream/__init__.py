"""Every patch of the training stack and every use of its private parts, one module each.

A module names the package, the version in which the symptom was seen, and the symptom. Its test in tests/training/upstream/ or
tests/unit/upstream/ shows the symptom without the patch, so that the test fails once the package has fixed it: the module and
its test are then deleted. tests/unit/upstream/test_private_parts.py keeps private names out of all other modules.
"""
