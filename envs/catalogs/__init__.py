"""What can be shown: catalogues from tables, films, and synthetic news, products and posts."""
