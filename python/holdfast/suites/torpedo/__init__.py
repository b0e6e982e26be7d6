"""Storage providers under the ten Torpedo scenarios."""
