-- The restore drill makes databases of these names, and drops them.
GRANT ALL PRIVILEGES ON `crm\_drill\_%`.* TO crm@'%';
