"""Chapter 15: Your own structure."""
