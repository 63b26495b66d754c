//! Fails fast: after a failed connect nothing waits for the same failure again for a moment.
//!
//! Closed -> (a connect fails, or a deadline passes) -> open for [`CIRCUIT_PAUSE`], every call fails at once
//! with the same reason -> one call probes, the others go on failing -> its outcome closes or reopens.

use std::time::Instant;

use parking_lot::Mutex;

use crate::remote::retries::CIRCUIT_PAUSE;

/// The breaker; one for each server.
#[derive(Debug, Default)]
pub struct Circuit(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    since: Instant,
    reason: String,
    probing: bool,
}

/// Leave to try. Dropped without a word (a cancelled call), it lets the next one probe.
#[derive(Debug)]
pub struct Pass<'a> {
    circuit: &'a Circuit,
    probe: bool,
}

impl Circuit {
    /// Leave to try at `now`, or the reason of the last failure.
    pub fn enter(&self, now: Instant) -> Result<Pass<'_>, String> {
        let mut state = self.0.lock();
        let Some(open) = state.as_mut() else {
            return Ok(Pass { circuit: self, probe: false });
        };
        if open.probing || now.saturating_duration_since(open.since) < CIRCUIT_PAUSE {
            return Err(open.reason.clone());
        }
        open.probing = true;
        Ok(Pass { circuit: self, probe: true })
    }

    /// The server could not be reached.
    pub fn open(&self, now: Instant, reason: &str) {
        *self.0.lock() = Some(Open { since: now, reason: reason.into(), probing: false });
    }
}

impl Pass<'_> {
    /// The server answered.
    pub fn reached(&self) {
        *self.circuit.0.lock() = None;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = self.circuit.0.lock().as_mut()
        {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_call_probes_after_the_pause_and_its_outcome_decides() {
        let circuit = Circuit::default();
        let start = Instant::now();
        drop(circuit.enter(start).unwrap());
        circuit.open(start, "refused");
        assert_eq!(circuit.enter(start + CIRCUIT_PAUSE / 2).unwrap_err(), "refused");

        let probe = circuit.enter(start + CIRCUIT_PAUSE).unwrap();
        assert_eq!(circuit.enter(start + CIRCUIT_PAUSE).unwrap_err(), "refused", "only one probes");
        circuit.open(start + CIRCUIT_PAUSE, "still refused");
        drop(probe);
        assert_eq!(circuit.enter(start + CIRCUIT_PAUSE * 3 / 2).unwrap_err(), "still refused");

        let probe = circuit.enter(start + CIRCUIT_PAUSE * 2).unwrap();
        probe.reached();
        assert!(circuit.enter(start + CIRCUIT_PAUSE * 2).is_ok());
        assert!(circuit.enter(start + CIRCUIT_PAUSE * 2).is_ok(), "closed again for everyone");
    }

    #[test]
    fn a_cancelled_probe_lets_the_next_one_try() {
        let circuit = Circuit::default();
        let start = Instant::now();
        circuit.open(start, "refused");
        drop(circuit.enter(start + CIRCUIT_PAUSE).unwrap());
        assert!(circuit.enter(start + CIRCUIT_PAUSE).is_ok());
    }
}
