//! The whole product on one machine: embedded stores, stand-ins, the five functions. Must never be what AWS
//! runs.

pub mod driver;
pub mod first_boot;
pub mod house;
pub mod report;
pub mod serve;
pub mod terminal;

pub use house::{House, HouseError, HouseOptions, StepDriver};
