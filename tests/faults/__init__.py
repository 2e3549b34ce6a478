"""Faults planted into processes of imagemill from outside: the product knows nothing of them."""
