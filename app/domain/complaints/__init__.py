"""Complaints of investors: the register, its clocks and reviews, and the ways in which each grievance came."""
