//! The product's promises, each with a test that fails when it is broken. Must never assert nothing, nor
//! sleep and hope.

mod budget_caps;
mod cargo_lambda;
mod child;
mod demo;
mod docs;
mod door;
mod faults;
mod hot_config;
mod intake;
mod kill_switch;
mod pages;
mod platform;
mod races;
mod receipt;
mod replay;
mod runtime_api;
mod scenarios;
mod scene;
mod servers;
mod state_machine;
mod support;
mod tidy;
mod tree;
