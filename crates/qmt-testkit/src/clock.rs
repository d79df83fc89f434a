//! Fixed points in time for tests that must not depend on the day they run.
