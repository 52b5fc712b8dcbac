"""Backups: made while others write, checked, restored, and proved by a drill.

`making`, `checking`, `drilling` and `restoring` are the four things that one does with them; `mariadb` and `sqlite`
know the databases; `folder` knows where everything lies. `runs` keeps the rows that the Backups page shows.
"""
