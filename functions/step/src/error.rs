//! What "we do not know" means in a step. Must never stand for a halt, a cap or a refusal: those are values.

/// A step broke off. Everything it did is stored or was never done; the next invocation goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The payload is not a step, nor a sweep.
    #[error("the payload is not a step: `{why}`")]
    Payload {
        /// What is wrong with it.
        why: String,
    },
    /// A row of the run.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// The control item.
    #[error(transparent)]
    Interlock(#[from] interlock::InterlockError),
    /// The budget.
    #[error(transparent)]
    Budget(#[from] budget::BudgetError),
    /// The request could not be built.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// An act broke off.
    #[error(transparent)]
    Act(#[from] gate::ActFailed),
    /// A run could not be started.
    #[error(transparent)]
    Start(#[from] starter::StartError),
    /// Another invocation moved the run meanwhile; nothing was changed by this one.
    #[error("the run moved on under this invocation")]
    Raced,
    /// A stored row does not fit the others.
    #[error("the run's rows do not fit together: `{what}`")]
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
}
