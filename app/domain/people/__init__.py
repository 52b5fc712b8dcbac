"""Users, teams, roles, absences, and how people sign in."""
