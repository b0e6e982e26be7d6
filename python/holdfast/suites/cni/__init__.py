"""CNI plugin chains under faults."""
