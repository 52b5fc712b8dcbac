"""Statements, results and objects with less work than SQLAlchemy and PyMySQL do by themselves."""
