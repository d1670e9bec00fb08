//! Tests of the console. Must never leave the machine.
