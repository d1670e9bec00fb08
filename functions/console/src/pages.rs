//! Pages as pure functions of plain values. Must never read a store, nor put a foreign text into a page
//! unescaped.

pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod chart;
pub(crate) mod data_requests;
pub(crate) mod drafts;
pub(crate) mod kit;
pub(crate) mod layout;
pub(crate) mod people;
pub(crate) mod pipeline;
pub(crate) mod problem;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod sign_in;
pub(crate) mod style;
pub(crate) mod today;
pub(crate) mod tool_writes;
pub(crate) mod tools;
pub(crate) mod waiting;
pub(crate) mod would_have;
