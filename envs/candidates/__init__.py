"""Which items a policy chooses among, how they are scored, and how actions become slates."""
