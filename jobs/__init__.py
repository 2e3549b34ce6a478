"""What is asked, recorded and reported. Stands without the worker package."""
