//! Caps: reserved before, settled after, tripped when used up. Must never see the model or the gate.

mod reservation;

pub use reservation::{Reservation, Used};
