//! Pins on their way back to the server: gathered for a moment, then given back in one call.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sss_common::wire::fs::{CloseRequest, Pin};
use tokio::runtime::Handle;

use crate::remote::Remote;

/// How long a pin may wait for company.
const GATHER: Duration = Duration::from_millis(20);
/// Most pins in one call.
const BATCH: usize = 1024;

/// Gives pins back in the background. A pin that could not be given back ends with the session.
pub struct Closer {
    remote: Arc<dyn Remote>,
    runtime: Handle,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    pins: Vec<Pin>,
    running: bool,
}

impl Closer {
    /// Nothing to give back yet.
    pub fn new(remote: Arc<dyn Remote>, runtime: Handle) -> Arc<Self> {
        Arc::new(Closer { remote, runtime, queue: Mutex::default() })
    }

    /// Takes a pin to give back.
    pub fn give_back(self: &Arc<Self>, pin: Pin) {
        let mut queue = self.queue.lock();
        queue.pins.push(pin);
        if !std::mem::replace(&mut queue.running, true) {
            let this = self.clone();
            self.runtime.spawn(async move { this.run().await });
        }
    }

    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(GATHER).await;
            {
                let mut queue = self.queue.lock();
                if queue.pins.is_empty() {
                    queue.running = false;
                    return;
                }
            }
            self.send().await;
        }
    }

    /// Gives back what waits, now.
    pub async fn send(&self) {
        let mut pins = std::mem::take(&mut self.queue.lock().pins);
        while !pins.is_empty() {
            let rest = pins.split_off(pins.len().min(BATCH));
            let count = pins.len();
            if let Err(error) = self.remote.close(CloseRequest { pins }).await {
                tracing::debug!(%error, count, "pins were not given back");
            }
            pins = rest;
        }
    }
}
