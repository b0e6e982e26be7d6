"""CNTR-3: containers over a control processor failover."""
