"""Bugs planted on purpose: proof that the tests that should catch them do. `sh scripts/planted-bugs [NAME...]`"""
