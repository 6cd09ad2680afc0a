"""What is kept on disk between processes, beside compiled loops: worlds and catalogues."""
