"""The random kill run: real workers killed at random for minutes or hours, the books watched all the while.

`sh scripts/torture --minutes 30 --seed 7 --pair postgres` starts it; docs/reliability.md says what it proves.
Everything random comes from one seed. It prints one table and exits with 1 on any violation.
"""
