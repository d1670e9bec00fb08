//! Every change that a person can make here. Must never make one whose row could not be written, unless it
//! leads to safe.

pub(crate) mod again;
pub(crate) mod caps;
pub(crate) mod data_requests;
pub(crate) mod drafts;
pub(crate) mod flip;
pub(crate) mod halt;
pub(crate) mod judge;
pub(crate) mod people;
pub(crate) mod pin;
pub(crate) mod resume;
pub(crate) mod stages;
pub(crate) mod surprise;
pub(crate) mod waiting;
