"""Backups: made while others write, verified, restored, and tested by a drill.

`create`, `verify`, `drill` and `restore` do what their names say; `mariadb` and `sqlite` dump and load the databases;
`folder` knows the paths. `runs` writes the rows that the Backups page shows.
"""
