"""Figures shown: tables, JSON, CSV, the live panel and the contact sheet. Called by the commands; no SQL here."""
