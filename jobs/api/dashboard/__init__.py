"""/: the dashboard's pages."""
