//! The product's promises, each with a test that fails when it is broken. Must never assert nothing, nor
//! sleep and hope.

mod audit_log;
mod budget_caps;
mod calls;
mod cargo_lambda;
mod child;
mod cloud;
mod cost;
mod demo;
mod docs;
mod door;
mod faults;
mod hot_config;
mod hubspot;
mod intake;
mod kill_switch;
mod metrics;
mod money;
mod pages;
mod platform;
mod races;
mod receipt;
mod replay;
mod rights;
mod runaway;
mod runtime_api;
mod scenarios;
mod scene;
mod second_store;
mod secrets;
mod servers;
mod state_machine;
mod support;
mod template;
mod tidy;
mod tree;
