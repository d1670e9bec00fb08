//! The product's promises, each with a test that fails when it is broken. Must never assert nothing, nor sleep and hope.

mod docs;
mod scenarios;
mod scene;
mod support;
mod tidy;
mod tree;
