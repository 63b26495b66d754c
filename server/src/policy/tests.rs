//! The golden matrix (to come).
