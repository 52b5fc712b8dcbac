"""What all pages and REST resources share: views, queries of records, field types, URLs and languages."""
