"""Files of records: pages, REST, uploads, the search by name, and pictures of people."""
