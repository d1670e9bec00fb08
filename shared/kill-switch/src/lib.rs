//! kill-switch
