//! Holds the workspace's tests in `it/`. Must never be depended on.
