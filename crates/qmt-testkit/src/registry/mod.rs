//! The registry: the OCI distribution spec over real HTTP, with scripted faults.
